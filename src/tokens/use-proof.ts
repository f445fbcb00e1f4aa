import { useProofAt } from "../../durable-objects/replay-guard/client.ts";
import { err, ok, type Result } from "../result.ts";
import { checkProof, type InvalidProof, type Proof, type ProofInput } from "./dpop.ts";

export type ProofFault =
  | InvalidProof
  /** The client is to make its proof anew, with this nonce: RFC 9449 §8 (token endpoint, 400) and §9 (resource, 401). */
  | { readonly kind: "use_dpop_nonce"; readonly nonce: string }
  /** The guard cannot be asked, or has no room: nothing is let in. 503. */
  | { readonly kind: "unavailable" };

/**
 * Checks a proof and uses it up: the same proof is taken once, exactly, wherever it is sent. One call to a Durable Object for each
 * good proof; none for a bad one.
 */
export async function useProof(input: ProofInput, namespace: Env["REPLAY_GUARD"]): Promise<Result<Proof, ProofFault>> {
  const proof = await checkProof(input);
  if (!proof.ok) return proof;
  const { jkt, replayId, iat, nonce } = proof.value;
  const answer = await useProofAt(namespace, jkt, { id: replayId, iat, nonce });
  switch (answer.outcome) {
    case "fresh":
      return ok(proof.value);
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
