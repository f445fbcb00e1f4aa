import { Buffer } from "node:buffer";
import { requestFacts } from "../../gateway/facts.ts";
import type { Admission } from "../../gateway/outcome.ts";
import { ok, type Result } from "../../result.ts";
import type { Confirmation } from "../claims.ts";
import type { OAuthError } from "./oauth-answer.ts";
import type { Call } from "./call.ts";

/** What the new token is bound to: the key of the client's DPoP proof (RFC 9449 §5), its certificate (RFC 8705 §3), or nothing. */
export async function confirm(admission: Admission, call: Call): Promise<Result<Confirmation | null, OAuthError>> {
  const certificate = bindToCertificate(admission, call);
  return ok(certificate);
}

/** A key that is bound to certificates, or a token to one, mints tokens that are bound to the one at hand. */
function bindToCertificate({ record, token }: Admission, { request }: Call): Confirmation | null {
  const isBound = token?.claims.cnf?.["x5t#S256"] !== undefined || (record.bindings.certificateSha256?.length ?? 0) > 0;
  const { certificateSha256 } = requestFacts(request);
  if (!isBound || certificateSha256 === null) return null;
  return { "x5t#S256": Buffer.from(certificateSha256, "hex").toString("base64url") };
}
