import { useSignatureAt } from "../../durable-objects/replay-guard/client.ts";
import { digestKey } from "../keys/digest.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { VerifiedSignature } from "../signatures/request-signature.ts";
import type { Proof } from "../tokens/dpop.ts";
import { useProof } from "../tokens/use-proof.ts";
import type { Refusal } from "./outcome.ts";
import { refusalOfProof } from "./prove-possession.ts";

/**
 * Step 5 for what is good for one request only: a DPoP proof, a request signature. What can be told of it here is told before the
 * request is paid for; it is used up afterwards, so that a client that is over its limit asks nobody.
 */
export interface SingleUse {
  readonly proof: Proof | null;
  readonly signature: VerifiedSignature | null;
}

export interface ReplayParty {
  readonly replayGuard: Env["REPLAY_GUARD"];
}

/** Why the request may not go on, or `null`: it was used by nobody before, and now it is. */
export async function useUp(
  { proof, signature }: SingleUse,
  record: EdgeRecord,
  { replayGuard }: ReplayParty,
): Promise<Omit<Refusal, "record"> | null> {
  if (proof !== null) {
    const used = await useProof(proof, record.workspace, replayGuard);
    if (!used.ok) return refusalOfProof(used.error);
  }
  return signature === null ? null : await useSignature(signature, record, replayGuard);
}

/** Once: a signature is good for one request, wherever it is sent. */
async function useSignature(
  { created, once }: VerifiedSignature,
  { id, workspace }: EdgeRecord,
  guard: Env["REPLAY_GUARD"],
): Promise<Omit<Refusal, "record"> | null> {
  const used = await useSignatureAt(guard, { workspace, keyId: id }, { id: digestKey(`${id} ${once}`), created });
  switch (used.outcome) {
    case "fresh":
      return null;
    case "replayed":
      return invalid("This signature was used before. Sign each request anew, with a nonce of its own.");
    case "stale":
      return invalid("The signature is too old, or from the future.");
    case "overloaded":
    case "unavailable": {
      const detail = "Whether the signature was used before cannot be told right now. Nothing was charged; try again.";
      return { code: "verification_unavailable", detail, retryAfterSeconds: 1 };
    }
  }
}

function invalid(detail: string): Omit<Refusal, "record"> {
  return { code: "signature_invalid", detail };
}
