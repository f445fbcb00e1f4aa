import { REPLAY_GUARD_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import type { ProofUse, ProofUseAnswer, SignatureUse, SignatureUseAnswer } from "./api.ts";

/**
 * How an isolate asks. Never retried: a use whose answer was lost may have been counted. Whoever cannot ask refuses: what could have
 * been used before is not let in.
 */

/**
 * Objects of each kind in a workspace, which shares none with another: whoever fills one harms its own. One bears some 1,000 uses a
 * second, and what one cannot remember no other can: never change it while proofs are alive, or the same proof goes to another object.
 */
const GUARD_SHARDS = 256;

export type Unavailable = { readonly outcome: "unavailable" };

export interface ProofOwner {
  readonly workspace: string;
  /** Thumbprint of the client's key: its proofs always meet the same object. */
  readonly jkt: string;
}

export async function useProofAt(
  namespace: Env["REPLAY_GUARD"],
  { workspace, jkt }: ProofOwner,
  use: ProofUse,
): Promise<ProofUseAnswer | Unavailable> {
  const stub = namespace.getByName(`dpop/${workspace}/${fnv1a(jkt) % GUARD_SHARDS}`);
  return await answered<ProofUseAnswer>(stub.useProof(use));
}

export interface SignatureOwner {
  readonly workspace: string;
  readonly keyId: string;
}

export async function useSignatureAt(
  namespace: Env["REPLAY_GUARD"],
  { workspace, keyId }: SignatureOwner,
  use: SignatureUse,
): Promise<SignatureUseAnswer | Unavailable> {
  const stub = namespace.getByName(`signature/${workspace}/${fnv1a(keyId) % GUARD_SHARDS}`);
  return await answered<SignatureUseAnswer>(stub.useSignature(use));
}

async function answered<T>(answer: Promise<T>): Promise<T | Unavailable> {
  try {
    return await within(answer, REPLAY_GUARD_TIMEOUT_MS, "the replay guard");
  } catch {
    return { outcome: "unavailable" };
  }
}
