import { TOKEN_CACHE_ENTRIES } from "../constants.ts";
import type { KeyHash } from "../keys/record.ts";
import type { VerifiedToken } from "./verified-token.ts";

/**
 * Tokens that this isolate has verified, by the digest of the whole token: a token in use is verified once, not once a request. The
 * digest binds header, claims and signature, so that none of them can be another's. Bounded; what has not been used for longest goes
 * first, or nearly so.
 */
export class TokenCache {
  #young = new Map<KeyHash, VerifiedToken>();
  #old = new Map<KeyHash, VerifiedToken>();
  readonly #capacity: number;

  constructor(capacity: number = TOKEN_CACHE_ENTRIES) {
    this.#capacity = capacity;
  }

  get(digest: KeyHash): VerifiedToken | null {
    const young = this.#young.get(digest);
    if (young !== undefined) return young;
    const old = this.#old.get(digest);
    if (old === undefined) return null;
    this.put(digest, old);
    return old;
  }

  /** Two generations: when the young one is full it becomes the old one, and what nobody asked for since is dropped. */
  put(digest: KeyHash, token: VerifiedToken): void {
    if (this.#young.size >= this.#capacity / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(digest, token);
  }

  drop(digest: KeyHash): void {
    this.#young.delete(digest);
    this.#old.delete(digest);
  }
}
