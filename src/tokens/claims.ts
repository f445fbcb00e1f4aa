/**
 * What a Latchkey token says: RFC 9068's claims, and what leads to its parent. `client_id` is the id of the key that it was minted
 * from; every admission on the token stands on that key's own record and lease.
 */
export interface TokenClaims {
  readonly iss: string;
  /** The key's owner. */
  readonly sub: string;
  /** One upstream's audience: see `UpstreamConfig.audience`. */
  readonly aud: string;
  /** The parent key's id. */
  readonly client_id: string;
  /** Seconds since the Unix epoch, as all times in claims. */
  readonly iat: number;
  readonly exp: number;
  /** `tok_…`. */
  readonly jti: string;
  /** Space-separated; empty where the key has none. */
  readonly scope: string;
  readonly lk_workspace: string;
  readonly lk_lineage: string;
  readonly lk_environment: "live" | "test";
  /** The `jti` of the tokens that this one was derived from, oldest first: it dies with each of them. Absent: none. */
  readonly lk_ancestors?: readonly string[];
  /** `iat` of the oldest of them: what ends all tokens of a key that were minted until some moment, ends what came from them later. */
  readonly lk_root_iat?: number;
  /** RFC 8693 §4.1: who acts, innermost the first. */
  readonly act?: ActorClaim;
  /** What the holder must prove to have: RFC 9449 §6.1, RFC 8705 §3.1. */
  readonly cnf?: Confirmation;
}

export interface ActorClaim {
  /** The actor's owner. */
  readonly sub: string;
  /** The actor's key. */
  readonly client_id: string;
  readonly act?: ActorClaim;
}

export interface Confirmation {
  /** RFC 7638 thumbprint (SHA-256, base64url) of the client's DPoP key. */
  readonly jkt?: string;
  /** SHA-256 of the client's certificate, base64url. */
  readonly "x5t#S256"?: string;
}

/** RFC 9068 §2.1. */
export const TOKEN_TYPE = "at+jwt";
