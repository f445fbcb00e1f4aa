import type { Family } from "./candidate.ts";
import type { ColdIsolate } from "./cold-isolate.ts";
import type { Operations } from "./counting.ts";
import type { Round, Started } from "./measure.ts";
import type { Paced } from "./rounds.ts";
import { pairedRatio, spreadOf, pairedDifference } from "./statistics.ts";
import type { Spread } from "./statistics.ts";

/** What a run found, as `--json FILE` has it. Medians over rounds; ratios and differences are taken round by round first. */

export interface CandidateFigures {
  readonly about: string;
  readonly family: Family;
  readonly floor: string | null;
  /** At saturation. */
  readonly cpuMicrosPerRequest: number;
  readonly cpuSpread: Spread;
  /** From the ticks of /proc/PID/stat: the cross-check. */
  readonly tickMicrosPerRequest: number;
  readonly requestsPerSecond: number;
  readonly requestsPerSecondSpread: Spread;
  /** Over its own floor; `null` for a floor. */
  readonly addedCpuMicros: number | null;
  readonly addedCpuSpread: Spread | null;
  readonly saturatedP50Ms: number;
  readonly saturatedP99Ms: number;
  /** At the low constant rate. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly cpuMicrosPerRequestAtLowRate: number | null;
}

export interface Figures {
  readonly candidates: Readonly<Record<string, CandidateFigures>>;
  readonly ratios: {
    readonly cpuLatchkeyOverHono: number | null;
    readonly throughputLatchkeyOverHono: number | null;
    readonly cpuNaiveOverLatchkey: number | null;
    readonly cpuGarbageOverLatchkey: number | null;
    readonly cpuTokenOverLatchkey: number | null;
    /** What the contract's promises cost by themselves: what bounds the first ratio. */
    readonly cpuPromisesOverHono: number | null;
  };
  readonly ratioSpreads: { readonly cpuLatchkeyOverHono: Spread; readonly throughputLatchkeyOverHono: Spread };
  readonly addedMs: { readonly p50: number | null; readonly p99: number | null };
  readonly perThousand: {
    readonly kvReads: number;
    readonly meterCalls: number;
    readonly rowsWritten: number;
    readonly queueMessages: number;
    /** Of the ledger and the registry, which the queue's consumer writes. */
    readonly consumerRowsWritten: number;
  } | null;
  readonly counted: Operations | null;
  readonly coldIsolate: ColdIsolate | null;
  /** Candidates that answered wrongly: they have no figures. */
  readonly failures: Readonly<Record<string, string>>;
  /** How late the load generator was at most at the constant rate. */
  readonly generatorLatestMs: number | null;
}

export interface Results {
  readonly list: readonly Started[];
  readonly rounds: ReadonlyMap<string, readonly Round[]>;
  readonly paced: ReadonlyMap<string, Paced>;
  readonly counted: Operations | null;
  readonly coldIsolate: ColdIsolate | null;
}

export function toFigures(all: Results): Figures {
  const results = withoutFailed(all);
  const { list, rounds, paced, counted, coldIsolate } = results;
  const series = (name: string, of: keyof Round): readonly number[] =>
    (rounds.get(name) ?? []).map((round) => round[of]);
  const ratio = (a: string, b: string, of: keyof Round): Spread => pairedRatio(series(a, of), series(b, of));
  const cpu = "cpuMicrosPerRequest";
  const cpuLatchkeyOverHono = ratio("latchkey", "hono", cpu);
  const throughputLatchkeyOverHono = ratio("latchkey", "hono", "requestsPerSecond");
  const added = (of: "p50Ms" | "p99Ms"): number | null => {
    const [own, floor] = [paced.get("latchkey"), paced.get("hono")];
    return own === undefined || floor === undefined ? null : own[of] - floor[of];
  };
  return {
    candidates: Object.fromEntries(list.map((one) => [one.candidate.name, figuresOf(one, results)])),
    ratios: {
      cpuLatchkeyOverHono: known(cpuLatchkeyOverHono.median),
      throughputLatchkeyOverHono: known(throughputLatchkeyOverHono.median),
      cpuNaiveOverLatchkey: known(ratio("naive", "latchkey", cpu).median),
      cpuGarbageOverLatchkey: known(ratio("garbage", "latchkey", cpu).median),
      cpuTokenOverLatchkey: known(ratio("token", "latchkey", cpu).median),
      cpuPromisesOverHono: known(ratio("promises", "hono", cpu).median),
    },
    ratioSpreads: { cpuLatchkeyOverHono, throughputLatchkeyOverHono },
    addedMs: { p50: added("p50Ms"), p99: added("p99Ms") },
    perThousand: counted === null ? null : perThousand(counted),
    counted,
    coldIsolate,
    failures: Object.fromEntries(
      all.list.flatMap(({ candidate: { name }, failure }) => (failure === null ? [] : [[name, failure]])),
    ),
    generatorLatestMs: paced.size === 0 ? null : Math.max(...[...paced.values()].map(({ latestMs }) => latestMs)),
  };
}

function withoutFailed(results: Results): Results {
  const list = results.list.filter(({ failure }) => failure === null);
  const names = new Set(list.map(({ candidate }) => candidate.name));
  const rounds = new Map([...results.rounds].filter(([name]) => names.has(name)));
  const paced = new Map([...results.paced].filter(([name]) => names.has(name)));
  return { ...results, list, rounds, paced };
}

function figuresOf({ candidate }: Started, { rounds, paced }: Results): CandidateFigures {
  const { name, about, family, floor } = candidate;
  const series = (of: keyof Round, who = name): readonly number[] => (rounds.get(who) ?? []).map((round) => round[of]);
  const cpuSpread = spreadOf(series("cpuMicrosPerRequest"));
  const requestsPerSecondSpread = spreadOf(series("requestsPerSecond"));
  const hasFloor = floor !== null && rounds.has(floor);
  const addedCpuSpread = hasFloor
    ? pairedDifference(series("cpuMicrosPerRequest"), series("cpuMicrosPerRequest", floor))
    : null;
  const low = paced.get(name);
  return {
    about,
    family,
    floor,
    cpuMicrosPerRequest: cpuSpread.median,
    cpuSpread,
    tickMicrosPerRequest: spreadOf(series("tickMicrosPerRequest")).median,
    requestsPerSecond: requestsPerSecondSpread.median,
    requestsPerSecondSpread,
    addedCpuMicros: addedCpuSpread?.median ?? null,
    addedCpuSpread,
    saturatedP50Ms: spreadOf(series("p50Ms")).median,
    saturatedP99Ms: spreadOf(series("p99Ms")).median,
    p50Ms: low?.p50Ms ?? null,
    p99Ms: low?.p99Ms ?? null,
    cpuMicrosPerRequestAtLowRate: low?.cpuMicrosPerRequest ?? null,
  };
}

function perThousand(counted: Operations): NonNullable<Figures["perThousand"]> {
  const per = (count: number): number => (count * 1_000) / counted.requests;
  return {
    kvReads: per(counted.kvReads),
    meterCalls: per(counted.meterCalls),
    rowsWritten: per(counted.rowsWritten),
    queueMessages: per(counted.queueMessages),
    consumerRowsWritten: per(counted.consumerRowsWritten),
  };
}

/** JSON has no NaN. */
function known(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
