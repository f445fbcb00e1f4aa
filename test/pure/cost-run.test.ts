import { describe, expect, it } from "vitest";
import { coldShare, fitHalfCold } from "../../scripts/cost/fit.ts";
import { laterUnits, perRequest } from "../../scripts/cost/measure.ts";
import type { Case } from "../../scripts/cost/measure.ts";
import { targetsOf, toFigures } from "../../scripts/cost/report.ts";
import { askingShare, toRows } from "../../scripts/cost/results.ts";
import { distinctShare, VOLUMES } from "../../scripts/cost/shapes.ts";
import type { ShapeName, Volume } from "../../scripts/cost/shapes.ts";
import { noObjectUnits, noWorkerUnits, queueOperationsOf } from "../../scripts/cost/units.ts";
import type { WorkerUnits } from "../../scripts/cost/units.ts";

const CPU = { warmMs: 1, coldMs: 3, naiveMs: 2, source: "a test" };

/** 1,000 requests, of which 250 asked a meter that wrote a row for each; 10 messages on the queue, and 1 run of its consumer. */
function counted(): WorkerUnits {
  const meter = { ...noObjectUnits(), requests: 250, rowsWritten: 250, rowsRead: 500, idleCalls: 100, timerMs: 4_000 };
  return {
    ...noWorkerUnits(),
    requests: 1_000,
    invocations: 1,
    kvReads: 50,
    queueMessages: 10,
    queueOperations: 30,
    logLines: 10,
    objects: { KeyMeter: meter },
    calls: { "KeyMeter.acquire": 250 },
  };
}

function caseOf(shape: ShapeName, volume: Volume): Case {
  const units = perRequest(counted());
  return { shape, volume, counted: counted(), cpuMs: null, lateMs: 0, units, later: { rowsWritten: 0.5 }, nextCold: 0 };
}

const CASES = (["hot", "zipf", "cold"] as const).flatMap((shape) => VOLUMES.map((volume) => caseOf(shape, volume)));

describe("what was counted becomes units of a bill", () => {
  it("per request, the consumer's runs among the requests and time awake as GB-s", () => {
    const units = perRequest(counted());
    expect(units.requests).toBeCloseTo(1.001, 9);
    expect(units.kvReads).toBeCloseTo(0.05, 9);
    expect(units.objectRequests).toBeCloseTo(0.25, 9);
    expect(units.rowsWritten).toBeCloseTo(0.25, 9);
    expect(units.queueOperations).toBeCloseTo(0.03, 9);
    // 4 s by timers and 100 calls of 10 ms, at 0.128 GB.
    expect(units.objectGbSeconds).toBeCloseTo((5 * 0.128) / 1_000, 9);
  });

  it("what comes after the run is there: a key in use is two rows an hour in the registry, and its sums share rows", () => {
    // 100 keys that ask every 259 s: all of them in an hour.
    const traffic = { requestsPerSecond: 100 / 259, keys: 100 };
    const requests = (100 / 259) * 3_600;
    const later = laterUnits("cold", traffic, 0.25);
    const days = (2 * 1) / (24 * requests);
    const notes = 1 / (requests / 60);
    expect(later.rowsWritten).toBeCloseTo(0.25 + (2 * 100) / requests + 2 / requests + days + notes, 6);
    expect(later.objectRequests).toBeCloseTo(100 / requests, 9);
  });

  it("a message is three operations for each 64 KB begun", () => {
    expect([1, 65_536, 65_537, 131_072, 131_073].map(queueOperationsOf)).toEqual([3, 3, 6, 6, 9]);
  });

  it("requests that ask for a lease take a cold request's processor time", () => {
    expect(askingShare(caseOf("zipf", { requestsPerMonth: 1e9, isolates: 8 }))).toBe(0.25);
    const [row] = toRows(CASES, CPU, {});
    expect(row?.units.cpuMs).toBeCloseTo(1.5, 9);
  });
});

describe("the result", () => {
  const rows = toRows(CASES, CPU, { rowsWritten: 1e6 });

  it("has every shape at every volume, the largest derived from the one before", () => {
    expect(rows.map(({ shape, requestsPerMonth, how }) => `${shape} ${requestsPerMonth} ${how}`)).toEqual(
      ["hot", "zipf", "cold"].flatMap((shape) => [
        `${shape} 10000000 counted`,
        `${shape} 100000000 counted`,
        `${shape} 1000000000 counted`,
        `${shape} 10000000000 derived`,
      ]),
    );
  });

  it("spreads what no request causes over the month's requests", () => {
    const rowsWritten = rows.filter(({ shape }) => shape === "hot").map(({ units }) => units.rowsWritten ?? 0);
    for (const [index, fixed] of [0.1, 0.01, 0.001, 0.0001].entries())
      expect(rowsWritten[index]).toBeCloseTo(0.25 + 0.5 + fixed, 9);
  });

  it("misses its targets when requests are this dear, and says so for each", () => {
    expect(targetsOf(rows).map(({ held }) => held)).toEqual([false, false, false]);
    const cheap = rows.map((row) => ({ ...row, usdPerMillion: 0.39 }));
    expect(targetsOf(cheap).map(({ held }) => held)).toEqual([true, true, true]);
  });

  it("as JSON has both prices for each shape", () => {
    const perMillion = { latchkeyUsdPerMillion: expect.any(Number), naiveUsdPerMillion: expect.any(Number) };
    expect(toFigures(rows)).toMatchObject({ shapes: { hot: perMillion, zipf: perMillion, cold: perMillion } });
  });
});

describe("how many different keys ask", () => {
  it("is one for a hot key, and never more than there are requests or keys", () => {
    expect(distinctShare("hot", { requestsPerSecond: 10, keys: 100 }, 60)).toBeCloseTo(1 / 600, 9);
    for (const spanSeconds of [1, 60, 3_600]) {
      const traffic = { requestsPerSecond: 10, keys: 100 };
      const distinct = distinctShare("zipf", traffic, spanSeconds) * 10 * spanSeconds;
      expect(distinct).toBeLessThanOrEqual(Math.min(100, 10 * spanSeconds));
      expect(distinct).toBeGreaterThan(0);
    }
  });
});

describe("the estimate for one key", () => {
  it("is fitted so that the share of dear requests comes out as counted", () => {
    const perMinute = Array.from({ length: 1_000 }, (_, index) => 2_000 / (index + 1));
    for (const wanted of [0.05, 0.3, 0.6]) {
      const half = fitHalfCold(perMinute, wanted);
      expect(coldShare(perMinute, half)).toBeGreaterThanOrEqual(wanted);
      if (half > 1) expect(coldShare(perMinute, half - 1)).toBeLessThan(wanted);
    }
  });
});
