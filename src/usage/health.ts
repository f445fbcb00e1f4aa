import type { UsageEvent } from "./event.ts";

/** How well Latchkey itself did, minute by minute: what the objectives for checks are computed from. Pure. */

export interface Health {
  /** Start of the minute, or of the hour, epoch seconds. */
  readonly start: number;
  readonly requests: number;
  /** Refused through Latchkey's own fault. */
  readonly undecided: number;
  /** Took longer than `SLOW_CHECK_MS` to decide. */
  readonly slow: number;
  /** Admitted in grace. */
  readonly degraded: number;
}

/** Target of measure M2. */
export const SLOW_CHECK_MS = 50;

/** Latchkey's own failures: nobody knows what the answer would have been. */
const UNDECIDED: ReadonlySet<string> = new Set(["verification_unavailable", "internal_error", "storage_unavailable"]);

const MINUTE_MS = 60_000;

export function isUndecided(code: string): boolean {
  return UNDECIDED.has(code);
}

/** By minute, in no order. */
export function healthOf(
  events: readonly Pick<UsageEvent, "time" | "code" | "authMs" | "degraded">[],
): readonly Health[] {
  return sumHealth(
    events.map(({ time, code, authMs, degraded }) => ({
      start: Math.floor(time / MINUTE_MS) * 60,
      requests: 1,
      undecided: isUndecided(code) ? 1 : 0,
      slow: authMs > SLOW_CHECK_MS ? 1 : 0,
      degraded: degraded ? 1 : 0,
    })),
  );
}

/** One for each start, in the order in which they came first. */
export function sumHealth(parts: Iterable<Health>): readonly Health[] {
  const sums = new Map<number, { -readonly [K in keyof Health]: Health[K] }>();
  for (const part of parts) {
    const sum = sums.get(part.start);
    if (sum === undefined) {
      sums.set(part.start, { ...part });
      continue;
    }
    sum.requests += part.requests;
    sum.undecided += part.undecided;
    sum.slow += part.slow;
    sum.degraded += part.degraded;
  }
  return [...sums.values()];
}
