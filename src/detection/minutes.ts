import type { KeyMinute } from "./rows.ts";

const MINUTE_SECONDS = 60;

/** Those of the last `length` minutes; minutes without a row were empty. */
export function lastMinutes(minutes: readonly KeyMinute[], length: number): readonly KeyMinute[] {
  const from = (minutes.at(-1)?.minute ?? 0) - (length - 1) * MINUTE_SECONDS;
  return minutes.filter(({ minute }) => minute >= from);
}

/** Epoch seconds: the window that ends with the last row. */
export function windowOf(
  minutes: readonly KeyMinute[],
  length: number,
): { readonly since: number; readonly until: number } {
  const until = (minutes.at(-1)?.minute ?? 0) + MINUTE_SECONDS;
  return { since: until - length * MINUTE_SECONDS, until };
}
