import { useProofAt } from "../../durable-objects/replay-guard/client.ts";
import { err, ok, type Result } from "../result.ts";
import type { InvalidProof, Proof } from "./dpop.ts";

export type ProofFault =
  | InvalidProof
  /** The client is to make its proof anew, with this nonce: RFC 9449 §8 (token endpoint, 400) and §9 (resource, 401). */
  | { readonly kind: "use_dpop_nonce"; readonly nonce: string }
  /** The guard cannot be asked, or has no room: nothing is let in. 503. */
  | { readonly kind: "unavailable" };

/**
 * Uses a good proof up: the same proof is taken once, exactly, wherever it is sent. One call to a Durable Object.
 * @param workspace of the key behind the token: the proofs of one workspace cannot crowd out those of another.
 */
export async function useProof(
  { jkt, replayId, iat, nonce }: Proof,
  workspace: string,
  namespace: Env["REPLAY_GUARD"],
): Promise<Result<null, ProofFault>> {
  const answer = await useProofAt(namespace, { workspace, jkt }, { id: replayId, iat, nonce });
  switch (answer.outcome) {
    case "fresh":
      return ok(null);
    case "replayed":
      return err({ kind: "invalid_dpop_proof", detail: "This proof was used before. Make one for each request." });
    case "stale":
      return err({ kind: "invalid_dpop_proof", detail: "iat is too far from now." });
    case "nonce":
      return err({ kind: "use_dpop_nonce", nonce: answer.nonce });
    case "overloaded":
    case "unavailable":
      return err({ kind: "unavailable" });
  }
}
