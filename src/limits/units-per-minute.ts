import type { Limit } from "./limit.ts";
import { windowSeconds } from "./window.ts";

/** The tightest of these rate limits, brought to one minute; `null`: none of them is a rate. Quotas are no rates. */
export function unitsPerMinute(limits: readonly Limit[]): number | null {
  const rates = limits
    .filter(({ kind }) => kind === "rate")
    // Months differ; a rate by the month says the same with any of them.
    .map(({ limit, window }) => (limit * 60) / windowSeconds(window, 0));
  return rates.length === 0 ? null : Math.min(...rates);
}
