import { MIN_TOKEN_SECRET_CHARACTERS } from "../../src/constants.ts";
import { err, ok, type Result } from "../../src/result.ts";

/** Private keys at rest: AES-256-GCM (NIST SP 800-38D) under keys that HKDF (RFC 5869) derives from the deployment's secret. */

const SALT = "latchkey/signing-keys/v1";
const IV_BYTES = 12;
const FINGERPRINT_BITS = 96;

/** A secret in use: what it wraps with, and a name for it that tells nothing of it. */
export interface WrappingSecret {
  readonly fingerprint: string;
  readonly key: CryptoKey;
}

/** What is stored of a private key. */
export interface Wrapped {
  readonly bytes: ArrayBuffer;
  readonly iv: ArrayBuffer;
  /** Fingerprint of the secret that wrapped it. */
  readonly secret: string;
}

/** `null` where there is none, or where it is too short to be one. */
export async function deriveSecret(secret: string | undefined): Promise<WrappingSecret | null> {
  if (secret === undefined || secret.length < MIN_TOKEN_SECRET_CHARACTERS) return null;
  const material = await crypto.subtle.importKey("raw", encode(secret), "HKDF", false, ["deriveBits", "deriveKey"]);
  const purpose = (info: string) => ({ name: "HKDF", hash: "SHA-256", salt: encode(SALT), info: encode(info) });
  const aes = { name: "AES-GCM", length: 256 };
  const key = await crypto.subtle.deriveKey(purpose("wrap"), material, aes, false, ["encrypt", "decrypt"]);
  const name = await crypto.subtle.deriveBits(purpose("fingerprint"), material, FINGERPRINT_BITS);
  return { key, fingerprint: Buffer.from(name).toString("base64url") };
}

export async function wrap(kid: string, pkcs8: ArrayBuffer, secret: WrappingSecret): Promise<Wrapped> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const bytes = await crypto.subtle.encrypt(sealOf(kid, iv), secret.key, pkcs8);
  return { bytes, iv: iv.buffer, secret: secret.fingerprint };
}

/** `secret_unknown`: none of `secrets` wrapped it. `damaged`: one did, and it is not what was wrapped, or belongs to another key. */
export async function unwrap(
  kid: string,
  wrapped: Wrapped,
  secrets: readonly WrappingSecret[],
): Promise<Result<ArrayBuffer, "secret_unknown" | "damaged">> {
  const secret = secrets.find(({ fingerprint }) => fingerprint === wrapped.secret);
  if (secret === undefined) return err("secret_unknown");
  try {
    return ok(await crypto.subtle.decrypt(sealOf(kid, new Uint8Array(wrapped.iv)), secret.key, wrapped.bytes));
  } catch {
    return err("damaged");
  }
}

/** The key's name and purpose are sealed with it: a private part moved to another row does not open. */
function sealOf(kid: string, iv: Uint8Array<ArrayBuffer>) {
  return { name: "AES-GCM", iv, additionalData: encode(JSON.stringify([SALT, "token-signing", kid])) };
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
