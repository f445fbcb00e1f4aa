import type { Topology } from "../scale/hot.ts";
import type { ScaleResults } from "../scale/scenarios.ts";
import type { Reach, SpreadResult } from "../scale/spread.ts";
import { CALLS_PER_OBJECT_MAX } from "../report.ts";
import type { Axis, Plot, Series } from "./svg.ts";

/** The plots of docs/scale.md, by file name. */
export function plotsOf(results: ScaleResults): Readonly<Record<string, Plot>> {
  return {
    "scale-load.svg": loadPlot(results),
    "scale-cold.svg": coldPlot(results),
    "scale-hits.svg": hitsPlot(results),
    "scale-distance.svg": distancePlot(results),
    "scale-cost.svg": costPlot(results),
  };
}

const DECADES = [0.01, 0.1, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] as const;

function logAxis(label: string, from: number, to: number): Axis {
  const ticks = DECADES.filter((at) => at >= from && at <= to).map((at) => [at, at.toLocaleString("en-US")] as const);
  return { label, scale: "log", from, to, ticks };
}

function loadPlot({ hot }: ScaleResults): Plot {
  const ample = hot.filter(({ name }) => name === "ample").map(({ result }) => result);
  const of = (topology: Topology, read: (result: (typeof ample)[number]) => number): Series["points"] =>
    ample
      .filter((result) => result.topology === topology)
      .map((result) => [result.requestsPerSecond, Math.max(1, read(result))]);
  return {
    title: "One key in 330 locations: calls a second at the busiest object",
    x: logAxis("requests a second", 10_000, 1_000_000),
    y: logAxis("calls a second", 10, 1_000_000),
    bound: { at: CALLS_PER_OBJECT_MAX, label: "what one object bears" },
    series: [
      {
        name: "meter, no brokers",
        points: of("home", ({ meter }) => meter.maxCallsPerSecond),
        style: "solid",
        colour: 1,
      },
      {
        name: "meter, with brokers",
        points: of("brokers", ({ meter }) => meter.maxCallsPerSecond),
        style: "solid",
        colour: 0,
      },
      {
        name: "busiest broker",
        points: of("brokers", ({ broker }) => broker.maxCallsPerSecond),
        style: "dashed",
        colour: 2,
      },
    ],
  };
}

/** One line over the rates. */
function overRates(
  { modest }: ScaleResults,
  topology: Topology,
  reach: Reach,
  read: (result: SpreadResult) => number,
): Series["points"] {
  return modest
    .filter((cell) => cell.reach === reach && cell.result.topology === topology)
    .map(({ perSecond, result }) => [perSecond, read(result)]);
}

const RATE_LABEL = "requests a second of one key in each city";
const RATES = (label: string): Axis => ({
  label,
  scale: "log",
  from: 1 / 600,
  to: 100,
  ticks: [
    [1 / 600, "0.1/min"],
    [1 / 60, "1/min"],
    [1 / 10, "6/min"],
    [1 / 3, "20/min"],
    [1, "1/s"],
    [10, "10/s"],
    [100, "100/s"],
  ],
});

const REACH_SHOWN = 3;

function coldPlot(results: ScaleResults): Plot {
  const line = (topology: Topology, quantile: "p50" | "p99"): Series["points"] =>
    overRates(results, topology, REACH_SHOWN, ({ coldMs }) => Math.max(1, coldMs[quantile]));
  return {
    title: "A request that meets an isolate which does not know its key (3 cities)",
    x: RATES(RATE_LABEL),
    y: logAxis("ms until it is admitted", 1, 1_000),
    series: [
      { name: "home meters, p99", points: line("home", "p99"), style: "dashed", colour: 1 },
      { name: "home meters, p50", points: line("home", "p50"), style: "solid", colour: 1 },
      { name: "brokers, p99", points: line("brokers", "p99"), style: "dashed", colour: 0 },
      { name: "brokers, p50", points: line("brokers", "p50"), style: "solid", colour: 0 },
    ],
  };
}

function hitsPlot(results: ScaleResults): Plot {
  const line = (topology: Topology, read: (result: SpreadResult) => number): Series["points"] =>
    overRates(results, topology, REACH_SHOWN, (result) => read(result) * 100);
  return {
    title: "How often a request waits for nobody, and how often its isolate is cold (3 cities)",
    x: RATES(RATE_LABEL),
    y: {
      label: "% of requests",
      scale: "linear",
      from: 0,
      to: 100,
      ticks: [0, 25, 50, 75, 100].map((at) => [at, String(at)] as const),
    },
    series: [
      { name: "cold isolate", points: line("brokers", ({ coldShare }) => coldShare), style: "dashed", colour: 1 },
      { name: "lease at hand", points: line("brokers", ({ leaseHitRate }) => leaseHitRate), style: "solid", colour: 2 },
      {
        name: "the same, no brokers",
        points: line("home", ({ leaseHitRate }) => leaseHitRate),
        style: "dotted",
        colour: 3,
      },
    ],
  };
}

const DISTANCE_RATE = 1 / 3;

function distancePlot({ modest }: ScaleResults): Plot {
  const line = (topology: Topology, quantile: "p50" | "p99"): Series["points"] =>
    modest
      .filter(({ perSecond, result }) => perSecond === DISTANCE_RATE && result.topology === topology)
      .flatMap(({ reach, result }) =>
        typeof reach === "number" ? [[reach, Math.max(1, result.coldMs[quantile])] as const] : [],
      );
  return {
    title: "The same by the number of cities that use the key (one request in 3 s in each)",
    x: {
      label: "cities",
      scale: "linear",
      from: 1,
      to: 11,
      ticks: [1, 3, 5, 7, 9, 11].map((at) => [at, String(at)] as const),
    },
    y: logAxis("ms until it is admitted", 1, 1_000),
    series: [
      { name: "home meters, p99", points: line("home", "p99"), style: "dashed", colour: 1 },
      { name: "home meters, p50", points: line("home", "p50"), style: "solid", colour: 1 },
      { name: "brokers, p99", points: line("brokers", "p99"), style: "dashed", colour: 0 },
      { name: "brokers, p50", points: line("brokers", "p50"), style: "solid", colour: 0 },
    ],
  };
}

function costPlot(results: ScaleResults): Plot {
  const line = (topology: Topology): Series["points"] =>
    overRates(results, topology, REACH_SHOWN, ({ usdPerMillion }) => Math.max(0.01, usdPerMillion));
  return {
    title: "KV, objects and rows: dollars per million requests (3 cities)",
    x: RATES(RATE_LABEL),
    y: logAxis("$ per million requests", 0.01, 1_000),
    series: [
      { name: "home meters", points: line("home"), style: "solid", colour: 1 },
      { name: "brokers", points: line("brokers"), style: "solid", colour: 0 },
    ],
  };
}
