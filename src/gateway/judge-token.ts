import type { EdgeRecord } from "../keys/record.ts";
import { isRevoked, type TokenFault, type VerifiedToken } from "../tokens/verified-token.ts";
import type { CheckInput } from "./check.ts";
import type { Judgement } from "./judge.ts";

/** Step 5, what concerns the difference between a key and a token of it. No I/O. */

/** One answer for whatever is wrong with a token, but for what its holder can put right by asking for another. */
export const TOKEN_DETAILS: Readonly<Record<TokenFault, string>> = {
  token_invalid: "The token is not valid here.",
  token_expired: "The token has expired. Exchange the key for another.",
  token_revoked: "The token was revoked. Exchange the key for another.",
};

const OTHER_AUDIENCE = "The token is for another audience. Exchange the key for one that is for this.";
const UNBOUND =
  "The key demands tokens that are bound to a client key (DPoP), and this one is not. Exchange the key for another.";
const EXCHANGE_ONLY =
  "This key opens nothing by itself. Exchange it at /_latchkey/oauth/token, and send the token that comes back.";

/** Why what was presented may not be used in this way, or `null`. */
export function judgePresented(
  token: VerifiedToken | null,
  record: EdgeRecord,
  { demand }: Pick<CheckInput, "demand">,
): Judgement | null {
  if (token === null) {
    if (record.policy.exchangeOnly !== true || demand.takesExchangeOnly) return null;
    return { code: "token_required", detail: EXCHANGE_ONLY, final: false };
  }
  if (isRevoked(token, record)) return { code: "token_revoked", detail: TOKEN_DETAILS.token_revoked, final: true };
  // Minted before the key demanded it.
  if (record.policy.requireDpop === true && token.claims.cnf?.jkt === undefined)
    return { code: "token_invalid", detail: UNBOUND, final: false };
  if (demand.audience !== null && token.claims.aud !== demand.audience)
    return { code: "token_invalid", detail: OTHER_AUDIENCE, final: true };
  return null;
}
