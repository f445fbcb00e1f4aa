import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutIntoPeriods } from "../../src/usage/periods.ts";
import { DEFAULT_RETENTION } from "../../src/usage/retention.ts";
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, bucketOf, isAllowed, sumByMinute } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import { horizonsAt, planSegments } from "../../src/usage/segments.ts";
import { usageEvent } from "../support/usage-makers.ts";

const NOW = Date.parse("2026-11-23T12:34:56.789Z");

describe("sums by minute", () => {
  const anyEvent = fc.record({
    time: fc.integer({ min: NOW - 200_000, max: NOW }),
    keyId: fc.constantFrom("key_a", "key_b", null),
    route: fc.constantFrom("/a", "/b", null),
    status: fc.constantFrom(200, 404, 429),
    code: fc.constantFrom("allowed", "rate_limited", "upstream_timeout"),
    cost: fc.integer({ min: 0, max: 1_000 }),
    bytesOut: fc.integer({ min: 0, max: 1e12 }),
  });

  test("are what adding up event by event gives", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (changes) => {
        const events = changes.map((change) => usageEvent(change));
        for (const group of sumByMinute(events).values()) {
          const own = events.filter(
            (event) =>
              Math.floor(event.time / 60_000) * 60 === group.minute &&
              event.keyId === group.dimensions.keyId &&
              event.route === group.dimensions.route &&
              event.status === group.dimensions.status &&
              event.code === group.dimensions.code,
          );
          expect(group.sums.requests).toBe(own.length);
          expect(group.sums.cost).toBe(own.reduce((sum, event) => sum + event.cost, 0));
          expect(group.sums.bytesOut).toBe(own.reduce((sum, event) => sum + event.bytesOut, 0));
          expect(group.sums.allowed).toBe(own.filter((event) => isAllowed(event.code)).length);
          expect(group.sums.allowed + group.sums.refused).toBe(own.length);
        }
        const counted = [...sumByMinute(events).values()].reduce((sum, group) => sum + group.sums.requests, 0);
        expect(counted).toBe(events.length);
      }),
    );
  });

  test("an event on the stroke belongs to the bucket that begins", () => {
    const hour = Date.parse("2026-11-23T12:00:00.000Z");
    expect(bucketOf(hour, HOUR_SECONDS)).toBe(hour / 1_000);
    expect(bucketOf(hour - 1, HOUR_SECONDS)).toBe(hour / 1_000 - HOUR_SECONDS);
  });
});

describe("the plan of a query", () => {
  const horizons = horizonsAt(NOW, DEFAULT_RETENTION);
  const hourNow = bucketOf(NOW, HOUR_SECONDS);
  const dayNow = bucketOf(NOW, DAY_SECONDS);
  const anyMarks: fc.Arbitrary<LedgerMarks> = fc
    .record({ hours: fc.integer({ min: 0, max: 3 }), days: fc.integer({ min: 0, max: 2 }) })
    .map(({ hours, days }) => ({
      ...horizons,
      hourMark: hourNow - hours * HOUR_SECONDS,
      dayMark: Math.min(dayNow - days * DAY_SECONDS, bucketOf((hourNow - hours * HOUR_SECONDS) * 1_000, DAY_SECONDS)),
    }));
  const anyMoment = fc.oneof(
    fc.integer({ min: NOW - 49 * 3_600_000, max: NOW }),
    fc.integer({ min: NOW - 95 * 86_400_000, max: NOW + 3_600_000 }),
    fc.integer({ min: NOW - 800 * 86_400_000, max: NOW }),
  );
  const seconds = { minute: MINUTE_SECONDS, hour: HOUR_SECONDS, day: DAY_SECONDS };

  test("covers the range once, only from tables that hold it exactly", () => {
    let answered = 0;
    fc.assert(
      fc.property(
        fc.constantFrom("minute", "hour", "day"),
        anyMoment,
        anyMoment,
        anyMarks,
        (granularity, a, b, marks) => {
          fc.pre(a !== b);
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          const plan = planSegments({ from, to, granularity }, marks);
          if (!plan.ok) {
            expect(granularity).not.toBe("day");
            return;
          }
          answered += 1;
          const segments = plan.value;
          for (const [index, segment] of segments.entries()) {
            expect(segment.to).toBeGreaterThan(segment.from);
            if (index > 0) expect(segment.from).toBe(segments[index - 1]?.to);
            expect(segment.from % seconds[segment.table]).toBe(0);
            expect(segment.to % seconds[segment.table]).toBe(0);
            expect(seconds[segment.table]).toBeLessThanOrEqual(seconds[granularity]);
            if (segment.table === "minute") expect(segment.from).toBeGreaterThanOrEqual(marks.minuteHorizon);
            if (segment.table === "hour") {
              expect(segment.from).toBeGreaterThanOrEqual(marks.hourHorizon);
              expect(segment.to).toBeLessThanOrEqual(marks.hourMark);
            }
            if (segment.table === "day") {
              expect(segment.from).toBeGreaterThanOrEqual(marks.dayHorizon);
              expect(segment.to).toBeLessThanOrEqual(marks.dayMark);
            }
          }
          const first = segments.at(0)?.from;
          const last = segments.at(-1)?.to;
          if (first === undefined || last === undefined) return;
          expect(first).toBeLessThanOrEqual(Math.max(from / 1_000, marks.dayHorizon));
          expect(last).toBeGreaterThanOrEqual(to / 1_000);
          // Within the minutes' retention the range is exact to the minute.
          if (from / 1_000 >= marks.minuteHorizon) expect(first).toBe(Math.floor(from / 60_000) * 60);
          if (to / 1_000 > marks.minuteHorizon) expect(last).toBe(Math.ceil(to / 60_000) * 60);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(answered).toBeGreaterThan(500);
  });

  test("a month by days is read from the day table, but for today", () => {
    const marks = { ...horizons, hourMark: hourNow, dayMark: dayNow };
    const plan = planSegments({ from: (dayNow - 30 * DAY_SECONDS) * 1_000, to: NOW, granularity: "day" }, marks);
    expect(plan.ok && plan.value.map((segment) => segment.table)).toEqual(["day", "hour", "minute"]);
  });

  test("days and months of a time zone are cut where they begin, or refused where that is no longer known", () => {
    let cut = 0;
    let refused = 0;
    const marks = { ...horizons, hourMark: hourNow, dayMark: dayNow };
    fc.assert(
      fc.property(
        fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu"),
        fc.constantFrom("day", "month"),
        anyMoment,
        anyMoment,
        (timeZone, granularity, a, b) => {
          fc.pre(a !== b);
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          const periods = cutIntoPeriods({ from, to }, granularity, timeZone, 4_000);
          if (periods === null) throw new Error("too many periods");
          const plan = planSegments({ from, to, granularity, periods, timeZone }, marks);
          if (!plan.ok) {
            refused += 1;
            expect(plan.error.parameter).toBe("timeZone");
            expect(timeZone).not.toBe("UTC");
            return;
          }
          cut += 1;
          const starts = periods.slice(1, -1).map((at) => at / 1_000);
          for (const { from: begins, to: ends, start } of plan.value) {
            // Of one period alone, the one that it is counted to.
            expect(starts.filter((at) => at > begins && at < ends)).toEqual([]);
            const own = starts.filter((at) => at <= begins).at(-1);
            if (own !== undefined) expect(start).toBe(own);
          }
        },
      ),
      { numRuns: 1_000 },
    );
    expect(cut).toBeGreaterThan(200);
    expect(refused).toBeGreaterThan(100);
  });

  test("minutes that are no longer kept are refused with the bound in the message", () => {
    const plan = planSegments(
      { from: NOW - 72 * 3_600_000, to: NOW, granularity: "minute" },
      { ...horizons, hourMark: hourNow, dayMark: dayNow },
    );
    expect(plan).toMatchObject({
      ok: false,
      error: { parameter: "from", detail: expect.stringContaining("48 hours") },
    });
  });
});
