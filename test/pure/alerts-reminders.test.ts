import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { remindersOf } from "../../src/alerts/reminders.ts";
import type { ReminderKey, ReminderRules } from "../../src/alerts/reminders.ts";
import { ALERTS_START as START, ONE_WEBHOOK } from "../support/alert-makers.ts";
import { AlertWorld } from "../support/alert-world.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const KEY: ReminderKey = {
  id: "key_a",
  hint: "lk_live_AbCd…wxyz",
  owner: "acme",
  team: "payments",
  createdAt: START - 60 * DAY,
  expiresAt: null,
  notAfter: null,
  rotatedAt: null,
  lastUsedAt: START - HOUR,
};

const said = (change: Partial<ReminderKey>, rules: Partial<ReminderRules> = {}) =>
  remindersOf({ ...KEY, ...change }, { now: START, staleDays: 90, rotationDays: null, ...rules }).map(
    ({ kind, stage, severity }) => [kind, stage, severity],
  );

describe("an end", () => {
  test.each([
    ["31 days ahead is not told", { expiresAt: START + 31 * DAY }, []],
    ["30 days ahead is a notice", { expiresAt: START + 30 * DAY }, [["key_expiring", 1, "notice"]]],
    ["7 days ahead is one more", { expiresAt: START + 7 * DAY }, [["key_expiring", 2, "notice"]]],
    ["a day ahead is a ticket", { expiresAt: START + DAY }, [["key_expiring", 3, "ticket"]]],
    ["that has passed is not told", { expiresAt: START }, []],
    [
      "of a key that lives for a week is told on its last day alone",
      { createdAt: START - DAY, expiresAt: START + 6 * DAY },
      [],
    ],
    [
      "of a key that lives for a week, on its last day",
      { createdAt: START - 6 * DAY, expiresAt: START + DAY },
      [["key_expiring", 3, "ticket"]],
    ],
    ["of a key that lives for a day is never told", { createdAt: START - HOUR, expiresAt: START + 23 * HOUR }, []],
    [
      "of a key that was replaced and is still used",
      { notAfter: START + 6 * DAY, rotatedAt: START - DAY, expiresAt: START + 6 * DAY },
      [["rotation_overlap_ending", 2, "ticket"]],
    ],
    [
      "of a key that was replaced and is used no more is not told",
      { notAfter: START + HOUR, rotatedAt: START - DAY, lastUsedAt: START - 2 * DAY },
      [],
    ],
  ] as const)("%s", (_name, change, expected) => {
    expect(said(change)).toEqual(expected);
  });
});

test("a key that nobody used for 90 days is stale, counted from when it was made", () => {
  expect(said({ lastUsedAt: START - 90 * DAY, createdAt: START - 200 * DAY })).toEqual([
    ["key_stale", undefined, "notice"],
  ]);
  expect(said({ lastUsedAt: 0, createdAt: START - 90 * DAY })).toEqual([["key_stale", undefined, "notice"]]);
  expect(said({ lastUsedAt: 0, createdAt: START - 89 * DAY })).toEqual([]);
  expect(said({ lastUsedAt: START - 31 * DAY }, { staleDays: 30 })).toEqual([["key_stale", undefined, "notice"]]);
});

test("a rotation is due at the age that is asked for, told ahead, and louder when it has passed", () => {
  expect(said({}, { rotationDays: 365 })).toEqual([]);
  expect(said({}, { rotationDays: 90 })).toEqual([["rotation_due", 1, "notice"]]);
  expect(said({}, { rotationDays: 61 })).toEqual([["rotation_due", 3, "notice"]]);
  expect(said({}, { rotationDays: 60 })).toEqual([["rotation_due", 4, "ticket"]]);
  expect(said({ createdAt: START - DAY }, { rotationDays: 1 })).toEqual([["rotation_due", 4, "ticket"]]);
  // It ends before.
  expect(said({ expiresAt: START + DAY }, { rotationDays: 90 })).toEqual([["key_expiring", 3, "ticket"]]);
});

test("each key is told of once at each step, grouped by owner, however often the cron looks", () => {
  const keys = fc.array(
    fc.record({ owner: fc.constantFrom("a", "b"), days: fc.integer({ min: 20, max: 45 }), hour: fc.nat(23) }),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(keys, (made) => {
      const world = new AlertWorld(ONE_WEBHOOK, START);
      const all = made.map(({ owner, days, hour }, index) => ({
        ...KEY,
        id: `key_${index}`,
        owner,
        createdAt: START - 300 * DAY,
        expiresAt: START + days * DAY + hour * HOUR,
        lastUsedAt: START + 400 * DAY,
      }));
      const steps = new Map<string, number[]>();
      while (world.now < START + 50 * DAY) {
        for (const key of all) {
          for (const condition of remindersOf(key, { now: world.now, staleDays: 90, rotationDays: null })) {
            world.report(condition);
          }
        }
        for (const alert of world.alerts.values()) {
          for (const { subject, stage } of alert.subjects) steps.set(subject, [...(steps.get(subject) ?? []), stage]);
        }
        world.tick();
        world.now += HOUR;
      }
      // Every key came to its last step, in an alert of its owner's.
      expect(steps.size).toBe(all.length);
      for (const stages of steps.values()) expect(Math.max(...stages)).toBe(3);
      const owners = new Set(all.map(({ owner }) => owner)).size;
      // At most one message for each step of each key, one more where its last day is over, and the ends; far from one an hour.
      expect(world.messages.length).toBeLessThanOrEqual(4 * all.length + 4 * owners);
      expect(world.messages.length).toBeGreaterThanOrEqual(3);
    }),
    { numRuns: 30 },
  );
});
