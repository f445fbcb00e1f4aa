import { PROBLEMS } from "../http/codes.ts";
import { isUndecided } from "../usage/health.ts";
import { exactText, priceOf } from "../usage/price.ts";
import { MEASURE_IDS, type MeasureDefinition, type MeasureId, MEASURES } from "./catalogue.ts";
import { measureLeaks, measureRevocations } from "./incidents.ts";
import {
  measureAges,
  measureIssued,
  measureLifetimes,
  measureRotations,
  measureStale,
  measureTimes,
} from "./lifecycle.ts";
import { type Detail, isLeak, isWithin, largest, type Measured, nothing } from "./measured.ts";
import type { KeyCodeUse, MeasureSources } from "./sources.ts";

/** Every measure of a workspace and a time. Pure: `sources` is all that it knows. */

export interface Measure extends MeasureDefinition {
  readonly id: MeasureId;
  readonly value: number | null;
  /** Whether the value is as it should be; `null`: there is none, or no target. */
  readonly met: boolean | null;
  readonly why: string | null;
  readonly detail: Detail;
}

export function computeMeasures(sources: MeasureSources): readonly Measure[] {
  return MEASURE_IDS.map((id) => {
    const isUntold = sources.useCut && OF_SINGLE_KEYS.has(id);
    const { value, why = null, detail = {} } = isUntold ? nothing(TOO_MANY_KEYS) : COMPUTED[id](sources);
    return { id, ...MEASURES[id], value, met: isMet(MEASURES[id].target, value), why, detail };
  });
}

/** Computed from the use of single keys. */
const OF_SINGLE_KEYS: ReadonlySet<MeasureId> = new Set<MeasureId>(["M5", "M6", "M9", "M11"]);
const TOO_MANY_KEYS = "More keys were used than one answer holds: ask for a shorter time.";

function isMet(target: MeasureDefinition["target"], value: number | null): boolean | null {
  if (target === null || value === null) return null;
  return "atLeast" in target ? value >= target.atLeast : value <= target.atMost;
}

const COMPUTED: Readonly<Record<MeasureId, (sources: MeasureSources) => Measured>> = {
  M1: measureSuccess,
  M2: ({ authMs }) =>
    authMs === null
      ? nothing("No request was decided.")
      : { value: authMs.p99, detail: { p50: authMs.p50, p95: authMs.p95 } },
  M3: measureIssued,
  M4: measureRevocations,
  M5: measureRates,
  M6: measureLimited,
  M7: measureAlerts,
  M8: measureExposures,
  M9: measureCost,
  M10: measureAges,
  M11: measureRotations,
  M12: measureTimes,
  M13: measureLifetimes,
  M14: measureStale,
  M15: (sources) => measureLeaks(sources).containment,
  M16: (sources) => measureLeaks(sources).detection,
};

function measureSuccess({ use }: MeasureSources): Measured {
  const requests = sum(use);
  const undecided = sum(use.filter(({ code }) => isUndecided(code)));
  if (requests === 0) return nothing("There was no request.");
  return { value: 1 - undecided / requests, detail: { requests, undecided } };
}

function measureRates(sources: MeasureSources): Measured {
  const seconds = sources.countedMs / 1_000;
  const rates = byKey(sources.use).map(({ key, requests }) => ({ key, value: requests / seconds }));
  const top = largest(rates, sources.top);
  return rates.length === 0
    ? nothing("No key was used.")
    : { value: Math.max(...rates.map(({ value }) => value)), detail: { keys: rates.length, top } };
}

const LIMIT_CODES: ReadonlySet<string> = new Set(
  Object.entries(PROBLEMS).flatMap(([code, { status }]) => (status === 429 ? [code] : [])),
);

function measureLimited({ use, top }: MeasureSources): Measured {
  const known = use.filter(({ keyId }) => keyId !== null);
  const requests = sum(known);
  if (requests === 0) return nothing("No key was used.");
  const limited = sum(known.filter(({ code }) => LIMIT_CODES.has(code)));
  const { target } = MEASURES.M6;
  const most = target !== null && "atMost" in target ? target.atMost : 1;
  const shares = byKey(known).map((of) => ({ key: of.key, value: of.limited / of.requests }));
  const over = shares.filter(({ value }) => value > most);
  return { value: limited / requests, detail: { limited, keysOver: over.length, top: largest(over, top) } };
}

function measureAlerts({ abuseAlerts }: MeasureSources): Measured {
  if (abuseAlerts === null) return nothing("The alerts could not be read.");
  const kinds = [...abuseAlerts];
  return { value: kinds.reduce((total, [, count]) => total + count, 0), detail: Object.fromEntries(kinds) };
}

function measureExposures({ use, keys, from, to }: MeasureSources): Measured {
  const inUrl = sum(use.filter(({ code }) => code === "credential_in_query"));
  const leaked = keys.filter(
    ({ revokedAt, revokedReason }) => isWithin(revokedAt, from, to) && isLeak(revokedReason),
  ).length;
  return { value: leaked + inUrl, detail: { keysRevokedAsLeaked: leaked, requestsWithKeyInUrl: inUrl } };
}

function measureCost({ use, keys, pricing, top }: MeasureSources): Measured {
  const used = byKey(use).filter(({ units }) => units > 0);
  const units = used.reduce((total, of) => total + of.units, 0);
  if (used.length === 0) return nothing("Nothing was charged.");
  const records = new Map(keys.map((key) => [key.id, key]));
  const amountOf = ({ key, units: charged }: { readonly key: string; readonly units: number }): bigint => {
    const record = records.get(key);
    // What test keys use is free, as on statements.
    if (pricing === null || record?.environment === "test") return 0n;
    const { perUnit, perUnitByPlan } = pricing;
    const plan = record?.plan ?? null;
    return priceOf(plan === null ? perUnit : (perUnitByPlan[plan] ?? perUnit), charged);
  };
  const dearest = used
    .toSorted((a, b) => b.units - a.units || (a.key < b.key ? -1 : 1))
    .slice(0, top)
    .map((of) => ({
      key: of.key,
      value: of.units,
      ...(pricing === null ? {} : { amount: exactText(amountOf(of)) }),
    }));
  const priced =
    pricing === null
      ? {}
      : { currency: pricing.currency, amount: exactText(used.reduce((total, of) => total + amountOf(of), 0n)) };
  return { value: units / used.length, detail: { units, keys: used.length, ...priced, top: dearest } };
}

// ── What they share ───────────────────────────────────────────────────────────────────────────────────────────────────

function sum(use: readonly KeyCodeUse[]): number {
  return use.reduce((total, { requests }) => total + requests, 0);
}

interface KeyUseSums {
  readonly key: string;
  requests: number;
  limited: number;
  units: number;
}

function byKey(use: readonly KeyCodeUse[]): readonly KeyUseSums[] {
  const keys = new Map<string, KeyUseSums>();
  for (const { keyId, code, requests, units } of use) {
    if (keyId === null) continue;
    const of = keys.get(keyId) ?? { key: keyId, requests: 0, limited: 0, units: 0 };
    of.requests += requests;
    of.units += units;
    if (LIMIT_CODES.has(code)) of.limited += requests;
    keys.set(keyId, of);
  }
  return [...keys.values()];
}
