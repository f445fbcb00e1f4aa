import { REPLAY_GUARD_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import type { ProofUse, ProofUseAnswer, SignatureUse, SignatureUseAnswer } from "./api.ts";

/**
 * How an isolate asks. Never retried: a use whose answer was lost may have been counted. Whoever cannot ask refuses: what could have
 * been used before is not let in.
 */

/**
 * Objects of each kind. One bears some 1,000 uses a second, and what one cannot remember no other can: never change it while proofs
 * are alive, or the same proof goes to another object.
 */
const GUARD_SHARDS = 256;

export type Unavailable = { readonly outcome: "unavailable" };

/** @param jkt thumbprint of the client's key: its proofs always meet the same object. */
export async function useProofAt(
  namespace: Env["REPLAY_GUARD"],
  jkt: string,
  use: ProofUse,
): Promise<ProofUseAnswer | Unavailable> {
  const stub = namespace.getByName(`dpop/${fnv1a(jkt) % GUARD_SHARDS}`);
  return await answered<ProofUseAnswer>(stub.useProof(use));
}

export async function useSignatureAt(
  namespace: Env["REPLAY_GUARD"],
  keyId: string,
  use: SignatureUse,
): Promise<SignatureUseAnswer | Unavailable> {
  const stub = namespace.getByName(`signature/${fnv1a(keyId) % GUARD_SHARDS}`);
  return await answered<SignatureUseAnswer>(stub.useSignature(use));
}

async function answered<T>(answer: Promise<T>): Promise<T | Unavailable> {
  try {
    return await within(answer, REPLAY_GUARD_TIMEOUT_MS, "the replay guard");
  } catch {
    return { outcome: "unavailable" };
  }
}
