import type { Problem } from "../http/problem.ts";
import type { Trace } from "../http/traceparent.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { LimitView } from "../limits/limit.ts";
import type { VerifiedToken } from "../tokens/verified-token.ts";
import type { CompiledRoute } from "./compiled-route.ts";
import type { Credential } from "./credential.ts";
import { type Incoming, incomingOf, networkOf } from "./facts.ts";
import type { Facts } from "./record.ts";
import { type Fields, readFields } from "./survey.ts";
import type { Way } from "./way.ts";

/** What is known of a request while it is on its way. Filled in as it goes; read once, for the event, and for a kept request's detail. */
export interface Journey extends Way {
  /** Another one, where the body was read to check what is signed. */
  request: Request;
  readonly requestId: string;
  readonly startedAt: number;
  // Read off the request once: the runtime makes them anew each time that it is asked.
  readonly method: string;
  readonly url: string;
  readonly fields: Fields;
  readonly incoming: Incoming;
  readonly clientIp: string | null;
  route: CompiledRoute | null;
  record: EdgeRecord | null;
  /** What was presented in the key's place. */
  token: VerifiedToken | null;
  /** Of a credential that is nobody's: see `Refusal`. */
  credentialTag: number | null;
  /** When it was paid for, or refused: the time of the event. */
  time: number;
  /** What it took to decide. */
  authMs: number;
  via: Credential["via"] | null;
  refusal: Problem | null;
  limits: readonly LimitView[];
  trace: Trace | null;
}

const NONE: readonly never[] = [];

export function setOut(request: Request, requestId: string): Journey {
  const startedAt = Date.now();
  const fields = readFields(request.headers);
  return {
    request,
    requestId,
    startedAt,
    method: request.method,
    url: request.url,
    fields,
    incoming: incomingOf(request),
    clientIp: fields.get("cf-connecting-ip") ?? null,
    route: null,
    record: null,
    token: null,
    credentialTag: null,
    time: startedAt,
    authMs: 0,
    via: null,
    refusal: null,
    limits: NONE,
    trace: null,
    form: null,
    recordFrom: null,
    recordAgeMs: 0,
    leaseFrom: null,
    leaseBy: null,
    leaseGranted: false,
    leaseAgeMs: -1,
    leaseLeftMs: 0,
  };
}

/** What it came to. */
type Outcome = Pick<
  Facts,
  "status" | "code" | "cost" | "latencyMs" | "upstreamMs" | "bytesIn" | "bytesOut" | "degraded"
>;

/** For the event. */
export function factsOf(journey: Journey, outcome: Outcome): Facts {
  const { route, token } = journey;
  const { country, asn, colo } = networkOf(journey.incoming);
  return {
    requestId: journey.requestId,
    time: journey.time,
    record: journey.record,
    method: journey.method,
    upstream: route === null ? null : route.upstream.name,
    route: route === null ? null : route.template,
    status: outcome.status,
    code: outcome.code,
    cost: outcome.cost,
    latencyMs: outcome.latencyMs,
    authMs: journey.authMs,
    upstreamMs: outcome.upstreamMs,
    bytesIn: outcome.bytesIn,
    bytesOut: outcome.bytesOut,
    country,
    asn,
    colo,
    clientIp: journey.clientIp,
    userAgent: journey.fields.get("user-agent") ?? null,
    degraded: outcome.degraded,
    tokenId: token === null ? null : token.claims.jti,
    credentialTag: journey.credentialTag,
  };
}
