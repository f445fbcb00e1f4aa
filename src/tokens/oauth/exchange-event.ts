import type { CheckOutcome } from "../../gateway/check.ts";
import { clientIpOf, incomingOf, networkOf } from "../../gateway/facts.ts";
import { record } from "../../gateway/record.ts";
import { PROBLEMS } from "../../http/codes.ts";
import type { Result } from "../../result.ts";
import type { OAuthError } from "./oauth-answer.ts";
import type { Call } from "./call.ts";

/** An exchange is a use of the key, and an event like every use. */

/** Stands in events for the endpoint. */
export const TOKEN_ROUTE = "/_latchkey/oauth/token";

/** In the words of every other event. */
function resultOf(outcome: Result<unknown, OAuthError>): { readonly status: number; readonly code: string } {
  if (outcome.ok) return { status: 200, code: "allowed" };
  if (outcome.error.error === "temporarily_unavailable") return { status: 503, code: "verification_unavailable" };
  return { status: outcome.error.error === "invalid_client" ? 401 : 400, code: "request_invalid" };
}

export function recordExchange(
  checked: CheckOutcome,
  outcome: Result<unknown, OAuthError>,
  { request, requestId, surroundings, startedAt }: Call & { readonly startedAt: number },
): void {
  const now = Date.now();
  const result = checked.ok
    ? {
        record: checked.admission.record,
        ...resultOf(outcome),
        cost: outcome.ok ? checked.admission.cost : 0,
        time: checked.at,
      }
    : {
        record: checked.refusal.record,
        status: PROBLEMS[checked.refusal.code].status,
        code: checked.refusal.code,
        cost: 0,
        time: now,
      };
  const facts = {
    ...result,
    requestId,
    method: request.method,
    upstream: null,
    route: TOKEN_ROUTE,
    latencyMs: now - startedAt,
    authMs: now - startedAt,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 0,
    ...networkOf(incomingOf(request)),
    clientIp: clientIpOf(request),
    userAgent: request.headers.get("User-Agent"),
    degraded: checked.ok && checked.admission.degraded,
  };
  record(facts, surroundings);
}
