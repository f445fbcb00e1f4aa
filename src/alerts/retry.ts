import type { EpochMs } from "../keys/record.ts";

/** When a delivery that failed is tried again: the schedule that the Standard Webhooks specification proposes, three days in all. Pure. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** After the first attempt, after the second, … */
const DELAYS_MS = [
  5 * SECOND_MS,
  MINUTE_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  20 * HOUR_MS,
];
/** So that what failed together does not come back together. */
const JITTER = 0.2;
/** A receiver may ask for more patience than the schedule has, but not for ever. */
const MAX_RETRY_AFTER_MS = 6 * HOUR_MS;

export const MAX_ATTEMPTS = DELAYS_MS.length + 1;

/**
 * `null`: given up.
 *
 * @param attempts made so far, 1 or more.
 * @param random in [0, 1).
 * @param retryAfterMs what the receiver asked for; `null`: nothing.
 */
export function nextAttemptAt(
  attempts: number,
  now: EpochMs,
  random: number,
  retryAfterMs: number | null = null,
): EpochMs | null {
  const delay = DELAYS_MS[attempts - 1];
  if (delay === undefined) return null;
  const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return now + Math.max(Math.round(delay * (1 + JITTER * random)), asked);
}
