import { continueTrace } from "../http/traceparent.ts";
import { isOriginPattern } from "../keys/bindings.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { redact } from "../platform/log.ts";
import type { AskedDetail, KeptFor, KeyDetail, LeaseDetail, RequestDetail } from "../request-log/kept-request.ts";
import { DEFAULT_WORKSPACE } from "../usage/make-event.ts";
import { type CredentialSource, readCredential } from "./credential.ts";
import { percentDecoded } from "./upstream-url.ts";
import type { Way } from "./way.ts";

/** The detail of a request that is kept, from what its way has left behind. Never on the way of one that is not. */

/** Longer lists say how long they are. */
const MAX_SCOPES_KEPT = 16;
const MAX_BINDINGS_KEPT = 8;
const MAX_LIMITS_KEPT = 12;
const MAX_TOLD_CHARACTERS = 500;
const MAX_ORIGIN_CHARACTERS = 200;

export interface DetailParts {
  readonly way: Way;
  readonly record: EdgeRecord | null;
  readonly eventId: string;
  readonly why: KeptFor;
  /** How this deployment's keys begin. */
  readonly prefixes: ReadonlySet<string>;
}

export function detailOf({ way, record, eventId, why, prefixes }: DetailParts): RequestDetail {
  const { refusal } = way;
  const sent = readSent(way, prefixes);
  return {
    v: 1,
    eventId,
    why,
    workspace: workspaceOf(way, record),
    traceId: sent.traceId,
    via: way.via,
    form: way.form,
    told: refusal === null ? null : redact(refusal.detail).slice(0, MAX_TOLD_CHARACTERS),
    retryAfterSeconds: refusal?.retryAfterSeconds ?? null,
    violated: (refusal?.violated ?? []).slice(0, MAX_LIMITS_KEPT),
    limits: way.limits.slice(0, MAX_LIMITS_KEPT),
    key: record === null ? null : keyDetail(record),
    asked: askedDetail(way),
    record: way.recordFrom === null ? null : { from: way.recordFrom, ageMs: Math.max(0, way.recordAgeMs) },
    lease: leaseDetail(way),
    origin: sent.origin,
    certificate: way.incoming?.tlsClientAuth?.certVerified === "SUCCESS",
  };
}

/** Unknown keys are of whoever's upstream they came to. */
export function workspaceOf({ route }: Pick<Way, "route">, record: EdgeRecord | null): string {
  if (record !== null) return record.workspace;
  const workspace = route?.upstream.workspace ?? "*";
  return workspace === "*" ? DEFAULT_WORKSPACE : workspace;
}

function keyDetail(record: EdgeRecord): KeyDetail {
  const { bindings, scopes, policy } = record;
  const { ips, origins, countries, certificateSha256: certificates } = bindings;
  return {
    hint: record.hint,
    kind: record.kind,
    state: record.state,
    generation: record.generation,
    scopes: scopes.slice(0, MAX_SCOPES_KEPT),
    scopeCount: scopes.length,
    notBefore: record.notBefore,
    expiresAt: record.expiresAt,
    notAfter: record.notAfter,
    exchangeOnly: policy.exchangeOnly === true,
    signature: policy.signature?.algorithm ?? null,
    bindings: {
      ...(ips === undefined ? {} : { ips: ips.slice(0, MAX_BINDINGS_KEPT) }),
      ...(origins === undefined ? {} : { origins: origins.slice(0, MAX_BINDINGS_KEPT) }),
      ...(countries === undefined ? {} : { countries: countries.slice(0, MAX_BINDINGS_KEPT) }),
      ...(certificates === undefined ? {} : { certificates: certificates.length }),
    },
  };
}

function askedDetail({ route, askedScopes = [] }: Way): AskedDetail | null {
  if (route === null && askedScopes.length === 0) return null;
  return {
    scopes: [...(route?.scopes ?? []), ...askedScopes].slice(0, MAX_SCOPES_KEPT),
    environments: route?.environments ?? [],
    workspace: route?.upstream.workspace ?? "*",
    cost: route?.cost ?? 1,
    strict: route?.strict ?? false,
    timeoutMs: route?.timeoutMs ?? null,
    maxBodyBytes: route?.maxBodyBytes ?? null,
  };
}

function leaseDetail(way: Way): LeaseDetail | null {
  const isHeld = way.leaseAgeMs >= 0;
  if (way.leaseFrom === null && !isHeld) return null;
  return {
    from: way.leaseFrom,
    by: isHeld ? way.leaseBy : null,
    granted: way.leaseGranted,
    ageMs: isHeld ? way.leaseAgeMs : null,
    leftMs: isHeld ? way.leaseLeftMs : null,
  };
}

interface Sent {
  readonly traceId: string | null;
  readonly origin: string | null;
}

/**
 * What a client may write as it likes, as far as it is what it should be, and nothing that holds the key which it brought: someone
 * may have put it in the wrong place. Where it is not known which of two keys is meant, nothing is taken.
 */
function readSent({ fields: headers, url, trace, route }: Way, prefixes: ReadonlySet<string>): Sent {
  if (headers === null) return { traceId: trace?.traceId ?? null, origin: null };
  const credential = readCredential({ headers, url }, { queryParameter: route?.keyInQuery ?? null, prefixes });
  if (!credential.ok) return { traceId: null, origin: null };
  const presented = credential.value?.presentedKey ?? null;
  const isSafe = (text: string): boolean =>
    redact(text) === text &&
    (presented === null || !(sharesKey(text, presented) || sharesKey(percentDecoded(text), presented)));
  const traceId = trace?.traceId ?? clientTraceId(headers);
  const origin = headers.get("origin") ?? null;
  return {
    traceId: traceId !== null && isSafe(traceId) ? traceId : null,
    origin:
      origin !== null && origin.length <= MAX_ORIGIN_CHARACTERS && isOriginPattern(origin) && isSafe(origin)
        ? origin
        : null,
  };
}

/** A key's hint shows eight of its characters; so many in a row are no accident. */
const TELLING_CHARACTERS = 12;
/** Of a token, whose beginning says no more than its kind. */
const MAX_COMPARED_CHARACTERS = 1_024;

/** Whether a text has a piece of the key in it, in whatever case: origins are written in lower case. */
function sharesKey(text: string, presentedKey: string): boolean {
  const lower = text.toLowerCase();
  const key = presentedKey.slice(-MAX_COMPARED_CHARACTERS).toLowerCase();
  if (key.length <= TELLING_CHARACTERS) return lower.includes(key);
  for (let at = 0; at + TELLING_CHARACTERS <= key.length; at++) {
    if (lower.includes(key.slice(at, at + TELLING_CHARACTERS))) return true;
  }
  return false;
}

function clientTraceId(headers: CredentialSource["headers"]): string | null {
  const trace = continueTrace(headers.get("traceparent") ?? null, (digits) => "1".repeat(digits));
  return trace.continued ? trace.traceId : null;
}
