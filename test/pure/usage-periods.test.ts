import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutIntoPeriods, isTimeZone, monthIn } from "../../src/usage/periods.ts";

const NOON = Date.parse("2026-11-23T12:00:00.000Z");
const DAY_MS = 86_400_000;

function cutsOf(from: string, to: string, timeZone: string, unit: "day" | "month" = "day"): readonly string[] {
  const cuts = cutIntoPeriods({ from: Date.parse(from), to: Date.parse(to) }, unit, timeZone, 100) ?? [];
  return cuts.map((at) => new Date(at).toISOString());
}

describe("periods of a time zone", () => {
  test("a day is 23 hours long when clocks go forward and 25 when they go back", () => {
    expect(cutsOf("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", "Europe/Berlin")).toEqual([
      "2026-03-28T12:00:00.000Z",
      "2026-03-28T23:00:00.000Z",
      "2026-03-29T22:00:00.000Z",
      "2026-03-30T12:00:00.000Z",
    ]);
    expect(cutsOf("2026-10-25T00:00:00Z", "2026-10-26T12:00:00Z", "Europe/Berlin").slice(1, -1)).toEqual([
      "2026-10-25T23:00:00.000Z",
    ]);
  });

  test("where clocks skip midnight the day begins when they go on", () => {
    // Havana goes from 23:59:59 to 01:00 on 8 March 2026.
    expect(cutsOf("2026-03-07T12:00:00Z", "2026-03-08T12:00:00Z", "America/Havana").slice(1, -1)).toEqual([
      "2026-03-08T05:00:00.000Z",
    ]);
  });

  test("days may begin in the middle of an hour of UTC", () => {
    expect(cutsOf("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "Asia/Kolkata").slice(1, -1)).toEqual([
      "2026-11-01T18:30:00.000Z",
    ]);
  });

  test("months begin on their first day there", () => {
    expect(cutsOf("2026-10-15T00:00:00Z", "2026-12-15T00:00:00Z", "America/New_York", "month").slice(1, -1)).toEqual([
      "2026-11-01T04:00:00.000Z",
      "2026-12-01T05:00:00.000Z",
    ]);
    expect(monthIn("2026-12", "UTC")).toEqual({
      from: Date.parse("2026-12-01T00:00:00Z"),
      to: Date.parse("2027-01-01T00:00:00Z"),
    });
  });

  test("in any zone every cut but the ends is a midnight there, no day is left out, and none begins twice", () => {
    const zones = Intl.supportedValuesOf("timeZone");
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: NOON - 800 * DAY_MS, max: NOON }),
        fc.integer({ min: 1, max: 40 * DAY_MS }),
        (timeZone, from, length) => {
          const cuts = cutIntoPeriods({ from, to: from + length }, "day", timeZone, 100);
          if (cuts === null) throw new Error("too many");
          const date = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" });
          for (const [index, at] of cuts.slice(1, -1).entries()) {
            expect(date.format(at)).not.toBe(date.format(at - 1));
            expect(at).toBeGreaterThan(cuts[index] ?? Infinity);
          }
          const days = new Set<string>();
          for (let at = from; at < from + length; at += 1_800_000) days.add(date.format(at));
          days.add(date.format(from + length - 1));
          expect(cuts.length - 1).toBe(days.size);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("more periods than wanted are refused, and only names are zones", () => {
    expect(cutIntoPeriods({ from: 0, to: 11 * DAY_MS }, "day", "UTC", 10)).toBeNull();
    expect(cutIntoPeriods({ from: 0, to: 10 * DAY_MS }, "day", "UTC", 10)).toHaveLength(11);
    expect(["Europe/Berlin", "UTC"].every(isTimeZone)).toBe(true);
    expect(["+02:00", "Nowhere/City", "", "../etc"].some(isTimeZone)).toBe(false);
  });
});
