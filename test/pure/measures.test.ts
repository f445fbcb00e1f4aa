import { describe, expect, test } from "vitest";
import { MEASURE_IDS, MEASURES, type MeasureId } from "../../src/measures/catalogue.ts";
import { measuredKey } from "../../src/measures/collect.ts";
import { computeMeasures, type Measure } from "../../src/measures/compute.ts";
import { leakTimeOf, noteOfLeak } from "../../src/measures/leak-note.ts";
import { measureFamilies } from "../../src/measures/families.ts";
import type { KeyCodeUse, MeasuredKey, MeasureSources } from "../../src/measures/sources.ts";
import { counters } from "../../src/platform/counters.ts";
import { renderMetrics } from "../../src/usage/metrics-text.ts";
import { metricFamilies } from "../../src/usage/metrics.ts";
import { readExposition } from "../support/exposition.ts";

/** M1 to M16, each by hand. */

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const TO = Date.parse("2026-11-24T10:00:00.000Z");
const FROM = TO - DAY;

const NONE: MeasureSources = {
  from: FROM,
  to: TO,
  maxAgeDays: 90,
  staleDays: 30,
  top: 3,
  countedMs: DAY,
  use: [],
  useCut: false,
  authMs: null,
  keys: [],
  keysCut: false,
  sightings: [],
  afterLeak: new Map(),
  abuseAlerts: new Map(),
  pricing: null,
};

function key(id: string, changes: Partial<MeasuredKey> = {}): MeasuredKey {
  return {
    id,
    status: "active",
    plan: null,
    environment: "live",
    createdAt: TO - 10 * DAY,
    expiresAt: null,
    notAfter: null,
    rotatedFrom: null,
    revokedAt: null,
    revokedReason: null,
    lastUsedAt: TO - HOUR,
    leakedAt: null,
    ...changes,
  };
}

function use(keyId: string | null, code: string, requests: number, units = requests): KeyCodeUse {
  return { keyId, code, requests, units: code === "allowed" ? units : 0 };
}

function measure(id: MeasureId, sources: Partial<MeasureSources>): Measure {
  const found = computeMeasures({ ...NONE, ...sources }).find((one) => one.id === id);
  if (found === undefined) throw new Error(`${id} is missing`);
  return found;
}

describe("each measure", () => {
  test("M1: what could not be decided is a failure, what clients do wrong is none", () => {
    const all = [
      use("key_a", "allowed", 9_980),
      use("key_a", "rate_limited", 9),
      use(null, "key_invalid", 10),
      use("key_a", "verification_unavailable", 1),
    ];
    expect(measure("M1", { use: all })).toMatchObject({
      value: 0.9999,
      met: true,
      detail: { requests: 10_000, undecided: 1 },
    });
    expect(measure("M1", { use: [use("key_a", "verification_unavailable", 1)] })).toMatchObject({
      value: 0,
      met: false,
    });
    expect(measure("M1", {})).toMatchObject({ value: null, met: null });
  });

  test("M2: the decision's p99, with p50 and p95 beside it, against 50 ms", () => {
    const authMs = { p50: 1, p95: 7, p99: 49 };
    expect(measure("M2", { authMs })).toMatchObject({
      value: 49,
      met: true,
      unit: "milliseconds",
      detail: { p50: 1, p95: 7 },
    });
    expect(measure("M2", { authMs: { ...authMs, p99: 51 } }).met).toBe(false);
  });

  test("M3: keys that came into being in the time, rotations among them", () => {
    const keys = [
      key("key_a", { createdAt: FROM }),
      key("key_b", { createdAt: TO - 1, rotatedFrom: "key_z" }),
      key("key_c", { createdAt: TO }),
      key("key_d", { createdAt: FROM - 1 }),
    ];
    expect(measure("M3", { keys })).toMatchObject({ value: 2, detail: { byRotation: 1 } });
  });

  test("M4: for every revoked key the last acceptance and the first refusal after it, and how many were not used again", () => {
    const revokedAt = TO - HOUR;
    const keys = ["a", "b", "c", "d"].map((name) =>
      key(`key_${name}`, { status: "revoked", revokedAt, revokedReason: "retired" }),
    );
    const sightings = [
      { keyId: "key_a", firstRefusalAt: revokedAt + 700, lastAcceptanceAt: revokedAt - 5_000 },
      { keyId: "key_b", firstRefusalAt: revokedAt + 100, lastAcceptanceAt: revokedAt + 4_400 },
      // By a clock that is a little behind.
      { keyId: "key_c", firstRefusalAt: revokedAt - 3, lastAcceptanceAt: null },
    ];
    expect(measure("M4", { keys, sightings })).toMatchObject({
      value: 4.4,
      met: true,
      detail: {
        revoked: 4,
        usedAgain: 3,
        notUsedAgain: 1,
        firstRefusalSeconds: 0.7,
        top: [{ key: "key_b", value: 4.4 }],
      },
    });
    const unseen = measure("M4", { keys });
    expect(unseen).toMatchObject({ value: null, met: null, detail: { revoked: 4, notUsedAgain: 4 } });
    expect(unseen.why).toMatch(/used again/);
    expect(measure("M4", { keys: [key("key_a")] }).why).toMatch(/No key was revoked/);
  });

  test("M5: requests a second of the busiest key, over the time that was counted", () => {
    const all = [
      use("key_a", "allowed", 86_400),
      use("key_a", "rate_limited", 86_400),
      use("key_b", "allowed", 43_200),
    ];
    const measured = measure("M5", { use: [...all, use(null, "key_invalid", 1e9)], top: 1 });
    expect(measured).toMatchObject({ value: 2, detail: { keys: 2, top: [{ key: "key_a", value: 2 }] } });
    expect(measure("M5", { use: all, top: 0 })).toMatchObject({ value: 2, detail: { top: [] } });
  });

  test("M6: the share of 429 among known keys' requests, and which keys are over the target", () => {
    const all = [
      use("key_a", "allowed", 999),
      use("key_a", "rate_limited", 1),
      use("key_b", "allowed", 990),
      use("key_b", "quota_exhausted", 10),
      use(null, "too_many_failures", 5_000),
    ];
    expect(measure("M6", { use: all })).toMatchObject({
      value: 11 / 2_000,
      met: false,
      detail: { limited: 11, keysOver: 1, top: [{ key: "key_b", value: 0.01 }] },
    });
  });

  test("M7: alerts of abuse by kind; where they cannot be read that is said", () => {
    const abuseAlerts = new Map([
      ["spike", 2],
      ["canary_used", 1],
    ]);
    expect(measure("M7", { abuseAlerts })).toMatchObject({ value: 3, detail: { spike: 2, canary_used: 1 } });
    expect(measure("M7", {})).toMatchObject({ value: 0 });
    expect(measure("M7", { abuseAlerts: null })).toMatchObject({ value: null, why: "The alerts could not be read." });
  });

  test("M8: keys revoked as leaked or compromised, and keys in URLs", () => {
    const revokedAt = TO - HOUR;
    const keys = [
      key("key_a", { revokedAt, revokedReason: "leaked" }),
      key("key_b", { revokedAt, revokedReason: "compromised" }),
      key("key_c", { revokedAt, revokedReason: "retired" }),
      key("key_d", { revokedAt: FROM - 1, revokedReason: "leaked" }),
    ];
    expect(measure("M8", { keys, use: [use(null, "credential_in_query", 4)] })).toMatchObject({
      value: 6,
      met: false,
      detail: { keysRevokedAsLeaked: 2, requestsWithKeyInUrl: 4 },
    });
    expect(measure("M8", {})).toMatchObject({ value: 0, met: true });
  });

  test("M9: units for each used key, and by pricing what they come to, plan by plan, to the last decimal", () => {
    const keys = [key("key_a", { plan: "pro" }), key("key_b"), key("key_t", { environment: "test" })];
    const all = [
      use("key_a", "allowed", 10, 30),
      use("key_b", "allowed", 10),
      use("key_t", "allowed", 20),
      use("key_c", "key_revoked", 9),
    ];
    expect(measure("M9", { keys, use: all })).toMatchObject({ value: 20, detail: { units: 60, keys: 3 } });
    const pricing = { currency: "EUR", perUnit: "0.1", perUnitByPlan: { pro: "0.01" } };
    expect(measure("M9", { keys, use: all, pricing }).detail).toMatchObject({
      currency: "EUR",
      amount: "1.3",
      top: [
        { key: "key_a", value: 30, amount: "0.3" },
        { key: "key_t", value: 20, amount: "0" },
        { key: "key_b", value: 10, amount: "1" },
      ],
    });
  });

  test("M10: keys that stand and are no older than policy allows; a key that is being replaced is not asked about", () => {
    const old = { createdAt: TO - 91 * DAY };
    const keys = [
      key("key_a"),
      key("key_b", { createdAt: TO - 90 * DAY }),
      key("key_c", old),
      key("key_d", { ...old, status: "rotating" }),
      key("key_e", { ...old, status: "revoked" }),
    ];
    expect(measure("M10", { keys })).toMatchObject({
      value: 1 - 1 / 3,
      met: false,
      detail: { keys: 3, keysOver: 1, top: [{ key: "key_c", value: 91 }] },
    });
    expect(measure("M10", { keys: keys.slice(0, 2) })).toMatchObject({ value: 1, met: true });
  });

  test("M11: a rotation whose old key was refused afterwards cut somebody off, but for one that leaked", () => {
    const rotated = (name: string, reason: string | null = null): MeasuredKey[] => [
      key(`key_${name}`, { status: "expired", notAfter: TO - HOUR, revokedReason: reason }),
      key(`key_${name}2`, { createdAt: TO - 2 * HOUR, rotatedFrom: `key_${name}` }),
    ];
    const keys = [...rotated("a"), ...rotated("b"), ...rotated("c", "leaked"), ...rotated("d")];
    const all = [use("key_b", "key_expired", 7), use("key_c", "key_revoked", 9), use("key_d", "rate_limited", 9)];
    expect(measure("M11", { keys, use: all })).toMatchObject({
      value: 0.75,
      met: false,
      detail: { rotations: 4, withOutage: 1, top: [{ key: "key_b", value: 7 }] },
    });
    expect(measure("M11", {})).toMatchObject({ value: null, why: "No key was rotated." });
  });

  test("M12: the median from the new key to the old one's end, scheduled rotations and incidents apart", () => {
    const rotated = (name: string, seconds: number, incident: boolean): MeasuredKey[] => {
      const end = TO - HOUR;
      const old = incident
        ? { status: "revoked", revokedAt: end, notAfter: end + DAY, revokedReason: "leaked" }
        : { status: "expired", notAfter: end };
      return [
        key(`key_${name}`, old as Partial<MeasuredKey>), // one of the two above
        key(`key_${name}2`, { createdAt: end - seconds * SECOND, rotatedFrom: `key_${name}` }),
      ];
    };
    const keys = [...rotated("a", 100, false), ...rotated("b", 300, false), ...rotated("c", 10, true)];
    expect(measure("M12", { keys })).toMatchObject({
      value: 100,
      detail: { rotations: 3, scheduled: 200, incident: 10 },
    });
    expect(measure("M12", { keys: rotated("a", 5, false) })).toMatchObject({ value: 5, detail: { incident: null } });
  });

  test("M13: keys that stand and end by themselves no later than policy lets them", () => {
    const keys = [
      key("key_a", { createdAt: FROM, expiresAt: FROM + 90 * DAY }),
      key("key_b", { createdAt: FROM, expiresAt: FROM + 90 * DAY + 1 }),
      key("key_c"),
      key("key_d", { status: "expired", createdAt: FROM, expiresAt: FROM + 1 }),
    ];
    expect(measure("M13", { keys })).toMatchObject({
      value: 1 / 3,
      met: false,
      detail: { keys: 3, withTtl: 2, within: 1 },
    });
  });

  test("M14: keys that stand unused, and those that were so when they were revoked", () => {
    const keys = [
      key("key_a", { lastUsedAt: TO - 30 * DAY }),
      key("key_b", { lastUsedAt: null, createdAt: TO - 31 * DAY }),
      key("key_c", { lastUsedAt: null }),
      key("key_d", { status: "revoked", revokedAt: TO - HOUR, lastUsedAt: TO - 40 * DAY }),
      key("key_e", { status: "revoked", revokedAt: TO - HOUR }),
    ];
    expect(measure("M14", { keys })).toMatchObject({
      value: 2,
      met: false,
      detail: {
        removed: 1,
        top: [
          { key: "key_b", value: 31 },
          { key: "key_a", value: 30 },
        ],
      },
    });
  });

  test("M15: from the leak, where it is known, to the last request that was let in", () => {
    const revokedAt = TO - HOUR;
    const keys = [
      key("key_a", { revokedAt, revokedReason: "leaked", leakedAt: revokedAt - 600 * SECOND }),
      key("key_b", { revokedAt, revokedReason: "compromised" }),
      key("key_c", { revokedAt, revokedReason: "retired", leakedAt: 0 }),
    ];
    const sightings = [
      { keyId: "key_a", firstRefusalAt: revokedAt + SECOND, lastAcceptanceAt: revokedAt + 2 * SECOND },
      { keyId: "key_b", firstRefusalAt: revokedAt + SECOND, lastAcceptanceAt: revokedAt + 3 * SECOND },
    ];
    expect(measure("M15", { keys, sightings })).toMatchObject({
      value: 602,
      met: true,
      detail: {
        leaks: 2,
        leakTimeKnown: 1,
        top: [
          { key: "key_a", value: 602 },
          { key: "key_b", value: 3 },
        ],
      },
    });
    expect(measure("M15", {})).toMatchObject({ value: null });
  });

  test("M16: from the leak to the revocation, and the requests in between; unknown where nobody said when it leaked", () => {
    const revokedAt = TO - HOUR;
    const leaked = { revokedAt, revokedReason: "leaked" };
    const keys = [key("key_a", { ...leaked, leakedAt: revokedAt - 90 * SECOND }), key("key_b", leaked)];
    expect(measure("M16", { keys, afterLeak: new Map([["key_a", 47]]) })).toMatchObject({
      value: 90,
      detail: { leaks: 1, requestsAfterLeak: 47 },
    });
    expect(measure("M16", { keys: keys.slice(1) }).why).toMatch(/say leakedAt/);
  });

  test("has a definition, a way of computing it, and a unit; and says why where there is nothing to measure", () => {
    expect(Object.keys(MEASURES)).toEqual([...MEASURE_IDS]);
    const measures = computeMeasures(NONE);
    expect(measures.map(({ id }) => id)).toEqual([...MEASURE_IDS]);
    for (const { value, why, definition, computed } of measures) {
      expect(value === null ? (why ?? "").length : 10).toBeGreaterThan(5);
      expect(Math.min(definition.length, computed.length)).toBeGreaterThan(15);
    }
  });

  test("of single keys is not told where more were used than can be read", () => {
    const measures = computeMeasures({ ...NONE, useCut: true, use: [use(null, "allowed", 10)] });
    const values = Object.fromEntries(measures.map(({ id, value }) => [id, value]));
    expect(values).toMatchObject({ M1: 1, M5: null, M6: null, M9: null, M11: null });
  });
});

test("when a key leaked stands at the head of its revocation's note, and nowhere else", () => {
  const leakedAt = "2026-11-24T09:00:00.000Z";
  expect(noteOfLeak(undefined, "why")).toBe("why");
  expect(noteOfLeak(undefined, null)).toBeNull();
  for (const note of [null, "why", `not leakedAt=${leakedAt}`])
    expect(leakTimeOf(noteOfLeak(leakedAt, note))).toBe(TO - HOUR);
  for (const note of [null, "", "why", `see leakedAt=${leakedAt}`, "leakedAt=soon", "leakedAt=2026-99-99T00:00:00Z"])
    expect(leakTimeOf(note)).toBeNull();
});

test("when a key leaked is read from its metadata, where it is a time", () => {
  const record = (leakedAt: unknown) =>
    measuredKey({ createdAt: "2026-01-01T00:00:00.000Z", metadata: { leakedAt } } as unknown as Parameters<
      typeof measuredKey
    >[0]); // what is read of it
  expect(record("2026-11-24T09:00:00Z").leakedAt).toBe(TO - HOUR);
  for (const other of [undefined, null, 5, "soon", {}]) expect(record(other).leakedAt).toBeNull();
});

describe("on the metrics page", () => {
  const all: Partial<MeasureSources> = {
    use: Array.from({ length: 500 }, (_none, index) =>
      use(`key_${index}`, index % 2 === 0 ? "allowed" : "rate_limited", 100 + index),
    ),
    authMs: { p50: 1, p95: 2, p99: 3 },
    keys: [key("key_1", { status: "revoked", revokedAt: TO - HOUR, revokedReason: "leaked", leakedAt: TO - 2 * HOUR })],
    sightings: [{ keyId: "key_1", firstRefusalAt: TO - HOUR + 5, lastAcceptanceAt: TO - HOUR + 4 }],
  };
  const page = (sources: Partial<MeasureSources>, isByKey: boolean): string =>
    renderMetrics(
      metricFamilies({
        workspace: "default",
        ledgers: null,
        registry: null,
        queueBacklog: 1,
        isolate: counters,
        measures: measureFamilies(computeMeasures({ ...NONE, ...sources }), "default", isByKey),
      }),
    );

  test("measures stand in base units, by a strict reader of the format, with no label that grows with keys", () => {
    const families = readExposition(page(all, false));
    for (const [name, value] of [
      ["p50", 0.001],
      ["p95", 0.002],
      ["p99", 0.003],
    ] as const) {
      const samples = families.get(`latchkey_auth_latency_${name}_seconds`)?.samples;
      expect(samples).toEqual([{ labels: { workspace: "default" }, value }]);
    }
    expect(families.get("latchkey_revocation_last_acceptance_seconds")?.samples[0]?.value).toBe(0.004);
    expect(families.get("latchkey_revocation_first_refusal_seconds")?.samples[0]?.value).toBe(0.005);
    for (const { samples } of families.values()) {
      for (const { labels } of samples) expect(Object.keys(labels).filter((name) => name === "key")).toEqual([]);
    }
    expect(families.get("latchkey_part_up")?.samples).toContainEqual({ labels: { part: "measures" }, value: 1 });
  });

  test("single keys are there when they are asked for, and no more of them than that", () => {
    const families = readExposition(page(all, true));
    const busiest = families.get("latchkey_top_key_requests_per_second")?.samples ?? [];
    expect(busiest.map(({ labels }) => labels["key"])).toEqual(["key_499", "key_498", "key_497"]);
    for (const [name, { samples }] of families)
      if (name.startsWith("latchkey_top_")) expect(samples.length).toBeLessThanOrEqual(NONE.top);
  });

  test("what has no value has no sample: nothing is not 0", () => {
    const families = readExposition(page({}, true));
    expect(families.has("latchkey_auth_success_ratio")).toBe(false);
    expect(families.get("latchkey_keys_issued")?.samples).toEqual([{ labels: { workspace: "default" }, value: 0 }]);
  });

  test.each([
    ["no line feed at the end", "a 1"],
    ["a sample without a family", "a 1\n"],
    ["a family twice", "# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n"],
    ["a counter by another name", "# HELP a x\n# TYPE a counter\na 1\n"],
    ["the same sample twice", '# HELP a x\n# TYPE a gauge\na{b="1"} 1\na{b="1"} 2\n'],
    ["a label that is not quoted", "# HELP a x\n# TYPE a gauge\na{b=1} 1\n"],
    ["a quantile of no summary", '# HELP a x\n# TYPE a gauge\na{quantile="0.5"} 1\n'],
    ["no number", "# HELP a x\n# TYPE a gauge\na one\n"],
    ["a unit that is no base unit", "# HELP a_milliseconds x\n# TYPE a_milliseconds gauge\na_milliseconds 1\n"],
  ])("the reader refuses %s", (_what, text) => {
    expect(() => readExposition(text)).toThrow();
  });
});
