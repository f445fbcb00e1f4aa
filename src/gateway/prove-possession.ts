import { Buffer } from "node:buffer";
import type { VerifiedToken } from "../tokens/verified-token.ts";
import { checkProof, type Proof } from "../tokens/dpop.ts";
import type { ProofFault } from "../tokens/use-proof.ts";
import { err, ok, type Result } from "../result.ts";
import type { CheckInput } from "./check.ts";
import type { Credential } from "./credential.ts";
import { TOKEN_DETAILS } from "./judge-token.ts";
import type { Refusal } from "./outcome.ts";

/**
 * Step 5 for a token that is bound to its holder: a proof by the client's key (RFC 9449 §7.1), the client's certificate (RFC 8705 §3).
 * Before anything is charged. That a proof is used once only: `single-use.ts`.
 */

/** How a request shows that its token is its own. */
export interface Possession {
  readonly via: Credential["via"];
  /** The field `DPoP`. */
  readonly proof: string | null;
  readonly method: string;
  readonly url: string;
}

/** Nothing is asked of most requests, and nothing is awaited for them. */
export function isProofDue(token: VerifiedToken | null, { possession }: Pick<CheckInput, "possession">): boolean {
  if (possession === "not asked") return false;
  return possession.via === "dpop" || token?.claims.cnf !== undefined;
}

/** The proof that is to be used up, `null` where none is due; else why the token may not be used by this request. */
export async function provePossession(
  token: VerifiedToken | null,
  { presentedKey, possession, facts }: Pick<CheckInput, "presentedKey" | "possession" | "facts">,
): Promise<Result<Proof | null, Omit<Refusal, "record">>> {
  if (possession === "not asked") return ok(null);
  const bound = token?.claims.cnf;
  if (bound?.["x5t#S256"] !== undefined && bound["x5t#S256"] !== thumbprintOf(facts)) {
    return err({ code: "token_invalid", detail: "The token is bound to a client certificate, and this is not it." });
  }
  const jkt = bound?.jkt;
  if (jkt === undefined) {
    // Who means it to be bound is told that it is not, and not let in by a token that anyone could use.
    return possession.via === "dpop" ? err({ code: "token_invalid", detail: TOKEN_DETAILS.token_invalid }) : ok(null);
  }
  if (possession.via !== "dpop") {
    const detail = "The token is bound to a client key: send it as Authorization: DPoP, with a proof.";
    return err({ code: "dpop_proof_invalid", detail });
  }
  const { proof, method, url } = possession;
  const checked = await checkProof({
    proof,
    method,
    url,
    accessToken: presentedKey,
    expectedJkt: jkt,
    now: Date.now(),
  });
  return checked.ok ? checked : err(refusalOfProof(checked.error));
}

function thumbprintOf(facts: CheckInput["facts"]): string | null {
  const hex = facts?.certificateSha256 ?? null;
  return hex === null ? null : Buffer.from(hex, "hex").toString("base64url");
}

export function refusalOfProof(fault: ProofFault): Omit<Refusal, "record"> {
  switch (fault.kind) {
    case "invalid_dpop_proof":
      return { code: "dpop_proof_invalid", detail: fault.detail };
    case "use_dpop_nonce":
      return {
        code: "dpop_nonce_required",
        detail: "Make the proof again, with the nonce of this answer.",
        dpopNonce: fault.nonce,
      };
    case "unavailable": {
      const detail = "Whether the proof was used before cannot be told right now. Nothing was charged; try again.";
      return { code: "verification_unavailable", detail, retryAfterSeconds: 1 };
    }
  }
}
