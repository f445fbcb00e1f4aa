import { PROBLEMS } from "../http/codes.ts";
import type { CheckOutcome } from "./check.ts";
import { clientIpOf, incomingOf, networkOf } from "./facts.ts";
import type { Facts } from "./record.ts";

/**
 * The event of a check that is no proxied request: what the check came to, and what the incoming request says of itself.
 * A proxied request gathers the same while it is on its way: `journey.ts`.
 */

/** What follows from the check alone. A refusal charges nothing, and is of the moment in which it is written down. */
export function factsOfCheck(
  outcome: CheckOutcome,
  now: number,
): Pick<Facts, "record" | "tokenId" | "credentialTag" | "status" | "code" | "cost" | "time" | "degraded"> {
  if (outcome.ok) {
    const { record, token, cost, degraded } = outcome.admission;
    const tokenId = token?.claims.jti ?? null;
    return { record, tokenId, credentialTag: null, status: 200, code: "allowed", cost, time: outcome.at, degraded };
  }
  const { record, token, code, credentialTag = null } = outcome.refusal;
  const tokenId = token?.claims.jti ?? null;
  return { record, tokenId, credentialTag, status: PROBLEMS[code].status, code, cost: 0, time: now, degraded: false };
}

/** A request that Latchkey answers by itself. */
export interface AnsweredCall {
  readonly request: Request;
  readonly requestId: string;
  readonly startedAt: number;
}

/** All that an event needs but the route. */
export function factsOfCall(
  outcome: CheckOutcome,
  { request, requestId, startedAt }: AnsweredCall,
): Omit<Facts, "route"> {
  const now = Date.now();
  const ms = now - startedAt;
  return {
    ...factsOfCheck(outcome, now),
    requestId,
    method: request.method,
    upstream: null,
    latencyMs: ms,
    authMs: ms,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 0,
    ...networkOf(incomingOf(request)),
    clientIp: clientIpOf(request),
    userAgent: request.headers.get("User-Agent"),
  };
}
