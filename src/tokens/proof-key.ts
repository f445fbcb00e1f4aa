import { calculateJwkThumbprint, importJWK, type JWK } from "jose";
import { PROOF_KEY_CACHE_ENTRIES } from "../constants.ts";
import { err, ok, type Result } from "../result.ts";
import { PROOF_ALGORITHMS } from "./proof-algorithms.ts";

/** The public key that a DPoP proof brings along in its header. */

export interface ProofKey {
  readonly key: CryptoKey;
  readonly alg: string;
  /** RFC 7638 thumbprint, SHA-256. */
  readonly jkt: string;
}

/** RFC 7518 §6.2.2, §6.3.2, §6.4.1, RFC 8037: members of a key that is not public. */
const PRIVATE_MEMBERS: readonly string[] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** RFC 7518 §3.3: 2,048 bits at least. More than 4,096 is a burden without a use. */
const RSA_MODULUS_BITS = { min: 2_048, max: 4_096 };

/**
 * Keys of headers that were good, by the header as it was sent: a client's proofs all have the same one, so that a warm proof needs
 * no parsing, no thumbprint and no import. What was not used for longest goes first.
 */
const cache = new Map<string, ProofKey>();

/** @param header the first part of the proof, as sent. The error repeats nothing of it. */
export async function readProofKey(header: string): Promise<Result<ProofKey, string>> {
  const known = cache.get(header);
  if (known !== undefined) return ok(known);
  const read = readHeader(header);
  if (!read.ok) return read;
  const { alg, jwk } = read.value;
  try {
    const key = await importJWK(jwk, alg);
    if (!(key instanceof CryptoKey)) return err(BAD_JWK);
    return ok({ key, alg, jkt: await calculateJwkThumbprint(jwk, "sha256") });
  } catch {
    return err(BAD_JWK);
  }
}

/** Once its holder has signed with it: nobody fills the store with keys of others. */
export function rememberProofKey(header: string, key: ProofKey): void {
  cache.delete(header);
  if (cache.size >= PROOF_KEY_CACHE_ENTRIES) {
    const [oldest = ""] = cache.keys();
    cache.delete(oldest);
  }
  cache.set(header, key);
}

const NO_JWT = "A DPoP proof is a JWT of type dpop+jwt.";
const BAD_JWK = "jwk must be a public key for the algorithm that the proof names.";
const BAD_ALG = `alg must be one of ${PROOF_ALGORITHMS.join(", ")}.`;

function readHeader(header: string): Result<{ readonly alg: string; readonly jwk: JWK }, string> {
  const parsed = parseHeader(header);
  if (parsed === null) return err(NO_JWT);
  const { typ, alg, jwk, crit, b64 } = parsed;
  if (typeof typ !== "string" || typ.toLowerCase() !== "dpop+jwt") return err(NO_JWT);
  if (typeof alg !== "string" || !PROOF_ALGORITHMS.includes(alg)) return err(BAD_ALG);
  // Nothing that changes what a JWS means is understood here.
  if (crit !== undefined || b64 !== undefined) return err("The header of a proof must not have crit or b64.");
  if (typeof jwk !== "object" || jwk === null || Array.isArray(jwk)) return err(BAD_JWK);
  if (PRIVATE_MEMBERS.some((member) => member in jwk)) return err("jwk must not have a private part.");
  return isFor(jwk, alg) ? ok({ alg, jwk }) : err(BAD_JWK);
}

function parseHeader(header: string): Partial<Record<string, unknown>> | null {
  try {
    const parsed: unknown = JSON.parse(atob(header.replaceAll("-", "+").replaceAll("_", "/")));
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : null;
  } catch {
    return null;
  }
}

/** Whether the key is of the algorithm's kind; the rest is the import's to find. */
function isFor(jwk: JWK, alg: string): boolean {
  switch (alg) {
    case "ES256":
      return jwk.kty === "EC" && jwk.crv === "P-256";
    case "ES384":
      return jwk.kty === "EC" && jwk.crv === "P-384";
    case "Ed25519":
    case "EdDSA":
      return jwk.kty === "OKP" && jwk.crv === "Ed25519";
    default:
      return jwk.kty === "RSA" && typeof jwk.n === "string" && isModulusLong(jwk.n);
  }
}

function isModulusLong(modulus: string): boolean {
  const bits = Math.floor((modulus.length * 6) / 8) * 8;
  return bits >= RSA_MODULUS_BITS.min && bits <= RSA_MODULUS_BITS.max;
}
