import type { Limit, LimitWindow } from "./limit.ts";

/** Window arithmetic. Every window is aligned to the clock (UTC), never to the last request. */

const MS_PER_SECOND = 1_000;
export const HOUR_MS = 3_600_000;

const FIXED_SECONDS = { minute: 60, hour: 3_600, day: 86_400 } as const;

/** A half-open span `[start, end)`, epoch ms. */
export interface WindowSpan {
  readonly start: number;
  readonly end: number;
}

/** The window that `now` falls in. */
export function windowAt(window: LimitWindow, now: number): WindowSpan {
  if (window === "month") {
    const date = new Date(now);
    const year = date.getUTCFullYear();
    const month = date.getUTCMonth();
    return { start: Date.UTC(year, month, 1), end: Date.UTC(year, month + 1, 1) };
  }
  const length = fixedSeconds(window) * MS_PER_SECOND;
  const start = Math.floor(now / length) * length;
  return { start, end: start + length };
}

/** Length in seconds, as shown in `RateLimit-Policy`; a month is as long as the one that `now` falls in. */
export function windowSeconds(window: LimitWindow, now: number): number {
  if (window !== "month") return fixedSeconds(window);
  const span = windowAt(window, now);
  return (span.end - span.start) / MS_PER_SECOND;
}

/**
 * Which counter a limit counts on: its name and its window. The limit's value is left out on purpose, so that
 * changing a plan in the middle of a window keeps what was used.
 */
export function counterOf(limit: Limit): string {
  // Asked for each limit of each request, of objects that live as long as the cached record: remembered, not rebuilt.
  let counter = COUNTERS.get(limit);
  if (counter === undefined) {
    counter = `${limit.name}|${limit.window === "month" ? "month" : fixedSeconds(limit.window)}`;
    COUNTERS.set(limit, counter);
  }
  return counter;
}

const COUNTERS = new WeakMap<Limit, string>();

/** The clock hour of `now`, epoch ms of its start. */
export function hourOf(now: number): number {
  return Math.floor(now / HOUR_MS) * HOUR_MS;
}

function fixedSeconds(window: Exclude<LimitWindow, "month">): number {
  return typeof window === "string" ? FIXED_SECONDS[window] : window.seconds;
}
