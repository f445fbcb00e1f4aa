import type { SigningAlgorithm } from "../../src/tokens/token-keys.ts";
import type { Actor } from "../key-registry/api.ts";

/** What the signing keys' objects say over RPC: plain data both ways. */

/** What the deployment's configuration wants: told by whoever asks, since an object does not see `gateway.config.ts`. */
export interface SigningPolicy {
  readonly algorithm: SigningAlgorithm;
  readonly rotationDays: number;
}

/** RFC 7517, public members only. */
export type PublicJwk = Readonly<Record<string, string>>;

export interface PublishedKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly jwk: PublicJwk;
}

/** Why nothing can be signed: there is no secret, the one that wrapped the key is not known, or the key is not what was wrapped. */
export type SigningOff = "secret_missing" | "secret_unknown" | "damaged";

/** Everything that an isolate needs, for a few seconds. */
export interface KeySetCopy {
  /** Counted by the caller from before it asked, ms. */
  readonly validForMs: number;
  /** Rises with each change: an older set never replaces a newer one. */
  readonly version: number;
  /** All that is published: current, next, retired. */
  readonly keys: readonly PublishedKey[];
  /** The private part goes nowhere but to isolates of this Worker, in this answer. PKCS #8. */
  readonly signing: { readonly kid: string; readonly alg: SigningAlgorithm; readonly pkcs8: ArrayBuffer } | null;
  /** `null` exactly where `signing` is not. */
  readonly signingOff: SigningOff | null;
}

export type KeyState = "next" | "current" | "retired" | "removed";

/** A key as the control API shows it. Times are epoch ms. */
export interface SigningKeyRecord {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly state: KeyState;
  readonly publishedAt: number;
  readonly startedAt: number | null;
  readonly retiredAt: number | null;
  readonly removedAt: number | null;
}

export type SigningAction =
  | "keys.create"
  | "keys.rotate"
  | "keys.rotate_emergency"
  /** The next key was replaced by one of another algorithm. */
  | "keys.replace_next"
  | "keys.remove"
  | "keys.rewrap";

export interface SigningLogEntry {
  readonly sequence: number;
  /** Epoch ms. */
  readonly time: number;
  readonly action: SigningAction;
  readonly actor: Actor;
  readonly kids: readonly string[];
  readonly reason: string | null;
}

export interface SigningStatus {
  readonly policy: SigningPolicy;
  readonly keys: readonly SigningKeyRecord[];
  readonly signingOff: SigningOff | null;
  /** When the next key starts by itself, epoch ms; `null` without one. */
  readonly rotatesAt: number | null;
  /** From when on it may be started by hand, epoch ms; `null` as above. */
  readonly mayRotateFrom: number | null;
  /** Newest first. */
  readonly log: readonly SigningLogEntry[];
}

/** For readiness checks. */
export interface SigningHealth {
  readonly signingOff: SigningOff | null;
  /** Keys that are published. */
  readonly keys: number;
}

export interface RotateCall {
  readonly emergency: boolean;
  readonly reason: string | null;
  readonly policy: SigningPolicy;
  readonly actor: Actor;
  /** `key` is the caller's alone. */
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
}

export interface Rotated {
  readonly status: SigningStatus;
  /** Epoch ms: from then on no token by a dropped key passes; for an ordinary rotation, nothing stops. */
  readonly effectiveBy: number | null;
  readonly replayed: boolean;
}

export type RotateRefusal =
  /** The next key has not been published for long enough; `from` in epoch ms. */
  | { readonly code: "too_early"; readonly from: number }
  | { readonly code: "idempotency_conflict" }
  /** No key can be made, or the next one cannot be used. */
  | { readonly code: "signing_off"; readonly why: SigningOff };
