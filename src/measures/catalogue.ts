/** What is measured of a workspace's keys, row by row: what each figure means, how it comes about, and what it should be. Pure. */

export const MEASURE_IDS = [
  "M1",
  "M2",
  "M3",
  "M4",
  "M5",
  "M6",
  "M7",
  "M8",
  "M9",
  "M10",
  "M11",
  "M12",
  "M13",
  "M14",
  "M15",
  "M16",
] as const;
export type MeasureId = (typeof MEASURE_IDS)[number];

export type MeasureUnit =
  | "ratio"
  | "milliseconds"
  | "seconds"
  | "keys"
  | "per second"
  | "events"
  | "units"
  | "requests";

export interface MeasureDefinition {
  readonly name: string;
  readonly unit: MeasureUnit;
  /** What the value should be; `null`: a figure to watch, for which there is no right value. */
  readonly target: { readonly atLeast: number } | { readonly atMost: number } | null;
  readonly definition: string;
  readonly computed: string;
}

/** A key that was issued for longer than this, or that was not used for so long, is told of, where the question does not say otherwise. */
export const DEFAULT_MAX_AGE_DAYS = 90;
export const DEFAULT_STALE_DAYS = 90;

export const MEASURES: Readonly<Record<MeasureId, MeasureDefinition>> = {
  M1: {
    name: "Authentication success rate",
    unit: "ratio",
    target: { atLeast: 0.999 },
    definition:
      "Of all requests, the share that could be decided, whatever was decided: what clients do wrong is no failure.",
    computed: "Ledger: 1 - (verification_unavailable + internal_error + storage_unavailable) / requests.",
  },
  M2: {
    name: "Authentication latency",
    unit: "milliseconds",
    target: { atMost: 50 },
    definition: "From the request's arrival to the decision, p99. Beside it p50 and p95.",
    computed: "Ledger: quantiles of authMs, off by at most 2 %.",
  },
  M3: {
    name: "Keys issued",
    unit: "keys",
    target: null,
    definition: "Keys that came into being in the time: issued, imported or by rotation.",
    computed: "Registry: createdAt.",
  },
  M4: {
    name: "Revocation propagation",
    unit: "seconds",
    target: { atMost: 60 },
    definition:
      "Of keys revoked in the time, the longest from the revocation to the last request that was still let in, 0 where none was; beside it the longest to the first refusal. A key that was not used again has neither, and is counted.",
    computed: "Audit trail: when each was revoked. Ledger: a row of each revoked key, to the ms, from its events.",
  },
  M5: {
    name: "Request rate per key",
    unit: "per second",
    target: null,
    definition: "Requests of the busiest key, on average over the time. Beside it the busiest ones.",
    computed: "Ledger: requests by key / length of the time.",
  },
  M6: {
    name: "429 rate per key",
    unit: "ratio",
    target: { atMost: 0.001 },
    definition:
      "Of the requests of known keys, the share that was refused with 429. Beside it the keys over the target.",
    computed: "Ledger: requests by key and code.",
  },
  M7: {
    name: "Abuse alerts",
    unit: "events",
    target: null,
    definition: "Alerts that began in the time and tell of use that is not the key owner's.",
    computed: "Alert center: alerts of these kinds by when they began.",
  },
  M8: {
    name: "Exposure events",
    unit: "events",
    target: { atMost: 0 },
    definition: "Keys that were revoked as leaked or compromised, and requests that showed a key in their URL.",
    computed: "Audit trail: revocations by reason. Ledger: credential_in_query.",
  },
  M9: {
    name: "Cost per key",
    unit: "units",
    target: null,
    definition:
      "Units that were charged, on average for each key that was used. Beside it the dearest ones, and with pricing what they come to.",
    computed: "Ledger: cost by key, times `pricing` of the configuration by plan.",
  },
  M10: {
    name: "Rotation compliance",
    unit: "ratio",
    target: { atLeast: 0.95 },
    definition: "Of keys that stand, the share that is no older than the policy lets a key become.",
    computed: "Registry: createdAt of active and rotating keys, against maxAgeDays.",
  },
  M11: {
    name: "Rotation without outage",
    unit: "ratio",
    target: { atLeast: 0.99 },
    definition:
      "Of rotations in the time, the share whose old key was never refused as expired or revoked in the time: nobody was cut off.",
    computed: "Registry: rotatedFrom. Ledger: key_expired and key_revoked of the old key.",
  },
  M12: {
    name: "Time to rotate",
    unit: "seconds",
    target: null,
    definition:
      "Median, over rotations that ended in the time, from the new key's issue to the old key's end; beside it scheduled ones and incidents (the old key was leaked or compromised) apart.",
    computed: "Registry: createdAt of the new key; revokedAt, else notAfter, of the old one.",
  },
  M13: {
    name: "Keys with a lifetime within policy",
    unit: "ratio",
    target: { atLeast: 1 },
    definition: "Of keys that stand, the share that ends by itself no later than the policy lets a key become.",
    computed: "Registry: expiresAt - createdAt, against maxAgeDays.",
  },
  M14: {
    name: "Stale keys",
    unit: "keys",
    target: { atMost: 0 },
    definition:
      "Keys that stand and were not used for staleDays. Beside it those that were stale when they were revoked in the time.",
    computed: "Registry: lastUsedAt (exact to the hour), else createdAt.",
  },
  M15: {
    name: "Leak to containment",
    unit: "seconds",
    target: { atMost: 3_600 },
    definition:
      "Of keys revoked as leaked or compromised in the time, the longest from the leak to the last request that was let in, or to the revocation where none was after it. The leak: leakedAt of the revocation, else metadata.leakedAt of the key; where neither is there, the revocation itself.",
    computed: "Audit trail, else the key's metadata: leakedAt. Audit trail and ledger as for M4.",
  },
  M16: {
    name: "Time to detect, and requests after the leak",
    unit: "seconds",
    target: null,
    definition:
      "Of leaked keys whose leakedAt is known, the longest from there to the revocation. Beside it their requests that were let in since the leak.",
    computed:
      "Audit trail, else metadata: leakedAt. Registry: revokedAt. Ledger: allowed requests of these keys from the leak on.",
  },
};
