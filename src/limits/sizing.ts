/**
 * How much a meter hands out beyond the request in hand, and how far ahead it writes to storage.
 *
 * Units in an isolate's hand that it does not spend are lost to everyone else until they come back, so the sum of all
 * hands must stay small against what is left. Two bounds do it:
 * - all holders together get at most a quarter of what is left, and 5 % of the limit, while a lease can still come back
 *   inside the window;
 * - in the last stretch of a window (and always, in windows shorter than a lease) they get 2 % of the limit together,
 *   which is the most that may be left unused.
 * A share of a few units spares few calls and may strand them where nobody needs them, so it is not given at all: small
 * limits are counted one request at a time, exactly.
 */

/** Of what is left, over all holders. */
const SHARE_OF_REMAINING = 4;
/** Of the limit, over all holders, while units can come back in time. */
const SHARE_OF_LIMIT = 20;
/** Of the limit, over all holders, when units cannot come back in time. */
const SHARE_OF_LIMIT_AT_END = 50;
/** Fewer are not worth stranding. */
const LEAST_SHARE_UNITS = 4;
const LEAST_SHARE_OF_HAND = 2;
/** A returning lease needs its own length, and a little for the way. */
const RETURN_MARGIN = 2;

export interface SizingInput {
  readonly limit: number;
  /** Left after the request in hand. */
  readonly remaining: number;
  readonly windowEndsInMs: number;
  readonly ttlMs: number;
  /** Callers that hold, or may hold, leases now; at least 1. */
  readonly holders: number;
}

/** The most units that one holder may be given ahead of need. */
export function prudentShare(input: SizingInput): number {
  const { limit, remaining, windowEndsInMs, ttlMs, holders } = input;
  const shareOfLimit = windowEndsInMs > RETURN_MARGIN * ttlMs ? SHARE_OF_LIMIT : SHARE_OF_LIMIT_AT_END;
  const share = Math.floor(Math.min(remaining / SHARE_OF_REMAINING, limit / shareOfLimit) / holders);
  return share < LEAST_SHARE_UNITS ? 0 : share;
}

/**
 * The most that a broker hands on ahead of need, out of its own hand. Its hand is small already, and units that are left
 * over in it come back by the same lease; so each holder may have a generous part.
 */
export function shareOfHand(units: number, holders: number): number {
  const share = Math.floor(units / holders);
  return share < LEAST_SHARE_OF_HAND ? 0 : share;
}

/** A crash in the middle of a burst may leave at most this part of a limit unused … */
const RESERVE_SHARE_OF_LIMIT = 20;
/** … or what the limit allows in this time: about what the crash itself costs. */
const RESERVE_TIME_MS = 1_000;

/**
 * How far `reserved` (what storage knows as used) may be ahead of what is used, in a window of `windowMs`: hi/lo. After a
 * crash everything reserved counts as used, so more of it means fewer rows written and more left unused after a crash.
 */
export function reserveAhead(limit: number, windowMs: number): number {
  return Math.floor(limit * Math.min(1, Math.max(1 / RESERVE_SHARE_OF_LIMIT, RESERVE_TIME_MS / windowMs)));
}
