import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judge, type Sample } from "../../scripts/accuracy/judge.ts";
import { cellsOf, ISOLATES, QUICK_ISOLATES } from "../../scripts/accuracy/matrix.ts";
import { schedule } from "../../scripts/accuracy/offer.ts";
import { planCells } from "../../scripts/accuracy/plan.ts";
import { seededRandom } from "../../scripts/accuracy/random.ts";

/** `npm run accuracy` says the truth: it accuses no limit that held, and misses none that did not. */

const SECOND = 1_000;
const WINDOWS = [0, 1, 2].map((index) => ({ start: index * SECOND, end: (index + 1) * SECOND }));

/** Requests that were decided the moment they were sent. */
function samples(count: number, at: number, passed: boolean): Sample[] {
  return Array.from({ length: count }, () => ({ sentAt: at, settledAt: at, passed }));
}

describe("passed ÷ allowed", () => {
  it("is 1 where each window passed its limit, and what was offered counts where that is less", () => {
    const seen = [
      ...samples(10, 100, true),
      ...samples(30, 200, false),
      ...samples(10, 1_100, true),
      ...samples(30, 1_200, false),
      ...samples(4, 2_500, true),
    ];
    expect(judge(seen, WINDOWS, 10)).toMatchObject({ ratio: 1, highest: 1, lowest: 1, allowed: 24, passed: 24 });
  });

  it("is above 1 for one unit too many in one window, whatever the others left unused", () => {
    const seen = [...samples(51, 100, true), ...samples(30, 1_100, true), ...samples(50, 1_200, false)];
    expect(judge(seen, WINDOWS, 50).ratio).toBeCloseTo(51 / 50);
  });

  it("is below 0.98 for two units of fifty left unused in one window", () => {
    const seen = [0, 1, 2].flatMap((window) => [
      ...samples(window === 1 ? 48 : 50, window * SECOND, true),
      ...samples(50, window * SECOND + 500, false),
    ]);
    expect(judge(seen, WINDOWS, 50).ratio).toBeCloseTo(48 / 50);
  });

  it("holds a request across an edge against neither window, but against the two together", () => {
    const across = Array.from({ length: 10 }, (): Sample => ({ sentAt: 990, settledAt: 1_010, passed: true }));
    const full = [...samples(10, 100, true), ...across];
    expect(judge(full, WINDOWS, 10)).toMatchObject({ ratio: 1, highest: 1, straddling: 10 });
    expect(judge([...full, ...samples(1, 1_500, true)], WINDOWS, 10).ratio).toBeCloseTo(21 / 20);
  });

  it("gives the end of a window to the next one", () => {
    expect(judge([...samples(10, 999, true), ...samples(10, 1_000, true)], WINDOWS, 10).ratio).toBe(1);
    expect(judge([...samples(10, 999, true), ...samples(1, 998, true)], WINDOWS, 10).ratio).toBeCloseTo(1.1);
  });

  it("refuses to judge where nothing was offered", () => {
    expect(() => judge([], WINDOWS, 10)).toThrow(RangeError);
  });

  it("is 1 for a limiter that counts exactly at a hidden moment of each request, and above 1 for some that is not", () => {
    const request = fc.record({
      sentAt: fc.integer({ min: 0, max: 2_900 }),
      beforeMs: fc.integer({ min: 0, max: 300 }),
      afterMs: fc.integer({ min: 0, max: 300 }),
    });
    let accused = 0;
    const offered = fc.array(request, { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(offered, fc.integer({ min: 1, max: 12 }), (requests, limit) => {
        const run = (units: number): readonly Sample[] => {
          const counted = requests
            .map(({ sentAt, beforeMs, afterMs }) => ({
              sentAt,
              at: sentAt + beforeMs,
              settledAt: sentAt + beforeMs + afterMs,
            }))
            .toSorted((a, b) => a.at - b.at);
          const used = new Map<number, number>();
          return counted.map(({ sentAt, at, settledAt }) => {
            const window = Math.floor(at / SECOND);
            const before = used.get(window) ?? 0;
            used.set(window, before + 1);
            return { sentAt, settledAt, passed: before < units };
          });
        };
        expect(judge(run(limit), WINDOWS, limit)).toMatchObject({ ratio: 1, lowest: 1 });
        expect(judge(run(limit), WINDOWS, limit).highest).toBeLessThanOrEqual(1);
        if (judge(run(limit + 1), WINDOWS, limit).ratio > 1) accused++;
      }),
    );
    expect(accused).toBeGreaterThan(0);
  });
});

describe("the plan", () => {
  it.each([
    { quick: false, isolates: ISOLATES, perSecondMax: 460, withinMs: 330_000 },
    { quick: true, isolates: QUICK_ISOLATES, perSecondMax: 260, withinMs: 45_000 },
  ])("measures every cell from a window's edge, never more at once than asked, in time (quick: $quick)", (wanted) => {
    const { quick, isolates, perSecondMax, withinMs } = wanted;
    const cells = cellsOf(quick, isolates);
    for (let now = Date.UTC(2026, 10, 23); now < Date.UTC(2026, 10, 23) + 600_000; now += 61_003) {
      const planned = planCells(cells, now, perSecondMax);
      expect(new Set(planned.map(({ cell }) => cell))).toEqual(new Set(cells));
      for (let at = now; at < now + withinMs + 60_000; at += 250) {
        const running = planned.filter(({ from, until }) => from <= at && at < until);
        const rate = running.reduce((sum, { cell }) => sum + cell.load.perSecond, 0);
        expect(running.length === 1 ? 0 : rate).toBeLessThanOrEqual(perSecondMax);
      }
      for (const { cell, from, until, windows } of planned) {
        expect(from).toBeGreaterThanOrEqual(now);
        expect(until).toBeLessThanOrEqual(now + withinMs);
        expect(until).toBeLessThanOrEqual(windows.at(-1)?.end ?? 0);
        if (cell.load.window !== "month") expect(windows[0]?.start).toBe(from);
      }
    }
  });

  it("never reaches from one month into the next", () => {
    const lastSeconds = Date.UTC(2026, 11, 1) - 4_000;
    for (const { cell, from } of planCells(cellsOf(true, [1]), lastSeconds, 1_000))
      if (cell.load.window === "month") expect(from).toBeGreaterThanOrEqual(Date.UTC(2026, 11, 1));
  });
});

describe("the offer", () => {
  const plan = { from: 5_000, until: 15_000, perSecond: 40, isolates: 8 } as const;

  it("is the same for the same seed, reaches every isolate, and leaves the end quiet", () => {
    for (const shape of ["steady", "bursty"] as const) {
      const dues = schedule({ ...plan, shape }, seededRandom(7));
      expect(schedule({ ...plan, shape }, seededRandom(7))).toEqual(dues);
      expect(schedule({ ...plan, shape }, seededRandom(8))).not.toEqual(dues);
      expect(new Set(dues.map(({ isolate }) => isolate)).size).toBe(8);
      expect(dues[0]?.at).toBe(5_000);
      expect(dues.at(-1)?.at).toBeLessThan(14_750);
      expect(dues.length).toBeGreaterThanOrEqual(390);
    }
  });

  it("bursty is all of a second's requests within 100 ms", () => {
    const dues = schedule({ ...plan, shape: "bursty" }, seededRandom(7));
    for (let second = 0; second < 10; second++) {
      const burst = dues.slice(second * 40, (second + 1) * 40);
      expect((burst.at(-1)?.at ?? 0) - (burst[0]?.at ?? 0)).toBeLessThanOrEqual(100);
    }
  });
});
