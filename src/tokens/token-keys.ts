import type { JSONWebKeySet, JWTPayload } from "jose";
import type { Result } from "../result.ts";

/** Background work of the request in hand. */
export type WaitUntil = (work: Promise<unknown>) => void;

/**
 * The signing keys as one isolate knows them: a copy that stands for a few seconds, as leases do, and is renewed in the background
 * by whoever uses it. So neither signing nor verifying asks an object each time.
 */
export interface TokenKeys {
  /**
   * Whether a key is still one of ours, for tokens that were verified before: synchronous, no I/O. `null`: the copy is too old to
   * tell; ask `find`.
   */
  stands(kid: string, now: number, waitUntil: WaitUntil): boolean | null;
  /** The public key; `null` where there is none of that name. A key that is not known is asked for again, within bounds. */
  find(kid: string, waitUntil: WaitUntil): Promise<Result<VerificationKey | null, "unavailable">>;
  /** A compact JWS over `claims` by the present key, with `alg`, `kid` and `typ` in its header. */
  sign(typ: string, claims: JWTPayload, waitUntil: WaitUntil): Promise<Result<string, "unavailable">>;
  /** What is published: public keys alone, the next one among them. */
  published(waitUntil: WaitUntil): Promise<Result<JSONWebKeySet, "unavailable">>;
}

export interface VerificationKey {
  readonly key: CryptoKey;
  readonly alg: SigningAlgorithm;
}

export type SigningAlgorithm = "ES256" | "Ed25519" | "RS256";
