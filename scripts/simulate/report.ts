import { figure, type Rows, type Target } from "../report/table.ts";
import type { HotResult } from "./scale/hot.ts";
import { type ModestCell, nameOfReach, roundSeconds, type ScaleResults } from "./scale/scenarios.ts";
import type { SpreadResult } from "./scale/spread.ts";
import type { SeedsResult } from "./worlds/seeds.ts";

/** What the simulation found, as tables, as targets and as figures for programs. */

/** What one object bears, by the platform's documentation. */
export const CALLS_PER_OBJECT_MAX = 1_000;
const COLD_P50_MAX_MS = 10;
const COLD_P99_MAX_MS = 40;
const RATIO_LEAST = 0.98;
const REVOCATION_MAX_MS = 5_000;
/** "A modest key": one request in three seconds in each of three cities. */
const MODEST = { perSecond: 1 / 3, reach: 3 };

const ms = (value: number): string => (Number.isNaN(value) ? "–" : value < 0.5 ? "0" : figure(Math.round(value)));
const percent = (share: number): string => (Number.isNaN(share) ? "–" : `${(share * 100).toFixed(1)} %`);
const NAMES = { home: "home meters", brokers: "brokers" } as const;

export function hotRows({ hot }: ScaleResults): Rows {
  return [
    [
      "requests/s",
      "topology",
      "limit",
      "calls/s meter",
      "calls/s busiest broker",
      "brokers",
      "lease hits",
      "cold",
      "cold p50 ms",
      "cold p99 ms",
      "waits p99 ms",
      "503",
      "admitted ÷ possible",
      "$ per million",
      "last admission after revoke",
    ],
    ...hot.map(({ name, result }) => [
      figure(result.requestsPerSecond),
      NAMES[result.topology],
      name === "half" ? "half of it" : "ample",
      figure(result.meter.maxCallsPerSecond),
      figure(result.broker.maxCallsPerSecond),
      figure(result.broker.objects),
      percent(result.leaseHitRate),
      percent(result.coldShare),
      ms(result.coldMs.p50),
      ms(result.coldMs.p99),
      ms(result.askedMs.p99),
      percent(result.unavailableShare),
      result.ratio === null || name === "ample" ? "–" : result.ratio.least.toFixed(4),
      result.usdPerMillion.toFixed(3),
      result.lastAdmissionAfterRevokeMs === null ? "–" : `${ms(result.lastAdmissionAfterRevokeMs)} ms`,
    ]),
  ];
}

export function modestRows({ modest }: ScaleResults): Rows {
  return [
    [
      "one request in",
      "used in",
      "topology",
      "cold",
      "lease hits",
      "cold p50 ms",
      "cold p99 ms",
      "all p50 ms",
      "all p99 ms",
      "meter calls per request",
      "KV reads per request",
      "$ per million",
    ],
    ...modest.map(({ perSecond, reach, result }) => [
      `${roundSeconds(1 / perSecond)} s`,
      nameOfReach(reach),
      ...spreadCells(result),
    ]),
  ];
}

export function zipfRows({ zipf }: ScaleResults): Rows {
  return [
    [
      "topology",
      "cold",
      "lease hits",
      "cold p50 ms",
      "cold p99 ms",
      "all p50 ms",
      "all p99 ms",
      "meter calls per request",
      "KV reads per request",
      "$ per million",
    ],
    ...zipf.map(spreadCells),
  ];
}

function spreadCells(result: SpreadResult): string[] {
  return [
    NAMES[result.topology],
    percent(result.coldShare),
    percent(result.leaseHitRate),
    ms(result.coldMs.p50),
    ms(result.coldMs.p99),
    ms(result.allMs.p50),
    ms(result.allMs.p99),
    (result.meter.calls / result.requests).toFixed(2),
    (result.kvReads / result.requests).toFixed(2),
    result.usdPerMillion.toFixed(2),
  ];
}

export function seedTargets(seeds: SeedsResult): Target[] {
  return [
    {
      name: `violations in ${figure(seeds.seeds)} random worlds`,
      wanted: "0",
      measured: String(seeds.violations.length),
      held: seeds.violations.length === 0,
    },
  ];
}

/** The scenarios that targets are about: the hottest with brokers. */
export function hottest({ hot }: ScaleResults, name: "ample" | "half"): HotResult | undefined {
  return hot.findLast((cell) => cell.name === name && cell.result.topology === "brokers")?.result;
}

export function modestCell({ modest }: ScaleResults): ModestCell | undefined {
  const cells = modest.filter(
    ({ result, perSecond }) => result.topology === "brokers" && perSecond === MODEST.perSecond,
  );
  return cells.find(({ reach }) => reach === MODEST.reach) ?? cells[0];
}

export function scaleTargets(results: ScaleResults): Target[] {
  const [ample, half, modest] = [hottest(results, "ample"), hottest(results, "half"), modestCell(results)?.result];
  if (ample === undefined || half === undefined || modest === undefined) return [];
  const ratio = half.ratio?.least ?? Number.NaN;
  const rate = `${figure(ample.requestsPerSecond)} requests/s`;
  const calls = Math.max(ample.maxCallsPerObjectPerSecond, half.maxCallsPerObjectPerSecond);
  const over = results.hot.filter(({ result }) => result.overLimit).length;
  const revoke = ample.lastAdmissionAfterRevokeMs ?? Number.NaN;
  const about = (name: string, wanted: string, measured: string, held: boolean): Target => ({
    name,
    wanted,
    measured,
    held,
  });
  return [
    about(
      `calls a second at the busiest object, one key at ${rate}, brokers`,
      `≤ ${figure(CALLS_PER_OBJECT_MAX)}`,
      figure(calls),
      calls <= CALLS_PER_OBJECT_MAX,
    ),
    about("hot scenarios in which a window went over its limit", "0", String(over), over === 0),
    about(
      "admitted ÷ limit, twice the limit offered, brokers",
      `≥ ${RATIO_LEAST}`,
      Number.isNaN(ratio) ? "cut short: nearly every request asked" : ratio.toFixed(4),
      ratio >= RATIO_LEAST,
    ),
    about("last admission after a revocation, same key", "≤ 5,000 ms", `${ms(revoke)} ms`, revoke <= REVOCATION_MAX_MS),
    about(
      "cold request of a modest key, brokers, p50",
      `≤ ${COLD_P50_MAX_MS} ms`,
      `${ms(modest.coldMs.p50)} ms`,
      modest.coldMs.p50 <= COLD_P50_MAX_MS,
    ),
    about(
      "cold request of a modest key, brokers, p99",
      `≤ ${COLD_P99_MAX_MS} ms`,
      `${ms(modest.coldMs.p99)} ms`,
      modest.coldMs.p99 <= COLD_P99_MAX_MS,
    ),
  ];
}

/** For `--json`: the shape is in CONTRACT of the commands; what was not run is `null`. */
export function figuresOf(seeds: SeedsResult | null, scale: ScaleResults | null): unknown {
  const ample = scale === null ? undefined : hottest(scale, "ample");
  const half = scale === null ? undefined : hottest(scale, "half");
  const modest = scale === null ? undefined : modestCell(scale)?.result;
  return {
    seeds: seeds?.seeds ?? 0,
    events: (seeds?.happenings ?? 0) + happeningsOf(scale),
    violations: seeds?.violations.length ?? null,
    maxCallsPerObjectPerSecond:
      ample === undefined ? null : Math.max(ample.maxCallsPerObjectPerSecond, half?.maxCallsPerObjectPerSecond ?? 0),
    leaseHitRate: ample?.leaseHitRate ?? null,
    underUse: half === undefined || half.ratio === null ? null : Math.max(0, 1 - half.ratio.least),
    addedMs: modest === undefined ? null : modest.coldMs,
    worlds: seeds,
    scenarios: scale,
  };
}

function happeningsOf(scale: ScaleResults | null): number {
  if (scale === null) return 0;
  const all = [...scale.hot.map(({ result }) => result), ...scale.modest.map(({ result }) => result), ...scale.zipf];
  return all.reduce((sum, { happenings }) => sum + happenings, 0);
}
