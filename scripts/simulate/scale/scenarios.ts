import type { Limit } from "../../../src/limits/limit.ts";
import { type HotResult, runHot, type Topology } from "./hot.ts";
import { type Reach, runSpread, type SpreadResult } from "./spread.ts";

/** The large scenarios, each with home meters alone and with lease brokers. */

export const TOPOLOGIES: readonly Topology[] = ["home", "brokers"];

export interface HotCell {
  readonly name: "ample" | "half";
  readonly result: HotResult;
}

export interface ModestCell {
  /** In each city; of a key that is used all over a region, in all of it. */
  readonly perSecond: number;
  readonly reach: Reach;
  readonly result: SpreadResult;
}

export interface ScaleResults {
  readonly hot: readonly HotCell[];
  readonly modest: readonly ModestCell[];
  readonly zipf: readonly SpreadResult[];
}

export interface ScaleOptions {
  readonly seed: number;
  /** Smaller and fewer: for a first look, and for tests. */
  readonly quick: boolean;
  readonly progress: (line: string) => void;
}

const MILLION = 1_000_000;
const HOT_RATES = [10_000, 100_000, MILLION] as const;
const HOME_RATE_MAX = 100_000;
const ISOLATES_PER_COLO = 20;
/** What most limits are. */
const AMPLE_SECONDS = 60;
/** Short enough to see a whole one. */
const HALF_SECONDS = 10;

export async function runScale(options: ScaleOptions): Promise<ScaleResults> {
  const hot = await runHotCells(options);
  const modest = await runModestCells(options);
  const zipf = await runZipf(options);
  return { hot, modest, zipf };
}

async function runHotCells({ seed, quick, progress }: ScaleOptions): Promise<HotCell[]> {
  const cells: HotCell[] = [];
  const rates = quick ? [2_000] : HOT_RATES;
  const isolatesPerColo = quick ? 2 : ISOLATES_PER_COLO;
  for (const requestsPerSecond of rates) {
    for (const topology of TOPOLOGIES) {
      // Without brokers every object is past what it bears long before: following each call would take longest of all.
      if (topology === "home" && requestsPerSecond > HOME_RATE_MAX) continue;
      progress(`one key at ${requestsPerSecond.toLocaleString("en-US")} requests a second, ${topology}`);
      const limit = rateOf(requestsPerSecond * 1.5, AMPLE_SECONDS);
      const common = { topology, requestsPerSecond, isolatesPerColo, seed, settleMs: 4_000 };
      cells.push({
        name: "ample",
        result: await runHot({
          ...common,
          limit,
          measureMs: 2_000,
          revokes: topology === "brokers" && requestsPerSecond === rates.at(-1),
        }),
      });
    }
  }
  const requestsPerSecond = rates.at(-1) ?? MILLION;
  progress("the same with a limit of half as much, brokers");
  const half = await runHot({
    topology: "brokers",
    requestsPerSecond,
    isolatesPerColo,
    seed,
    limit: rateOf(requestsPerSecond / 2, HALF_SECONDS),
    settleMs: 4_000,
    measureMs: HALF_SECONDS * 1_000,
    revokes: false,
  });
  cells.push({ name: "half", result: half });
  return cells;
}

function rateOf(unitsPerSecond: number, seconds: number): Limit {
  return { name: "burst", limit: Math.ceil(unitsPerSecond * seconds), window: { seconds }, kind: "rate" };
}

/** Requests a second of one key in one city: from one in ten minutes to a hundred a second. */
const MODEST_RATES = [1 / 600, 1 / 60, 1 / 10, 1 / 3, 1, 10, 100] as const;
/** The servers of one customer stand in a city or a few; what runs on many machines is used all over a region. */
const REACHES: readonly Reach[] = [1, 3, 11, "region"];
const AMPLE: Limit = { name: "burst", limit: 100_000, window: "minute", kind: "rate" };
const REQUESTS_PER_CELL = 2_000;
const KEYS_MAX = 400;

async function runModestCells({ seed, quick, progress }: ScaleOptions): Promise<ModestCell[]> {
  const cells: ModestCell[] = [];
  const rates = quick ? [1 / 3] : MODEST_RATES;
  const reaches = quick ? [1] : REACHES;
  for (const perSecond of rates) {
    for (const reach of reaches) {
      for (const topology of TOPOLOGIES) {
        progress(`modest keys: one request in ${roundSeconds(1 / perSecond)} s, ${nameOfReach(reach)}, ${topology}`);
        const result = await runModest({ topology, perSecond, reach, seed, quick });
        cells.push({ perSecond, reach, result });
      }
    }
  }
  return cells;
}

interface ModestInput {
  readonly topology: Topology;
  readonly perSecond: number;
  readonly reach: Reach;
  readonly seed: number;
  readonly quick: boolean;
}

async function runModest({ topology, perSecond, reach, seed, quick }: ModestInput): Promise<SpreadResult> {
  const perKey = perSecond * (typeof reach === "number" ? reach : 1);
  const requests = quick ? REQUESTS_PER_CELL / 5 : REQUESTS_PER_CELL;
  // A slow key is watched for longer, so that it comes at least a few times.
  const measureMs = Math.min(Math.max(60_000, 3_000 / perSecond), 900_000);
  const keys = Math.max(1, Math.min(KEYS_MAX, Math.round((requests * 1_000) / (perKey * measureMs))));
  const atMost = Math.min(measureMs, (requests * 3 * 1_000) / (perKey * keys));
  return await runSpread({
    topology,
    group: { keys, requestsPerSecond: () => perKey, reach: () => reach },
    limit: AMPLE,
    isolatesPerColo: ISOLATES_PER_COLO,
    settleMs: Math.min(Math.max(20_000, 1_000 / perSecond), 120_000),
    measureMs: Math.max(atMost, 10_000),
    seed,
  });
}

const ZIPF_KEYS = 10_000;
const ZIPF_REQUESTS_PER_SECOND = 2_000;
/** The first of them are used everywhere, of the rest most in one city. */
const ZIPF_WORLDWIDE = 50;

async function runZipf({ seed, quick, progress }: ScaleOptions): Promise<SpreadResult[]> {
  const keys = quick ? 200 : ZIPF_KEYS;
  const rate = quick ? 50 : ZIPF_REQUESTS_PER_SECOND;
  let harmonic = 0;
  for (let rank = 1; rank <= keys; rank++) harmonic += 1 / rank;
  const results: SpreadResult[] = [];
  for (const topology of TOPOLOGIES) {
    progress(`${keys.toLocaleString("en-US")} keys by Zipf, ${topology}`);
    results.push(
      await runSpread({
        topology,
        group: {
          keys,
          requestsPerSecond: (rank) => rate / harmonic / (rank + 1),
          reach: (rank, random) =>
            rank < ZIPF_WORLDWIDE ? "world" : random() < 0.6 ? 1 : random() < 0.6 ? 3 : "region",
        },
        limit: AMPLE,
        isolatesPerColo: ISOLATES_PER_COLO,
        settleMs: 15_000,
        measureMs: 20_000,
        seed,
      }),
    );
  }
  return results;
}

export function roundSeconds(seconds: number): string {
  return seconds >= 1 ? String(Math.round(seconds)) : seconds.toFixed(2);
}

export function nameOfReach(reach: Reach): string {
  if (reach === 1) return "one city";
  return typeof reach === "number" ? `${reach} cities` : reach === "region" ? "all over a region" : "everywhere";
}
