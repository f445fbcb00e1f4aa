import { CompactEncrypt, compactDecrypt, errors } from "jose";
import { MIN_TOKEN_SECRET_CHARACTERS } from "../../constants.ts";
import type { DeploymentSecrets } from "../../signatures/signing-secret.ts";

/**
 * What the browser keeps for us, so that it can neither read nor write it: a JWE (RFC 7516, `dir` with A256GCM) under a key that
 * HKDF (RFC 5869) derives from the deployment's secret, another one for each purpose.
 */

export type SealPurpose = "session" | "portal-link" | "portal-session" | "access-csrf";

const SALT = "latchkey/dashboard/v1";
const KEY_BITS = 256;
/** A session is some 500 characters; a browser keeps 4,096. */
const MAX_SEALED_CHARACTERS = 4_000;

/** The keys of one purpose, the one that seals first: two while the deployment's secret is being replaced. Empty: it has none. */
export async function sealingKeys(purpose: SealPurpose, secrets: DeploymentSecrets): Promise<readonly Uint8Array[]> {
  const keys: Uint8Array[] = [];
  for (const secret of [secrets.LATCHKEY_TOKEN_SECRET, secrets.LATCHKEY_TOKEN_SECRET_PREVIOUS]) {
    if (secret === undefined || secret.length < MIN_TOKEN_SECRET_CHARACTERS) continue;
    const encoder = new TextEncoder();
    const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveBits"]);
    const parameters = { name: "HKDF", hash: "SHA-256", salt: encoder.encode(SALT), info: encoder.encode(purpose) };
    keys.push(new Uint8Array(await crypto.subtle.deriveBits(parameters, material, KEY_BITS)));
  }
  return keys;
}

/** `null`: the deployment has no secret to seal with. */
export async function seal(value: object, purpose: SealPurpose, secrets: DeploymentSecrets): Promise<string | null> {
  const [key] = await sealingKeys(purpose, secrets);
  if (key === undefined) return null;
  return await new CompactEncrypt(new TextEncoder().encode(JSON.stringify(value)))
    .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
    .encrypt(key);
}

/** What was sealed; `null` for whatever was not sealed here for this purpose. */
export async function unseal(sealed: string, purpose: SealPurpose, secrets: DeploymentSecrets): Promise<unknown> {
  if (sealed.length > MAX_SEALED_CHARACTERS) return null;
  for (const key of await sealingKeys(purpose, secrets)) {
    try {
      const { plaintext } = await compactDecrypt(sealed, key, {
        keyManagementAlgorithms: ["dir"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
      return JSON.parse(new TextDecoder().decode(plaintext)) as unknown;
    } catch (error) {
      // Not sealed by this key; perhaps by the one before.
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return null;
}
