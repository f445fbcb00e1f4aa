/**
 * To be written by `npm run cost -- --write`. Provisional: out of a run on a busy machine, and one figure was corrected by hand
 * for a fault of the lab. Nano-dollars are 10⁻⁹ US dollars.
 */
export const MEASURED_COST = {
  measuredOn: "2026-11-23",
  /** A request of a key that is busy: it is admitted on a lease that is there. */
  warmNanoUsd: 416,
  /** What a request of a key that was quiet costs on top. */
  coldExtraNanoUsd: 5_478,
  /** With so many requests of a key a minute, half of them are as dear as those of a quiet key. */
  halfColdPerMinute: 55,
} as const;
