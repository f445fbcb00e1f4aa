import { expect, it } from "vitest";
import { serverConfig } from "../../scripts/bench/capnp.ts";
import type { Operations } from "../../scripts/bench/counting.ts";
import { toFigures } from "../../scripts/bench/figures.ts";
import type { Results } from "../../scripts/bench/figures.ts";
import type { Round } from "../../scripts/bench/measure.ts";
import { pageOf } from "../../scripts/bench/page.ts";
import { summarize } from "../../scripts/bench/profile.ts";
import { pairedDifference, pairedRatio, percentile, spreadOf } from "../../scripts/bench/statistics.ts";
import { countTargets, timeTargets } from "../../scripts/bench/targets.ts";

it("percentiles stand between the nearest ranks, and order does not matter", () => {
  expect(percentile([4, 1, 3, 2], 50)).toBe(2.5);
  expect(percentile([10], 99)).toBe(10);
  expect(percentile([0, 100], 99)).toBe(99);
  expect(percentile([], 50)).toBeNaN();
});

it("a round that slowed both sides does not change their ratio", () => {
  expect(pairedRatio([110, 1_100, 112], [100, 1_000, 100])).toEqual({ median: 1.1, least: 1.1, greatest: 1.12 });
  expect(pairedDifference([5, 7], [1, 2, 3])).toEqual({ median: 4.5, least: 4, greatest: 5 });
  expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, greatest: 3 });
});

const round = (cpuMicrosPerRequest: number, requestsPerSecond: number): Round => ({
  requests: 1_000,
  cpuMicrosPerRequest,
  tickMicrosPerRequest: cpuMicrosPerRequest,
  requestsPerSecond,
  p50Ms: 5,
  p99Ms: 9,
});

const counted: Operations = {
  requests: 4_000,
  seconds: 9,
  kvReads: 0,
  meterCalls: 7,
  calls: {},
  otherCalls: 0,
  rowsWritten: 4,
  queueMessages: 40,
  events: 4_000,
  queueBytes: 2_000_000,
  consumerRowsWritten: 60,
};

function results(cpu: Readonly<Record<string, number>>): Results {
  const names = Object.keys(cpu);
  const paced = (name: string) => ({
    requests: 100,
    p50Ms: 1 + (cpu[name] ?? 0) / 10_000,
    p99Ms: 2,
    cpuMicrosPerRequest: cpu[name] ?? 0,
    latestMs: 1,
  });
  return {
    list: names.map((name) => ({
      candidate: {
        name,
        about: name,
        family: name === "other" ? "peer" : name === "hono" ? "floor" : "latchkey",
        floor: name === "latchkey" || name === "other" ? "hono" : null,
        start: () => Promise.reject(new Error("not in this test")),
      },
      running: {
        url: "",
        pids: () => [],
        requests: [],
        expectedStatus: 200,
        stop: () => Promise.resolve(),
      },
      left: [],
      failure: null,
    })),
    rounds: new Map(names.map((name) => [name, [round(cpu[name] ?? 0, 1e6 / (cpu[name] ?? 1))]])),
    paced: new Map(names.map((name) => [name, paced(name)])),
    counted,
    coldIsolate: null,
  };
}

it("every target that is missed is named, and what was not measured is not judged", () => {
  const good = toFigures(results({ hono: 200, latchkey: 210, garbage: 90, naive: 900, other: 500 }));
  expect(timeTargets(good).map(({ held }) => held)).toEqual(Array.from({ length: 7 }, () => true));
  const bad = toFigures(results({ hono: 200, latchkey: 900, garbage: 800, naive: 900, other: 500 }));
  const missed = timeTargets(bad).filter(({ held }) => !held);
  expect(missed.map(({ name }) => name)).toEqual([
    "processor time, latchkey ÷ hono",
    "throughput, latchkey ÷ hono",
    "processor time, garbage ÷ latchkey",
    "processor time, naive ÷ latchkey",
    "added processor time, less than other",
  ]);
  expect(timeTargets(toFigures(results({ hono: 200 })))).toEqual([]);
});

it("a candidate that answered wrongly has no figures and fails the run", () => {
  const { list, ...rest } = results({ hono: 200, latchkey: 210 });
  const broken = list.map((one) => (one.candidate.name === "hono" ? { ...one, failure: "hono answered 503" } : one));
  const figures = toFigures({ ...rest, list: broken });
  expect(Object.keys(figures.candidates)).toEqual(["latchkey"]);
  expect(figures.ratios.cpuLatchkeyOverHono).toBeNull();
  expect(timeTargets(figures)).toMatchObject([
    { name: "hono answers as it must", measured: "hono answered 503", held: false },
  ]);
});

it("counts are checked one by one: each of them can fail the run alone", () => {
  expect(countTargets(counted).every(({ held }) => held)).toBe(true);
  const regressions: Partial<Operations>[] = [
    { kvReads: 1 },
    { meterCalls: 60 },
    { rowsWritten: 30 },
    { queueMessages: 79 },
    { events: 3_999 },
    { otherCalls: 1 },
  ];
  for (const regression of regressions) {
    expect(countTargets({ ...counted, ...regression }).filter(({ held }) => !held)).not.toEqual([]);
  }
});

it("the figures for programs have the documented shape, and survive JSON", () => {
  const figures = toFigures(results({ hono: 200, latchkey: 220, naive: 880 }));
  const read = JSON.parse(JSON.stringify(figures)) as typeof figures;
  expect(read.candidates["latchkey"]).toMatchObject({ cpuMicrosPerRequest: 220, p50Ms: 1.022, p99Ms: 2 });
  expect(read.ratios.cpuLatchkeyOverHono).toBeCloseTo(1.1);
  expect(read.ratios.cpuNaiveOverLatchkey).toBe(4);
  expect(read.addedMs.p50).toBeCloseTo(0.002);
  expect(read.perThousand).toMatchObject({ kvReads: 0, meterCalls: 1.75, rowsWritten: 1, queueMessages: 10 });
});

it("the page names each target that was missed", () => {
  const figures = toFigures(results({ hono: 200, latchkey: 900 }));
  const facts = {
    date: "2026-01-01",
    machine: { cpu: "a CPU", cores: 2, memoryGib: 4, system: "Linux", node: "v24" },
    rounds: 5,
    seconds: 3,
    ratePerSecond: 100,
    pacedSeconds: 20,
    loadBefore: 0.1,
  };
  const profile = [{ name: "check", selfMicros: 3, totalMicros: 40 }];
  const page = pageOf(facts, figures, { targets: timeTargets(figures), profile });
  expect(page).toContain("Missed: processor time, latchkey ÷ hono (4.50, wanted ≤ 1.12)");
  expect(page).not.toMatch(/undefined|NaN/);
});

it("texts in a generated configuration cannot leave their quotes", () => {
  const config = serverConfig({
    workers: [
      {
        name: "one",
        module: "one.js",
        compatibilityDate: "2026-10-23",
        compatibilityFlags: [],
        bindings: [{ name: "TEXT", text: 'a "quoted" \\ text' }],
        objectClasses: [],
      },
    ],
    external: {},
    sockets: { http: "one" },
    storage: null,
  });
  expect(config).toContain(String.raw`text = "a \"quoted\" \\ text"`);
});

it("a profile's self times add up to its samples, and a function that calls itself is not counted twice", () => {
  const frame = (functionName: string) => ({ functionName, url: "file:///main", lineNumber: 0, columnNumber: 0 });
  const lines = summarize({
    startTime: 0,
    endTime: 60,
    nodes: [
      { id: 1, callFrame: frame("root"), children: [2] },
      { id: 2, callFrame: frame("walk"), children: [3] },
      { id: 3, callFrame: frame("walk") },
    ],
    samples: [2, 3, 1],
    timeDeltas: [10, 20, 40],
  });
  expect(lines).toEqual([
    { name: "root (main:1)", selfMicros: 40, totalMicros: 70 },
    { name: "walk (main:1)", selfMicros: 30, totalMicros: 30 },
  ]);
});
