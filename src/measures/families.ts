import type { Family, Sample } from "../usage/metrics-text.ts";
import type { Measure } from "./compute.ts";
import type { MeasureId } from "./catalogue.ts";

/**
 * Measures as Prometheus has them: base units, one name for one figure, labels that are few and known. Single keys are there only where
 * the scrape asks for them (`?top=10`), and no more than it asks for. Pure.
 */

interface Shape {
  readonly name: string;
  readonly help: string;
  /** From the measure's unit to Prometheus' base unit. */
  readonly factor?: number;
}

const MS = 1e-3;

const SHAPES: Readonly<Partial<Record<MeasureId, Shape>>> = {
  M1: { name: "latchkey_auth_success_ratio", help: "Share of requests that could be decided (M1)." },
  M2: { name: "latchkey_auth_latency_p99_seconds", help: "From a request's arrival to the decision (M2).", factor: MS },
  M3: { name: "latchkey_keys_issued", help: "Keys that came into being in the last 24 hours (M3)." },
  M4: {
    name: "latchkey_revocation_last_acceptance_seconds",
    help: "Longest from a revocation to the last request that was let in, of the last 24 hours (M4).",
  },
  M5: { name: "latchkey_key_requests_per_second", help: "Of the busiest key, on average over 24 hours (M5)." },
  M6: { name: "latchkey_limited_ratio", help: "Share of known keys' requests that was refused with 429 (M6)." },
  M7: { name: "latchkey_abuse_alerts", help: "Alerts of abuse that began in the last 24 hours (M7)." },
  M8: { name: "latchkey_exposures", help: "Keys revoked as leaked, and keys in URLs, of the last 24 hours (M8)." },
  M9: {
    name: "latchkey_key_cost_units",
    help: "Units for each key that was used, on average, of the last 24 hours (M9).",
  },
  M10: { name: "latchkey_rotation_compliance_ratio", help: "Share of standing keys no older than 90 days (M10)." },
  M11: { name: "latchkey_rotation_success_ratio", help: "Share of rotations that cut nobody off (M11)." },
  M12: { name: "latchkey_rotation_median_seconds", help: "From a new key's issue to the old one's end (M12)." },
  M13: {
    name: "latchkey_keys_within_lifetime_ratio",
    help: "Share of standing keys that end within 90 days of their issue (M13).",
  },
  M14: { name: "latchkey_keys_stale", help: "Standing keys that were not used for 90 days (M14)." },
  M15: {
    name: "latchkey_leak_containment_seconds",
    help: "Longest from a leak to its containment, of the last 24 hours (M15).",
  },
  M16: {
    name: "latchkey_leak_detection_seconds",
    help: "Longest from a leak to its revocation, of the last 24 hours (M16).",
  },
};

/** Figures of single keys, where they are asked for. */
const OF_KEYS: Readonly<Partial<Record<MeasureId, Shape>>> = {
  M4: { name: "latchkey_top_revocation_last_acceptance_seconds", help: "M4 of the keys with the longest." },
  M5: { name: "latchkey_top_key_requests_per_second", help: "M5 of the busiest keys." },
  M6: { name: "latchkey_top_key_limited_ratio", help: "M6 of the keys over the target." },
  M9: { name: "latchkey_top_key_cost_units", help: "Units of the dearest keys (M9)." },
};

/** A measure without a value has no sample, so that nobody takes nothing for 0. */
export function measureFamilies(measures: readonly Measure[], workspace: string, isByKey: boolean): readonly Family[] {
  return measures.flatMap((measure) => {
    const shape = SHAPES[measure.id];
    const ofKeys = OF_KEYS[measure.id];
    return [
      ...(shape === undefined ? [] : [familyOf(shape, samplesOf(measure, shape, workspace))]),
      ...(ofKeys === undefined || !isByKey ? [] : [familyOf(ofKeys, keySamples(measure, workspace))]),
      ...furtherOf(measure, workspace),
    ];
  });
}

function familyOf({ name, help }: Pick<Shape, "name" | "help">, samples: readonly Sample[]): Family {
  return { name, type: "gauge", help, samples };
}

function samplesOf({ value }: Measure, { factor = 1 }: Shape, workspace: string): readonly Sample[] {
  return value === null ? [] : [{ labels: { workspace }, value: value * factor }];
}

/** Further names, where a figure beside the value is one that is watched by itself. */
const FURTHER: readonly (Shape & { readonly id: MeasureId; readonly member: string })[] = [
  {
    id: "M2",
    member: "p50",
    name: "latchkey_auth_latency_p50_seconds",
    help: "The same, in the middle (M2).",
    factor: MS,
  },
  {
    id: "M2",
    member: "p95",
    name: "latchkey_auth_latency_p95_seconds",
    help: "The same, of 19 in 20 (M2).",
    factor: MS,
  },
  {
    id: "M4",
    member: "firstRefusalSeconds",
    name: "latchkey_revocation_first_refusal_seconds",
    help: "Longest from a revocation to the first refusal, of the last 24 hours (M4).",
  },
  {
    id: "M4",
    member: "notUsedAgain",
    name: "latchkey_revoked_keys_not_used_again",
    help: "Of those nothing can be measured (M4).",
  },
  {
    id: "M14",
    member: "removed",
    name: "latchkey_keys_stale_removed",
    help: "Keys that were stale when they were revoked (M14).",
  },
  {
    id: "M16",
    member: "requestsAfterLeak",
    name: "latchkey_leak_requests",
    help: "Requests let in after their key leaked (M16).",
  },
];

function furtherOf({ id, detail }: Measure, workspace: string): readonly Family[] {
  return FURTHER.flatMap((further) => {
    const value = further.id === id ? detail[further.member] : undefined;
    const { factor = 1 } = further;
    return typeof value === "number" ? [familyOf(further, [{ labels: { workspace }, value: value * factor }])] : [];
  });
}

function keySamples({ detail }: Measure, workspace: string): readonly Sample[] {
  const { top } = detail;
  if (!Array.isArray(top)) return [];
  return (top as readonly { readonly key: string; readonly value: number }[]).map(({ key, value }) => ({
    labels: { workspace, key },
    value,
  }));
}
