import type { Limit } from "../limits/limit.ts";

/** What a key is to those who check it: facts with a generation, never a balance, never a decision. */

export type Environment = "live" | "test";
/** `workload`: an identity of others, known by a trust rule. It has no secret: nobody can present it, only what is minted from it. */
export type KeyKind = "secret" | "publishable" | "admin" | "workload";

declare const brand: unique symbol;
/** SHA-256 of the whole presented key, base64url without padding (43 characters). The only form in which a key is stored. */
export type KeyHash = string & { readonly [brand]: "KeyHash" };
/** `key_…`, sortable by time. */
export type KeyId = string;
/** `lin_…`: one lineage outlives each of its secrets; counters belong to it. */
export type LineageId = string;

/** Milliseconds since the Unix epoch. */
export type EpochMs = number;

export interface Bindings {
  /** CIDR blocks or single addresses. */
  readonly ips?: readonly string[];
  /** Web origins: `https://app.example.com` or `*.example.com`. */
  readonly origins?: readonly string[];
  /** ISO 3166-1 alpha-2. */
  readonly countries?: readonly string[];
  /** SHA-256 of the client certificate, lower-case hex. */
  readonly certificateSha256?: readonly string[];
}

export interface Policy {
  /** Every request asks the meter: a revocation stops the key at once. */
  readonly strict?: boolean;
  /** When the meter cannot be asked: refuse, or go on with what is known for `graceSeconds`. */
  readonly onMeterUnavailable?: "open" | "closed";
  readonly graceSeconds?: number;
  /** How long an admission may stand without asking again; at most `LEASE_TTL_MS`. */
  readonly leaseTtlSeconds?: number;
  /** The key itself opens nothing but the token endpoint: what it is exchanged for is what is used. */
  readonly exchangeOnly?: boolean;
  /** How long a token that is minted from this key may live; absent: as the configuration says. */
  readonly tokenTtlSeconds?: number;
  /** Tokens of this key are minted for a client key alone (RFC 9449): who steals one cannot use it. */
  readonly requireDpop?: boolean;
  /** Each request must be signed (RFC 9421), so that the key alone is not enough. */
  readonly signature?: SignaturePolicy;
}

/** What the signature on each request must be. Method, target and body are covered always. */
export interface SignaturePolicy {
  /** `hmac-sha256`: by the key's signing secret, which is shown when the key is issued. `ed25519`: by the holder's own key. */
  readonly algorithm: "hmac-sha256" | "ed25519";
  /** With `ed25519`: the 32 bytes of the public key, base64url. */
  readonly publicKey?: string | undefined;
  /** What must be covered beyond that: names of fields, in lower case, or derived components. */
  readonly components?: readonly string[] | undefined;
  /** Absent: `DEFAULT_SIGNATURE_AGE_SECONDS`. */
  readonly maxAgeSeconds?: number | undefined;
}

/** The stored state. What a client sees (`rotating`, `expired`) follows from this and the deadlines: see `status.ts`. */
export type KeyState = "active" | "disabled" | "revoked";

/** The record as KV, the meter and the isolate hold it. Deadlines stand in it, and are compared at use. */
export interface EdgeRecord {
  readonly v: 1;
  readonly id: KeyId;
  readonly lineageId: LineageId;
  readonly workspace: string;
  readonly owner: string;
  readonly environment: Environment;
  readonly kind: KeyKind;
  readonly hint: string;
  readonly scopes: readonly string[];
  readonly plan: string | null;
  /** Limits set on the key itself; they override a plan's limits of the same name. */
  readonly limits: readonly Limit[];
  /** The owner has limits of its own, which this key shares with the owner's other keys. */
  readonly ownerLimited: boolean;
  readonly bindings: Bindings;
  readonly policy: Policy;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly state: KeyState;
  readonly notBefore: EpochMs | null;
  readonly expiresAt: EpochMs | null;
  /** The end of a rotation's overlap: set on the key that is being replaced. */
  readonly notAfter: EpochMs | null;
  /** Since when the key is being replaced. */
  readonly rotatedAt: EpochMs | null;
  /** Rises with every change to the key. The meter knows the newest. */
  readonly generation: number;
  /** Tokens that were minted from this key up to here are dead. Absent: none are. */
  readonly tokensRevokedAt?: EpochMs;
  /** `jti` of tokens that were revoked one by one and have not expired. Absent: none. */
  readonly revokedTokens?: readonly RevokedToken[];
}

export interface RevokedToken {
  readonly jti: string;
  readonly expiresAt: EpochMs;
}

/** Where a record stands in an isolate's memory: under the key's hash, or for tokens, which do not tell it, under the key's id. */
export type RecordRef = KeyHash | `id:${KeyId}`;
