import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { EdgeRecord } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest } from "../../src/limits/acquire.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { hourOf } from "../../src/limits/window.ts";

const BURST: Limit = { name: "burst", limit: 10, window: "hour", kind: "rate" };
const DAILY: Limit = { name: "daily", limit: 4, window: "day", kind: "quota" };

function recordOf(changes: Partial<EdgeRecord> = {}): EdgeRecord {
  return {
    v: 1,
    id: "key_1",
    lineageId: "lin_1",
    workspace: "default",
    owner: "acme",
    environment: "live",
    kind: "secret",
    hint: "lk_live_AbCd…wxyz",
    scopes: ["reports:read"],
    plan: null,
    limits: [],
    ownerLimited: false,
    bindings: {},
    policy: {},
    metadata: {},
    state: "active",
    notBefore: null,
    expiresAt: null,
    notAfter: null,
    rotatedAt: null,
    generation: 1,
    ...changes,
  };
}

function asking(changes: Partial<AcquireRequest> = {}): AcquireRequest {
  return {
    holder: "isolate-1",
    keyId: "key_1",
    generation: 1,
    limits: [],
    cost: 1,
    hour: hourOf(Date.now()),
    want: 0,
    urgent: 0,
    holdings: [],
    returned: [],
    spent: [],
    ttlMs: 4_500,
    ...changes,
  };
}

let made = 0;
/** A fresh meter for each test, told of one key. */
async function meterWith(...records: EdgeRecord[]) {
  made += 1;
  const meter = env.KEY_METER.getByName(`default/lin_${made}`);
  await meter.publish(records);
  return meter;
}

type Meter = Awaited<ReturnType<typeof meterWith>>;

async function ask(meter: Meter, changes: Partial<AcquireRequest> = {}): Promise<AcquireAnswer> {
  return await meter.acquire(asking(changes));
}

describe("the meter says whether a key stands", () => {
  it("grants a lease on an active key without limits, for the time asked", async () => {
    const meter = await meterWith(recordOf());
    expect(await ask(meter)).toEqual({ outcome: "granted", validForMs: 4_500, grants: [] });
  });

  it("refuses a key that it was never told of", async () => {
    const meter = await meterWith();
    expect(await ask(meter)).toMatchObject({ outcome: "refused", code: "key_invalid" });
  });

  it.each([
    ["key_revoked", { state: "revoked" }],
    ["key_disabled", { state: "disabled" }],
    ["key_expired", { expiresAt: 1 }],
    ["key_expired", { notAfter: 1 }],
    ["key_not_yet_valid", { notBefore: 4e12 }],
  ] as const)("refuses with %s", async (code, changes) => {
    const meter = await meterWith(recordOf(changes));
    expect(await ask(meter)).toMatchObject({ outcome: "refused", code, grants: [] });
  });

  it("answers a caller whose record is old with the newest one, and charges nothing", async () => {
    const newest = recordOf({ generation: 2, scopes: ["reports:write"] });
    const meter = await meterWith(newest);
    expect(await ask(meter, { limits: [BURST] })).toEqual({ outcome: "stale", record: newest });
    expect(await ask(meter, { generation: 2, limits: [BURST], cost: 0 })).toMatchObject({
      outcome: "granted",
      grants: [{ remaining: 10 }],
    });
  });

  it("ignores a generation older than the one it holds", async () => {
    const meter = await meterWith(recordOf({ generation: 3, state: "revoked" }));
    await meter.publish([recordOf({ generation: 2, state: "active" })]);
    expect(await ask(meter, { generation: 3 })).toMatchObject({ outcome: "refused", code: "key_revoked" });
  });

  it("never lets an admission stand past the key's own deadline", async () => {
    const meter = await meterWith(recordOf({ notAfter: Date.now() + 1_000 }));
    const answer = await ask(meter);
    expect(answer.outcome).toBe("granted");
    expect(answer.outcome === "granted" ? answer.validForMs : Infinity).toBeLessThanOrEqual(1_000);
  });

  it("remembers what it was told across an eviction", async () => {
    const meter = await meterWith(recordOf({ state: "revoked", generation: 7 }));
    await evictDurableObject(meter);
    expect(await ask(meter, { generation: 7 })).toMatchObject({ outcome: "refused", code: "key_revoked" });
  });
});

describe("the meter counts", () => {
  it("grants up to the limit and not one more, with eviction between any two calls", async () => {
    const meter = await meterWith(recordOf());
    let granted = 0;
    for (let call = 0; call < 14; call++) {
      const answer = await ask(meter, { limits: [BURST] });
      if (answer.outcome === "granted") granted++;
      else expect(answer).toMatchObject({ code: "rate_limited", violated: ["burst"] });
      if (call % 3 === 2) await evictDurableObject(meter);
    }
    expect(granted).toBeLessThanOrEqual(10);
    expect(granted).toBeGreaterThanOrEqual(9);
  });

  it("grants several limits together or not at all", async () => {
    const meter = await meterWith(recordOf());
    for (let call = 0; call < 4; call++) expect((await ask(meter, { limits: [BURST, DAILY] })).outcome).toBe("granted");
    const refused = await ask(meter, { limits: [BURST, DAILY] });
    expect(refused).toMatchObject({ outcome: "refused", code: "quota_exhausted", violated: ["daily"] });
    const look = await ask(meter, { limits: [BURST], cost: 0 });
    expect(look).toMatchObject({ grants: [{ remaining: 6 }] });
  });

  it("counts both keys of a lineage on one balance", async () => {
    const meter = await meterWith(
      recordOf({ id: "key_old", notAfter: Date.now() + 60_000 }),
      recordOf({ id: "key_new" }),
    );
    const answers = [];
    for (let call = 0; call < 12; call++) {
      answers.push(await ask(meter, { keyId: call % 2 === 0 ? "key_old" : "key_new", limits: [BURST] }));
    }
    expect(answers.filter((answer) => answer.outcome === "granted")).toHaveLength(10);
  });

  it("takes returned units back, within their window only", async () => {
    const meter = await meterWith(recordOf());
    const first = await ask(meter, { limits: [BURST], cost: 6 });
    const windowStart = first.outcome === "granted" ? (first.grants[0]?.windowStart ?? 0) : 0;
    await meter.release({
      holder: "isolate-1",
      returned: [{ counter: "burst|3600", windowStart, units: 4 }],
      spent: [],
    });
    await meter.release({
      holder: "isolate-1",
      returned: [{ counter: "burst|3600", windowStart: 0, units: 4 }],
      spent: [],
    });
    expect(await ask(meter, { limits: [BURST], cost: 0 })).toMatchObject({ grants: [{ remaining: 8 }] });
  });

  it("keeps what was used when a limit changes in the middle of a window", async () => {
    const meter = await meterWith(recordOf());
    await ask(meter, { limits: [BURST], cost: 8 });
    expect(await ask(meter, { limits: [{ ...BURST, limit: 9 }], cost: 2 })).toMatchObject({ outcome: "refused" });
    expect(await ask(meter, { limits: [{ ...BURST, limit: 20 }], cost: 12 })).toMatchObject({ outcome: "granted" });
    expect(await ask(meter, { limits: [{ ...BURST, limit: 20 }], cost: 1 })).toMatchObject({ outcome: "refused" });
  });

  it("begins a new window on the clock, calendar months included", async () => {
    const monthly: Limit = { name: "monthly", limit: 1, window: "month", kind: "quota" };
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      vi.setSystemTime(Date.UTC(2027, 0, 31, 23, 59, 59));
      const meter = await meterWith(recordOf());
      expect(await ask(meter, { limits: [monthly] })).toMatchObject({ outcome: "granted" });
      expect(await ask(meter, { limits: [monthly] })).toMatchObject({ outcome: "refused", retryAfterMs: 1_000 });
      vi.setSystemTime(Date.UTC(2027, 1, 1));
      expect(await ask(meter, { limits: [monthly] })).toMatchObject({ outcome: "granted", grants: [{ remaining: 0 }] });
    } finally {
      vi.useRealTimers();
    }
  });

  it("holds an owner's keys to limits that the owner's meter alone knows", async () => {
    const meter = env.KEY_METER.getByName("default/owner/acme");
    await meter.setOwnerLimits(2, [DAILY]);
    await meter.setOwnerLimits(1, []);
    const answers = [];
    for (let call = 0; call < 6; call++) answers.push(await ask(meter, { keyId: null, generation: 0, limits: null }));
    expect(answers.map((answer) => answer.outcome)).toEqual([
      "granted",
      "granted",
      "granted",
      "granted",
      "refused",
      "refused",
    ]);
    await evictDurableObject(meter);
    expect(await ask(meter, { keyId: null, generation: 0, limits: null })).toMatchObject({
      outcome: "refused",
      violated: ["daily"],
    });
  });

  it("reports what was spent, by the hour of whoever spent it", async () => {
    const meter = await meterWith(recordOf());
    const hour = hourOf(Date.now());
    await ask(meter, { cost: 3, hour, spent: [{ hour: hour - 3_600_000, units: 5 }] });
    await meter.release({ holder: "isolate-1", returned: [], spent: [{ hour, units: -1 }] });
    expect(await meter.spentByHour(0, Infinity)).toEqual([
      { hour: hour - 3_600_000, spent: 5 },
      { hour, spent: 2 },
    ]);
  });
});
