import { coldRequestsOf } from "../../src/usage/cost-estimate.ts";

/**
 * Fits the one free number of the estimate in `GET /usage` (`halfColdPerMinute`) to what Zipf traffic was counted to cost: between a busy
 * key's price and a quiet key's, and between those two runs.
 */

/** Past so many requests a minute, chance no longer matters. */
const MANY = 200;
const MOST_PER_MINUTE = 10_000;

/** Share of all requests that the estimate prices as cold ones, when each key has this many requests a minute on average. */
export function coldShare(perMinute: readonly number[], halfCold: number): number {
  let cold = 0;
  let all = 0;
  for (const mean of perMinute) {
    all += mean;
    cold += mean > MANY ? coldRequestsOf(Math.round(mean), halfCold) : expectedCold(mean, halfCold);
  }
  return cold / all;
}

/** Over the Poisson distribution of the requests in one minute. */
function expectedCold(mean: number, halfCold: number): number {
  let chance = Math.exp(-mean);
  let expected = 0;
  for (let requests = 1; requests <= mean + 10 * Math.sqrt(mean) + 10; requests++) {
    chance *= mean / requests;
    expected += chance * coldRequestsOf(requests, halfCold);
  }
  return expected;
}

/** The whole number for which the estimate comes nearest to `wantedShare`; bisection, since the share only rises with it. */
export function fitHalfCold(perMinute: readonly number[], wantedShare: number): number {
  let low = 1;
  let high = MOST_PER_MINUTE;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (coldShare(perMinute, middle) < wantedShare) low = middle + 1;
    else high = middle;
  }
  return low;
}
