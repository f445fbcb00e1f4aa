import type { EdgeRecord, KeyId } from "../keys/record.ts";
import type { Limit } from "./limit.ts";

/**
 * The one call between whoever admits requests (an isolate, later a broker) and whoever counts (a meter).
 * Durations are relative, so that the two clocks need not agree: the caller counts them from before it asked.
 */

/** Units of one limit that were subtracted from one window and not yet spent. */
export interface Holding {
  /** `counterOf(limit)`: the limit's name and window. */
  readonly counter: string;
  /** Start of the window, epoch ms. Units of another window than the present one are worth nothing. */
  readonly windowStart: number;
  readonly units: number;
}

/** Cost admitted in one clock hour. The meter's sum is reconciled with the usage ledger. */
export interface HourlySpend {
  /** Start of the hour, epoch ms, by the clock of whoever admitted: the same moment stands in the usage event. */
  readonly hour: number;
  /** Negative when refunds outweigh. */
  readonly units: number;
}

export interface AcquireRequest {
  /** Random per isolate: lets the meter count who holds leases. */
  readonly holder: string;
  /** `null` at an owner's meter. */
  readonly keyId: KeyId | null;
  /** Of the record in the caller's hand; 0 at an owner's meter. */
  readonly generation: number;
  /** What the request draws on; `null` at an owner's meter, which knows the owner's limits. */
  readonly limits: readonly Limit[] | null;
  /** Units of the request in hand; 0 to look, or to renew ahead of need. Counted as spent, in `hour`, when granted. */
  readonly cost: number;
  readonly hour: number;
  /** Units that the caller would like to hold for requests to come. The meter gives what is prudent. */
  readonly want: number;
  /**
   * Units for requests that wait at the caller already, and are spent as soon as they come: given as far as the limit goes.
   */
  readonly urgent: number;
  readonly holdings: readonly Holding[];
  /** Handed back: already taken from the caller's hand, so a lost call can only under-use. */
  readonly returned: readonly Holding[];
  /** Cost admitted since the last report, without the request in hand. */
  readonly spent: readonly HourlySpend[];
  /** How long the admission may stand, ms; 0 when strict. */
  readonly ttlMs: number;
}

export interface LimitGrant {
  readonly limit: Limit;
  readonly granted: number;
  /** Left at the meter after this grant. */
  readonly remaining: number;
  readonly windowStart: number;
  readonly windowEndsInMs: number;
}

/** Why a key or a limit says no. A subset of the public problem codes. */
export type RefusalCode =
  | "key_invalid"
  | "key_revoked"
  | "key_disabled"
  | "key_expired"
  | "key_not_yet_valid"
  | "rate_limited"
  | "quota_exhausted";

export interface Granted {
  readonly outcome: "granted";
  /** How long the admission stands, counted from before the caller asked. */
  readonly validForMs: number;
  readonly grants: readonly LimitGrant[];
}

export interface Refused {
  readonly outcome: "refused";
  readonly code: RefusalCode;
  /** Names of the limits that refused; empty when it is the key that is refused. */
  readonly violated: readonly string[];
  readonly retryAfterMs: number;
  /** The limits as they stand; nothing was granted. Empty when it is the key that is refused. */
  readonly grants: readonly LimitGrant[];
  /** How long the refusal may be remembered, ms: longer when many ask. Where it is not said, a quarter of a second. */
  readonly askAgainInMs?: number;
}

/** The caller's record is old: here is the newest. Nothing was granted or counted; ask again with it. */
export interface Stale {
  readonly outcome: "stale";
  readonly record: EdgeRecord;
}

export type AcquireAnswer = Granted | Refused | Stale;

/** What a caller sends when its lease ends unused: nothing is asked for. */
export type ReleaseRequest = Pick<AcquireRequest, "holder" | "returned" | "spent">;
