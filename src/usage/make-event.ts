import { createHash } from "node:crypto";
import { MAX_COST } from "../constants.ts";
import { fnv1a } from "../platform/fnv.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { UsageEvent } from "./event.ts";
import type { IpPolicy } from "./privacy.ts";
import { MAX_ID_CHARACTERS, MAX_MEASURE, MAX_TEXT_CHARACTERS } from "./parse-batch.ts";
import { clientIpForEvent, userAgentFamily } from "./privacy.ts";

/** Whose ledger an event belongs to when the key, and so its workspace, is not known. */
export const DEFAULT_WORKSPACE = "default";

const MAX_METHOD_CHARACTERS = 16;
const REQUEST_ID = /^req_[0-9a-z]{26}$/;

/** What the gateway knows when a request is over. Times in ms. */
export interface RequestFactsForEvent {
  readonly requestId: string;
  /** 0 for the request itself; in a batch of checks, the place of this one. */
  readonly index?: number;
  /** The moment of the decision, epoch ms. */
  readonly time: number;
  /** `null`: refused before the key was known. */
  readonly record: Pick<EdgeRecord, "id" | "lineageId" | "workspace" | "owner" | "environment" | "hint"> | null;
  readonly method: string;
  readonly upstream: string | null;
  /** The route's template, never the path. */
  readonly route: string | null;
  readonly status: number;
  /** `allowed`, or the problem code. */
  readonly code: string;
  readonly cost: number;
  readonly latencyMs: number;
  readonly authMs: number;
  readonly upstreamMs: number | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly country: string | null;
  readonly asn: number | null;
  readonly colo: string | null;
  /** The address as it came; the event holds what `ipPolicy` lets through. */
  readonly clientIp: string | null;
  readonly ipPolicy: IpPolicy;
  readonly ipSalt: string | null;
  readonly userAgent: string | null;
  readonly degraded: boolean;
  /** `jti` of the token that was presented; `null`: none was, or none that is ours. */
  readonly tokenId: string | null;
  /** 32 bits of a digest of a credential that is nobody's; `null`: it is somebody's, or there was none. */
  readonly credentialTag: number | null;
  /** `jti` of the token that an exchange came to. */
  readonly mintedTokenId?: string;
}

/**
 * The event of one request. The same facts give the same event, id included, and every event that is made here is one
 * that the ledger accepts: a single bad one would send its whole batch to the dead-letter queue.
 */
export function makeEvent(facts: RequestFactsForEvent): UsageEvent {
  const { record, tokenId, mintedTokenId, credentialTag, ipSalt } = facts;
  const event: UsageEvent & Optional = {
    id: eventId(facts.requestId, facts.index),
    requestId: facts.requestId,
    time: wholeCount(facts.time, Number.MAX_SAFE_INTEGER),
    workspace: record === null ? DEFAULT_WORKSPACE : record.workspace,
    keyId: record === null ? null : record.id,
    lineageId: record === null ? null : record.lineageId,
    owner: record === null ? null : record.owner,
    environment: record === null ? null : record.environment,
    method: facts.method.slice(0, MAX_METHOD_CHARACTERS),
    upstream: clip(facts.upstream),
    route: clip(facts.route),
    status: facts.status,
    code: facts.code,
    cost: wholeCount(facts.cost, MAX_COST),
    latencyMs: wholeCount(facts.latencyMs),
    authMs: wholeCount(facts.authMs),
    upstreamMs: facts.upstreamMs === null ? null : wholeCount(facts.upstreamMs),
    bytesIn: wholeCount(facts.bytesIn),
    bytesOut: wholeCount(facts.bytesOut),
    country: facts.country,
    asn: facts.asn,
    colo: facts.colo,
    clientIp: clientIpForEvent(facts.clientIp, facts.ipPolicy, facts.ipSalt),
    userAgentFamily: userAgentFamily(facts.userAgent),
    degraded: facts.degraded,
  };
  // Only where there is one: most requests bring a key, and what is not there costs no byte on the way.
  if (tokenId !== null) event.tokenId = tokenId.slice(0, MAX_ID_CHARACTERS);
  if (mintedTokenId !== undefined) event.mintedTokenId = mintedTokenId.slice(0, MAX_ID_CHARACTERS);
  // Without the secret a guess at what was presented could be checked against it.
  if (credentialTag !== null && ipSalt !== null) event.credentialTag = fnv1a(`${credentialTag} ${ipSalt}`);
  return event;
}

/** While the event is being made. */
interface Optional {
  tokenId?: string;
  mintedTokenId?: string;
  credentialTag?: number;
}

/** The same request always gives the same id, on whatever path the event travels. */
export function eventId(requestId: string, index = 0): string {
  const tail = REQUEST_ID.test(requestId)
    ? requestId.slice("req_".length)
    : createHash("sha256").update(requestId).digest("hex").slice(0, 26);
  return index === 0 ? `evt_${tail}` : `evt_${tail}-${index}`;
}

/** Clocks that step back and lengths that nobody knows (`NaN`) count as 0. */
function wholeCount(value: number, most = MAX_MEASURE): number {
  return value > 0 ? Math.min(Math.round(value), most) : 0;
}

function clip(text: string | null): string | null {
  return text !== null && text.length > MAX_TEXT_CHARACTERS ? text.slice(0, MAX_TEXT_CHARACTERS) : text;
}
