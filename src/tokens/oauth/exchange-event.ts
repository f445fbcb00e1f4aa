import type { CheckOutcome } from "../../gateway/check.ts";
import { factsOfCall } from "../../gateway/checked-event.ts";
import { newGround } from "../../gateway/ground.ts";
import { record } from "../../gateway/record.ts";
import { wayOfCheck } from "../../gateway/way.ts";
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

/** What leads from the token to this exchange. */
interface Minted {
  readonly jti: string;
}

export function recordExchange(
  checked: CheckOutcome,
  outcome: Result<Minted, OAuthError>,
  { request, requestId, surroundings, startedAt }: Call & { readonly startedAt: number },
): void {
  const facts = { ...factsOfCall(checked, { request, requestId, startedAt }), route: TOKEN_ROUTE };
  // What was presented was good, and came to nothing all the same: that costs nothing.
  const cost = outcome.ok ? facts.cost : 0;
  const minted = outcome.ok ? { mintedTokenId: outcome.value.jti } : {};
  // What is exchanged stands in the body.
  const call = { ground: newGround(), route: null, via: null, fields: null, url: "", incoming: undefined } as const;
  const way = wayOfCheck(checked, call);
  record(checked.ok ? { ...facts, ...resultOf(outcome), cost, ...minted } : facts, surroundings, way);
}
