import { Buffer } from "node:buffer";
import { requestFacts } from "../../gateway/facts.ts";
import type { Admission } from "../../gateway/outcome.ts";
import { err, ok, type Result } from "../../result.ts";
import type { Confirmation } from "../claims.ts";
import { checkProof } from "../dpop.ts";
import { type ProofFault, useProof } from "../use-proof.ts";
import type { Call } from "./call.ts";
import type { OAuthError } from "./oauth-answer.ts";

/**
 * What the new token is bound to: the key of the client's DPoP proof (RFC 9449 §5), its certificate (RFC 8705 §3), or nothing. What the
 * subject is bound to, its tokens are bound to as well. The proof is used up, so this comes when nothing else can be wrong any more.
 */
export async function confirm(admission: Admission, call: Call): Promise<Result<Confirmation | null, OAuthError>> {
  const certificate = bindToCertificate(admission, call);
  if (!certificate.ok) return certificate;
  const key = await bindToKey(admission, call);
  if (!key.ok) return key;
  const bound = { ...key.value, ...certificate.value };
  return ok(Object.keys(bound).length === 0 ? null : bound);
}

async function bindToKey(
  { record, token }: Admission,
  { request, surroundings }: Call,
): Promise<Result<Confirmation, OAuthError>> {
  const proof = request.headers.get("DPoP");
  const expectedJkt = token?.claims.cnf?.jkt ?? null;
  if (proof === null && expectedJkt === null && record.policy.requireDpop !== true) return ok({});
  const { method, url } = request;
  const checked = await checkProof({ proof, method, url, accessToken: null, expectedJkt, now: Date.now() });
  if (!checked.ok) return err(fromFault(checked.error));
  const used = await useProof(checked.value, record.workspace, surroundings.env.REPLAY_GUARD);
  return used.ok ? ok({ jkt: checked.value.jkt }) : err(fromFault(used.error));
}

function fromFault(fault: ProofFault): OAuthError {
  switch (fault.kind) {
    case "invalid_dpop_proof":
      return { error: "invalid_dpop_proof", description: fault.detail };
    case "use_dpop_nonce":
      return {
        error: "use_dpop_nonce",
        description: "Make the proof again, with the nonce of this answer.",
        dpopNonce: fault.nonce,
      };
    case "unavailable":
      return {
        error: "temporarily_unavailable",
        description: "Whether the proof was used before cannot be told right now.",
      };
  }
}

/** A key that is bound to certificates mints tokens that are bound to the one at hand; so does a token that is bound to it. */
function bindToCertificate({ record, token }: Admission, { request }: Call): Result<Confirmation, OAuthError> {
  const { certificateSha256 } = requestFacts(request);
  const thumbprint = certificateSha256 === null ? null : Buffer.from(certificateSha256, "hex").toString("base64url");
  const before = token?.claims.cnf?.["x5t#S256"];
  if (before !== undefined && before !== thumbprint)
    return err({
      error: "invalid_request",
      description: "The subject token is bound to a client certificate, and this is not it.",
    });
  const isBound = before !== undefined || (record.bindings.certificateSha256?.length ?? 0) > 0;
  return ok(isBound && thumbprint !== null ? { "x5t#S256": thumbprint } : {});
}
