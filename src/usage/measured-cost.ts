/** Written by `npm run cost -- --write`, out of a run; docs/cost.md says how it was measured. Nano-dollars are 10⁻⁹ US dollars. */
export const MEASURED_COST = {
  measuredOn: "2026-11-23",
  /** A request of a key that is busy: it is admitted on a lease that is there. */
  warmNanoUsd: 354,
  /** What a request of a key that was quiet costs on top. */
  coldExtraNanoUsd: 2_200,
  /** With so many requests of a key a minute, half of them are as dear as those of a quiet key. */
  halfColdPerMinute: 198,
} as const;
