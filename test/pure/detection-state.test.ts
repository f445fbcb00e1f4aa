import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KeyHistory } from "../../src/detection/key-history.ts";
import { HISTORY_HOURS, absorbHour, emptyHistory, mergeHistories } from "../../src/detection/key-history.ts";
import { absorbPlaces, mergePlaces, noPlaces } from "../../src/detection/known-places.ts";
import { readProfile } from "../../src/detection/profile.ts";
import { fromByte, fromShort, toByte, toShort } from "../../src/detection/small-number.ts";
import { MAX_STATE_BYTES, decodeState, encodeState } from "../../src/detection/state.ts";
import { median, quantile, robustSpread, wilson } from "../../src/detection/statistics.ts";
import { FIRST_HOUR, keyHour, place } from "../support/detection-rows.ts";

const anyHour = fc.record({
  at: fc.integer({ min: 0, max: HISTORY_HOURS + 200 }),
  requests: fc.integer({ min: 0, max: 5_000_000 }),
  failures: fc.integer({ min: 0, max: 900 }),
  flat: fc.boolean(),
});

function historyOf(hours: readonly { at: number; requests: number; failures: number; flat: boolean }[]): KeyHistory {
  const history = emptyHistory();
  for (const { at, requests, failures, flat } of hours) {
    absorbHour(history, keyHour(FIRST_HOUR + at, { requests, failures, flatNearLimit: flat }));
  }
  return history;
}

/** A key has one row an hour. */
const anyHours = fc.uniqueArray(anyHour, { maxLength: 60, selector: ({ at }) => at });

describe("counts in two bytes or one", () => {
  test("small ones are exact, large ones near, and order is kept", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e9 }), fc.integer({ min: 0, max: 4e9 }), (a, b) => {
        if (a < 4_096) expect(fromShort(toShort(a))).toBe(a);
        if (a < 16) expect(fromByte(toByte(a))).toBe(a);
        expect(Math.abs(fromShort(toShort(a)) - a)).toBeLessThanOrEqual(a * 0.000_25);
        expect(Math.abs(fromByte(toByte(a)) - a)).toBeLessThanOrEqual(a * 0.067);
        const [low, high] = a < b ? [a, b] : [b, a];
        expect(toShort(low)).toBeLessThanOrEqual(toShort(high));
        expect(toByte(low)).toBeLessThanOrEqual(toByte(high));
      }),
    );
  });
});

describe("a key's history", () => {
  test("noting an hour again changes nothing", () => {
    fc.assert(
      fc.property(anyHours, fc.integer({ min: 0, max: 59 }), (hours, again) => {
        const inOrder = hours.toSorted((a, b) => a.at - b.at);
        const repeated = inOrder[again];
        // Noted twice, the second time after all others.
        const twice = repeated === undefined ? inOrder : [...inOrder, repeated];
        expect(historyOf(twice)).toEqual(historyOf(inOrder));
      }),
    );
  });

  test("the sums do not depend on the order in which hours come", () => {
    fc.assert(
      fc.property(anyHours, (hours) => {
        const sums = ({ requests, cost, failures, errors, flat, through }: KeyHistory) => ({
          requests,
          cost,
          failures,
          errors,
          flat,
          through,
        });
        const inOrder = hours.toSorted((a, b) => a.at - b.at);
        // What is more than six weeks older than the newest is too late in either order.
        const newest = inOrder.at(-1)?.at ?? 0;
        const kept = hours.filter(({ at }) => at > newest - HISTORY_HOURS);
        expect(sums(historyOf(kept))).toEqual(sums(historyOf(kept.toSorted((a, b) => a.at - b.at))));
      }),
    );
  });

  test("two halves of it merge to the whole, in either order and as often as one likes", () => {
    fc.assert(
      fc.property(anyHours, fc.nat(59), (hours, cut) => {
        const inOrder = hours.toSorted((a, b) => a.at - b.at);
        const [a, b] = [historyOf(inOrder.slice(0, cut)), historyOf(inOrder.slice(cut))];
        const merged = mergeHistories(a, b);
        expect(mergeHistories(b, a)).toEqual(merged);
        expect(mergeHistories(merged, b)).toEqual(merged);
        expect(merged.requests).toEqual(historyOf(inOrder).requests);
        expect(merged.lastUsed).toBe(historyOf(inOrder).lastUsed);
      }),
    );
  });

  test("an hour without a row was empty, not unknown", () => {
    const history = historyOf([
      { at: 0, requests: 500, failures: 0, flat: false },
      { at: HISTORY_HOURS, requests: 7, failures: 0, flat: false },
    ]);
    // The first one's place is the newest one's now.
    expect(history.requests.filter((code) => code > 0)).toHaveLength(1);
    expect(readProfile(history).historyHours).toBe(HISTORY_HOURS);
  });
});

describe("what is stored of a key", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(anyHours, fc.array(fc.tuple(fc.nat(99), fc.nat(1_000)), { maxLength: 80 }), (hours, stays) => {
        const history = historyOf(hours);
        const places = noPlaces();
        for (const [network, at] of stays) {
          absorbPlaces(places, keyHour(FIRST_HOUR + at, { places: [place({ network: `10.0.${network}.0/24` })] }));
        }
        const bytes = encodeState(history, places);
        expect(bytes.length).toBeLessThanOrEqual(MAX_STATE_BYTES);
        expect(decodeState(bytes)).toEqual({ history, places });
      }),
    );
  });

  test("is 7,669 bytes at the most: docs/detection.md says so", () => {
    expect(MAX_STATE_BYTES).toBe(7_669);
  });

  test("what is no state is refused, whole or cut", () => {
    const bytes = encodeState(emptyHistory(), noPlaces());
    expect(decodeState(new Uint8Array(0))).toBeNull();
    expect(decodeState(bytes.slice(0, -1))).toBeNull();
    expect(decodeState(Uint8Array.from(bytes, (byte, at) => (at === 0 ? 99 : byte)))).toBeNull();
  });
});

test("places that were seen merge in either order; the oldest make room", () => {
  const [a, b] = [noPlaces(), noPlaces()];
  for (let at = 0; at < 100; at++) {
    const row = keyHour(FIRST_HOUR + at, { places: [place({ network: `10.1.${at}.0/24` })] });
    absorbPlaces(at % 2 === 0 ? a : b, row);
  }
  const merged = mergePlaces(a, b);
  expect(merged.network.size).toBe(64);
  expect(merged.forgot.network).toBeGreaterThanOrEqual(FIRST_HOUR);
  // Maps are alike whatever the order of their entries.
  expect(mergePlaces(b, a)).toEqual(merged);
  expect(mergePlaces(merged, merged)).toEqual(merged);
});

test("statistics agree with figures worked out by hand", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(quantile([0, 10], 0.9)).toBe(9);
  expect(robustSpread([1, 1, 2, 2, 4, 6, 9], 2)).toBeCloseTo(1.4826, 4);
  // 8 of 10 at 95 %: 0.490 to 0.943, as in Wilson's tables.
  const [low, high] = wilson(8, 10, 1.96);
  expect(low).toBeCloseTo(0.49, 2);
  expect(high).toBeCloseTo(0.943, 2);
});
