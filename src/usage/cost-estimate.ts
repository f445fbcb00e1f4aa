import { MEASURED_COST } from "./measured-cost.ts";
import type { Granularity } from "./rollup.ts";
import { GRANULARITY_SECONDS, MINUTE_SECONDS } from "./rollup.ts";

/**
 * What requests cost on the platform, out of sums that are kept anyway. Pure.
 *
 * The dearer part of a key's requests are those that find no lease on their isolate, and what is written for them. Of `r`
 * requests in a bucket about `r · C / (r + C)` are of that kind: nearly all of a few, at most `C` of many. `C` is measured
 * (`halfColdPerMinute`), and so are both prices. Whole numbers all the way: no rounding adds up.
 */

/** `C` for one bucket of this length. */
export function halfColdOf(granularity: Granularity): number {
  return (MEASURED_COST.halfColdPerMinute * GRANULARITY_SECONDS[granularity]) / MINUTE_SECONDS;
}

/** Requests of one bucket and series that are priced as cold ones. */
export function coldRequestsOf(requests: number, halfCold: number): number {
  return requests === 0 ? 0 : Math.floor((requests * halfCold) / (requests + halfCold));
}

/** Nano-dollars, a whole number: exact up to 9 million dollars. */
function estimateNanoUsd(requests: number, coldRequests: number): number {
  return requests * MEASURED_COST.warmNanoUsd + coldRequests * MEASURED_COST.coldExtraNanoUsd;
}

const NANO = 1_000_000_000n;

/** US dollars with nine decimals, as text, so that no reader's floating point changes it: `"0.000008820"`. */
export function estimateUsd(requests: number, coldRequests: number): string {
  const nano = BigInt(estimateNanoUsd(requests, coldRequests));
  return `${nano / NANO}.${String(nano % NANO).padStart(9, "0")}`;
}
