import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { withDayEnds } from "../../src/detection/day-ends.ts";
import { addPlace } from "../../src/detection/places-seen.ts";
import { change, ruleFor } from "../../src/detection/policy.ts";
import { MAX_PLACES } from "../../src/detection/rows.ts";
import { DEFAULT_THRESHOLDS } from "../../src/detection/thresholds.ts";
import { unitsPerMinute } from "../../src/limits/units-per-minute.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { sightingsIn } from "../../src/usage/sightings.ts";
import { keyHour, place } from "../support/detection-rows.ts";
import { strangerEvent, usageEvent } from "../support/usage-makers.ts";

/** What the watch is told of events, and by which rules it goes. */

const NOW = Date.parse("2026-11-20T10:00:30.000Z");
const MINUTE = Math.floor(NOW / 60_000) * 60;

const sight = (events: readonly UsageEvent[]) => sightingsIn(events, fnv1a);

describe("sightings of keys", () => {
  test("sum requests, cost, refusals and errors by key and minute, each event once", () => {
    const anyEvent = fc.record({
      keyId: fc.constantFrom("key_a", "key_b"),
      minute: fc.integer({ min: 0, max: 2 }),
      cost: fc.integer({ min: 0, max: 5 }),
      status: fc.constantFrom(200, 401, 403, 429, 502),
    });
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (drawn) => {
        const events = drawn.map(({ minute, status, ...rest }) =>
          usageEvent({
            ...rest,
            time: NOW + minute * 60_000,
            status,
            code: status === 429 ? "rate_limited" : status === 200 || status === 502 ? "allowed" : "scope_missing",
          }),
        );
        const { keys } = sight(events);
        for (const { keyId, minute, requests, cost, limited, failures, errors, places } of keys) {
          const own = events.filter(
            (event) => event.keyId === keyId && Math.floor(event.time / 60_000) * 60 === minute,
          );
          const having = (wanted: (event: UsageEvent) => boolean) => own.filter(wanted).length;
          expect({ requests, cost, limited, failures, errors }).toEqual({
            requests: own.length,
            cost: own.reduce((sum, event) => sum + event.cost, 0),
            limited: having(({ status }) => status === 429),
            failures: having(({ status }) => status === 401 || status === 403),
            errors: having(({ status }) => status >= 500),
          });
          expect(places.reduce((sum, of) => sum + of.requests, 0)).toBe(own.length);
        }
        expect(keys.reduce((sum, { requests }) => sum + requests, 0)).toBe(events.length);
      }),
    );
  });

  test("mark a live key that was sent where test keys belong, and no test key", () => {
    const code = "environment_mismatch";
    const { keys } = sight([
      usageEvent({ time: NOW, status: 403, code }),
      usageEvent({ time: NOW, status: 403, code, keyId: "key_t", environment: "test" }),
    ]);
    expect(keys.map(({ keyId, testContext }) => [keyId, testContext])).toEqual([
      ["key_a", 1],
      ["key_t", 0],
    ]);
  });
});

describe("sightings of networks", () => {
  test("tell different unknown credentials apart, and one that is repeated is one", () => {
    const bad = [1, 2, 2, 3].map((credentialTag) => ({ ...strangerEvent(NOW), credentialTag }));
    const { networks } = sight([...bad, usageEvent({ time: NOW })]);
    expect(networks).toEqual([
      {
        network: "203.0.113.0/24",
        minute: MINUTE,
        attempts: 5,
        refused: 4,
        good: [fnv1a("key_a")],
        bad: [1, 2, 3],
      },
    ]);
  });

  test("leave out networks whose keys are all good, and requests of which no address is known", () => {
    const { networks } = sight([
      usageEvent({ time: NOW }),
      { ...strangerEvent(NOW), clientIp: null, credentialTag: 1 },
    ]);
    expect(networks).toEqual([]);
  });

  test("count a whole address as its network, where the deployment keeps those", () => {
    const { networks } = sight([{ ...strangerEvent(NOW), clientIp: "203.0.113.77", credentialTag: 9 }]);
    expect(networks.map(({ network }) => network)).toEqual(["203.0.113.0/24"]);
  });
});

test("places keep the largest, and their sums", () => {
  const few = [1, 2, 3].reduce<ReturnType<typeof addPlace>>(
    (all, asn) => addPlace(addPlace(all, place({ asn })), place({ asn: 3 })),
    [],
  );
  expect(few.map(({ asn, requests }) => [asn, requests])).toEqual([
    [3, 4],
    [1, 1],
    [2, 1],
  ]);
  const many = Array.from({ length: 30 }, (_, asn) => place({ asn, requests: asn + 1 }));
  const kept = many.reduce<ReturnType<typeof addPlace>>(addPlace, []);
  expect(kept).toHaveLength(MAX_PLACES);
  expect(kept[0]?.requests).toBe(30);
});

test("a day ends with its last hour, whether there was a request in it or not", () => {
  const day = Date.UTC(2026, 5, 1) / 3_600_000;
  const hours = (rows: readonly number[]) =>
    Array.from(withDayEnds(rows.map((hour) => keyHour(day + hour, { requests: 1 }))), (row) => row.hour / 3_600 - day);
  expect(hours([3, 5])).toEqual([3, 5, 23]);
  expect(hours([23, 30])).toEqual([23, 30, 47]);
  expect(hours([3, 26, 47])).toEqual([3, 23, 26, 47]);
  expect(hours([])).toEqual([]);
});

describe("rules", () => {
  const key = { owner: "acme", tags: ["batch"], plan: "gold", environment: "live" } as const;

  test("hold for the keys that they name, later ones over earlier ones", () => {
    const rules = [
      { thresholds: { spike: { ratio: 9 } }, off: ["new_place"] as const },
      { owner: "acme", tag: "batch", thresholds: { spike: { ratio: 20, leastExcess: 1 } } },
      { owner: "other", thresholds: { spike: { ratio: 99 } } },
      { environment: "test" as const, off: ["spike"] as const },
    ];
    const of = ruleFor(rules, key);
    expect(of.thresholds.spike).toEqual({ ...DEFAULT_THRESHOLDS.spike, ratio: 20, leastExcess: 1 });
    expect([...of.off]).toEqual(["new_place"]);
    expect(ruleFor(rules, { ...key, owner: "x" }).thresholds.spike.ratio).toBe(9);
    expect(ruleFor(rules, null).thresholds.spike.ratio).toBe(9);
  });

  test("that change nothing leave every threshold as it is", () => {
    expect(change(DEFAULT_THRESHOLDS, {})).toEqual(DEFAULT_THRESHOLDS);
    expect(ruleFor([], key)).toEqual({ thresholds: DEFAULT_THRESHOLDS, off: new Set() });
  });
});

test("the tightest rate limit counts, brought to a minute; quotas are no rates", () => {
  const rate = { name: "burst", kind: "rate", limit: 10, window: { seconds: 1 } } as const;
  const hourly = { name: "hour", kind: "rate", limit: 600, window: "hour" } as const;
  const quota = { name: "month", kind: "quota", limit: 5, window: "month" } as const;
  expect(unitsPerMinute([rate, hourly, quota])).toBe(10);
  expect(unitsPerMinute([rate, quota])).toBe(600);
  expect(unitsPerMinute([quota])).toBeNull();
});
