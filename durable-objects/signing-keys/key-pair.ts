import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import type { SigningAlgorithm } from "../../src/tokens/token-keys.ts";
import type { PublicJwk } from "./api.ts";

export interface KeyPair {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly jwk: PublicJwk;
  readonly pkcs8: ArrayBuffer;
}

/** RFC 8725 and NIST SP 800-57: enough until 2030, and what every library takes. */
const RSA_MODULUS_BITS = 2_048;
/** RFC 7518 §6.2.1, §6.3.1 and RFC 8037 §2: what may be published, and nothing else. */
const PUBLIC_MEMBERS = ["kty", "crv", "x", "y", "n", "e"] as const;

/** A new pair, named by its RFC 7638 thumbprint. */
export async function makeKeyPair(alg: SigningAlgorithm): Promise<KeyPair> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: RSA_MODULUS_BITS });
  const exported = await exportJWK(publicKey);
  const jwk: Record<string, string> = {};
  for (const member of PUBLIC_MEMBERS) {
    const value = exported[member];
    if (typeof value === "string") jwk[member] = value;
  }
  const kid = await calculateJwkThumbprint(jwk, "sha256");
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", privateKey);
  if (!(pkcs8 instanceof ArrayBuffer)) throw new TypeError("a private key is exported as bytes");
  return { kid, alg, jwk: { ...jwk, kid, alg, use: "sig" }, pkcs8 };
}
