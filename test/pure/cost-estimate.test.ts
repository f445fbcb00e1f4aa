import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { coldRequestsOf, estimateUsd, halfColdOf } from "../../src/usage/cost-estimate.ts";
import { MEASURED_COST } from "../../src/usage/measured-cost.ts";
import type { UsagePoint } from "../../src/usage/query.ts";
import { mergePoints, toUsageAnswer } from "../../src/usage/query.ts";
import { emptySums } from "../../src/usage/rollup.ts";

function point(key: string, requests: number, coldRequests: number): UsagePoint {
  return { start: 0, group: [key], sums: { ...emptySums(), requests, allowed: requests }, coldRequests };
}

describe("the estimated cost of requests", () => {
  it("is a text of dollars with nine decimals, never a rounded number", () => {
    expect(estimateUsd(0, 0)).toBe("0.000000000");
    const million = BigInt(MEASURED_COST.warmNanoUsd) * 1_000_000n;
    expect(estimateUsd(1e6, 0)).toBe(`${million / 10n ** 9n}.${String(million % 10n ** 9n).padStart(9, "0")}`);
    fc.assert(
      fc.property(fc.nat(1e10), fc.nat(1e6), (requests, cold) => {
        const text = estimateUsd(requests, Math.min(requests, cold));
        expect(text).toMatch(/^\d+\.\d{9}$/);
        const nano = requests * MEASURED_COST.warmNanoUsd + Math.min(requests, cold) * MEASURED_COST.coldExtraNanoUsd;
        expect(BigInt(text.replace(".", ""))).toBe(BigInt(nano));
      }),
    );
  });

  it("prices few requests in a bucket as those of a quiet key, and at most a fixed number of many", () => {
    const half = halfColdOf("minute");
    expect(coldRequestsOf(0, half)).toBe(0);
    expect(coldRequestsOf(half, half)).toBe(Math.floor(half / 2));
    fc.assert(
      fc.property(fc.nat(1e9), (requests) => {
        const cold = coldRequestsOf(requests, half);
        expect(cold).toBeLessThanOrEqual(Math.min(requests, half));
        expect(coldRequestsOf(requests + 1, half)).toBeGreaterThanOrEqual(cold);
      }),
    );
  });

  it("scales with the length of a bucket", () => {
    expect(halfColdOf("hour")).toBe(60 * halfColdOf("minute"));
    expect(halfColdOf("day")).toBe(24 * halfColdOf("hour"));
  });

  it("of a thin key is more per request than of a busy one, and totals are those of all their points", () => {
    const merged = mergePoints([[point("busy", 9_000, 50), point("thin", 10, 9)], [point("busy", 1_000, 40)]]);
    if (!merged.ok) throw new Error(merged.error.detail);
    const answer = toUsageAnswer({ groupBy: ["key"], granularity: "hour" }, { from: 0, to: 1, points: merged.value });
    expect(answer.series.map(({ key, estimatedCostUsd }) => [key, estimatedCostUsd])).toEqual([
      ["busy", estimateUsd(10_000, 90)],
      ["thin", estimateUsd(10, 9)],
    ]);
    expect(answer.totals.estimatedCostUsd).toBe(estimateUsd(10_010, 99));
    expect(Number(estimateUsd(10, 9)) / 10).toBeGreaterThan(Number(estimateUsd(10_000, 90)) / 10_000);
  });
});
