import { expect, test } from "vitest";
import { limitNotices } from "../../src/alerts/limit-notices.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { ALERTS_START as START } from "../support/alert-makers.ts";

const DAY = 86_400_000;
const MONTH_START = Date.UTC(2026, 10, 1);
const HOLDER = { owner: "acme", team: null, keyId: "key_a", name: "The key lk_live_AbCd…wxyz" };
const MONTHLY: Limit = { name: "monthly", limit: 1_000, window: "month", kind: "quota" };
const DAILY: Limit = { name: "daily", limit: 100, window: "day", kind: "quota" };
const BURST: Limit = { name: "burst", limit: 10, window: "minute", kind: "rate" };

const monthly = (used: number, windowStart = MONTH_START) => ({ name: "monthly|month", windowStart, used });

function said(limits: readonly Limit[], ...counters: Parameters<typeof limitNotices>[2]) {
  return limitNotices(HOLDER, limits, counters, START).map(({ kind, subject, severity }) => [kind, subject, severity]);
}

test.each([
  [799, []],
  [800, [["near_limit", "key_a/monthly", "notice"]]],
  [999, [["near_limit", "key_a/monthly", "notice"]]],
  [1_000, [["limit_reached", "key_a/monthly", "ticket"]]],
] as const)("%i of 1,000 units is told as %j", (used, expected) => {
  expect(said([MONTHLY], monthly(used))).toEqual(expected);
});

test("what was used in a window that is over, or of a limit that is no more, is not told", () => {
  expect(said([MONTHLY], monthly(1_000, MONTH_START - 31 * DAY))).toEqual([]);
  expect(said([DAILY], monthly(1_000))).toEqual([]);
  expect(said([])).toEqual([]);
});

test("limits of less than a day are not told of: they are whole again before anybody reads it", () => {
  const windowStart = Math.floor(START / 60_000) * 60_000;
  expect(said([BURST], { name: "burst|60", windowStart, used: 10 })).toEqual([]);
});

test("each limit stands for itself, with its numbers and the window's end", () => {
  const windowStart = Math.floor(START / DAY) * DAY;
  const [near, reached] = limitNotices(
    HOLDER,
    [MONTHLY, DAILY],
    [monthly(900), { name: "daily|86400", windowStart, used: 120 }],
    START,
  );
  expect(near?.summary).toBe(
    "The key lk_live_AbCd…wxyz has used 90 % of its limit monthly (900 of 1000) before 2026-12-01 00:00 UTC.",
  );
  expect(reached).toMatchObject({
    kind: "limit_reached",
    evidence: { numbers: { used: 100, limit: 100, percent: 100 } },
  });
});
