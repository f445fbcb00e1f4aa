import { Buffer } from "node:buffer";
import { MIN_TOKEN_SECRET_CHARACTERS } from "../constants.ts";

/**
 * The secret with which the holder of a key signs its requests by HMAC. It is derived from the deployment's secret and the key's id
 * (HKDF-SHA-256, RFC 5869): shown when the key is issued, never sent, never stored, and known to every isolate.
 */

const SALT = "latchkey/signing-secret/v1";
const SECRET_BITS = 256;

/** The deployment's secrets, as far as they are there: `LATCHKEY_TOKEN_SECRET`, and the one before it. */
export interface DeploymentSecrets {
  readonly LATCHKEY_TOKEN_SECRET?: string | undefined;
  readonly LATCHKEY_TOKEN_SECRET_PREVIOUS?: string | undefined;
}

/** As it is shown, base64url: the HMAC's key is the 32 bytes. `null`: the deployment has no secret to derive it from. */
export async function signingSecretFor(keyId: string, secrets: DeploymentSecrets): Promise<string | null> {
  const secret = await derive(secrets.LATCHKEY_TOKEN_SECRET, keyId);
  return secret === null ? null : Buffer.from(secret).toString("base64url");
}

/** Those that requests may be signed with, the present one first: two while the deployment's secret is being replaced. */
export async function signingSecrets(
  keyId: string,
  secrets: DeploymentSecrets,
): Promise<readonly Uint8Array<ArrayBuffer>[]> {
  const derived = [
    await derive(secrets.LATCHKEY_TOKEN_SECRET, keyId),
    await derive(secrets.LATCHKEY_TOKEN_SECRET_PREVIOUS, keyId),
  ];
  return derived.filter((secret) => secret !== null);
}

async function derive(secret: string | undefined, keyId: string): Promise<Uint8Array<ArrayBuffer> | null> {
  if (secret === undefined || secret.length < MIN_TOKEN_SECRET_CHARACTERS) return null;
  const encoder = new TextEncoder();
  const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: encoder.encode(SALT), info: encoder.encode(keyId) };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, material, SECRET_BITS));
}
