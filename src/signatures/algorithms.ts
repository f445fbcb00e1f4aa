/** Algorithms of RFC 9421 §3.3, by their registered names, on WebCrypto. */

export type SignatureAlgorithm = "hmac-sha256" | "ed25519" | "ecdsa-p256-sha256" | "rsa-pss-sha512";

interface Parameters {
  /** For `importKey`. */
  readonly key: { readonly name: string; readonly hash?: string; readonly namedCurve?: string };
  /** For `sign` and `verify`. */
  readonly use: { readonly name: string; readonly hash?: string; readonly saltLength?: number };
}

const PARAMETERS: Readonly<Record<SignatureAlgorithm, Parameters>> = {
  "hmac-sha256": { key: { name: "HMAC", hash: "SHA-256" }, use: { name: "HMAC" } },
  ed25519: { key: { name: "Ed25519" }, use: { name: "Ed25519" } },
  "ecdsa-p256-sha256": {
    key: { name: "ECDSA", namedCurve: "P-256" },
    use: { name: "ECDSA", hash: "SHA-256" },
  },
  "rsa-pss-sha512": { key: { name: "RSA-PSS", hash: "SHA-512" }, use: { name: "RSA-PSS", saltLength: 64 } },
};

/** A key together with the one algorithm that it is for: what a message says of its algorithm chooses nothing. */
export interface SignatureKey {
  readonly algorithm: SignatureAlgorithm;
  readonly key: CryptoKey;
}

/** @param bytes the secret for HMAC; the 32 bytes of an Ed25519 public key; else a SubjectPublicKeyInfo. Throws when it is none. */
export async function importVerifyingKey(
  algorithm: SignatureAlgorithm,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<SignatureKey> {
  const format = algorithm === "hmac-sha256" || algorithm === "ed25519" ? "raw" : "spki";
  const key = await crypto.subtle.importKey(format, bytes, PARAMETERS[algorithm].key, false, ["verify"]);
  return { algorithm, key };
}

/** @param bytes the secret for HMAC, else a PKCS #8. */
export async function importSigningKey(
  algorithm: SignatureAlgorithm,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<SignatureKey> {
  const format = algorithm === "hmac-sha256" ? "raw" : "pkcs8";
  const key = await crypto.subtle.importKey(format, bytes, PARAMETERS[algorithm].key, false, ["sign"]);
  return { algorithm, key };
}

const encoder = new TextEncoder();

/** The comparison takes the same time wherever it fails: it is WebCrypto's. */
export async function verifyBytes(
  { algorithm, key }: SignatureKey,
  signature: Uint8Array<ArrayBuffer>,
  base: string,
): Promise<boolean> {
  return await crypto.subtle.verify(PARAMETERS[algorithm].use, key, signature, encoder.encode(base));
}

export async function signBytes({ algorithm, key }: SignatureKey, base: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.sign(PARAMETERS[algorithm].use, key, encoder.encode(base)));
}
