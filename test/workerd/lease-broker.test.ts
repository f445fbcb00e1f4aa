import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { nameOf } from "../../durable-objects/lease-broker/client.ts";
import { RECORD_MISS_TTL_MS } from "../../src/constants.ts";
import { recordKey } from "../../src/keys/edge-record.ts";
import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { AcquireRequest } from "../../src/limits/acquire.ts";
import type { Introduced, Introduction } from "../../src/limits/introduction.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { hourOf } from "../../src/limits/window.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/** The broker as an object, over real meters and KV: what it says is the meters' word, and it keeps nothing when it goes. */

const DAILY: Limit = { name: "daily", limit: 1_000, window: "day", kind: "quota" };
const TIGHT: Limit = { name: "tight", limit: 3, window: "day", kind: "quota" };

let made = 0;
/** A key that KV and its meter know, and a broker that has never heard of it. */
async function keyWith(changes: Partial<EdgeRecord> = {}) {
  made += 1;
  const hash = `hash-${made}`.padEnd(43, "x") as KeyHash; // of a key that nobody has
  const record = proxyRecord({ id: `key_${made}`, lineageId: `lin_${made}`, ...changes });
  const meter = env.KEY_METER.getByName(`${record.workspace}/${record.lineageId}`);
  await meter.publish([record]);
  await env.KEYS.put(recordKey(hash), JSON.stringify(record));
  const broker = env.LEASE_BROKER.getByName(nameOf({ location: "", shard: made }));
  return { hash, record, meter, broker, name: `${record.workspace}/${record.lineageId}` };
}

type Made = Awaited<ReturnType<typeof keyWith>>;

function introduction(hash: KeyHash, changes: Partial<Introduction> = {}): Introduction {
  const routePolicy = { strict: false, onMeterUnavailable: null, graceSeconds: null };
  const asked = { hash, holder: crypto.randomUUID(), plans: {}, routeLimits: [], cost: 1, hour: hourOf(Date.now()) };
  return { ...asked, routePolicy, ...changes };
}

async function introduce({ broker, hash }: Made, changes: Partial<Introduction> = {}): Promise<Introduced | null> {
  // The stub's mapped type turns the `unknown` in a record's metadata into `never`.
  const introduced: unknown = await broker.introduce(introduction(hash, changes));
  return introduced as Introduced | null;
}

/** Ends the object at once, with everything that it waits for. An eviction would wait until it has handed back what it holds. */
async function crash({ broker }: Made): Promise<Made["broker"]> {
  const ended = runInDurableObject(broker, (_, state) => state.abort("crashed by the test"));
  await ended.catch(() => undefined);
  return env.LEASE_BROKER.get(broker.id);
}

function asking({ record }: Made, changes: Partial<AcquireRequest> = {}): AcquireRequest {
  const account = { holder: "isolate-1", keyId: record.id, generation: record.generation, limits: record.limits };
  const hand = { want: 0, urgent: 0, holdings: [], returned: [], spent: [] };
  return { ...account, cost: 1, hour: hourOf(Date.now()), ttlMs: 4_500, ...hand, ...changes };
}

async function spentAt({ meter }: Made): Promise<number> {
  const hours = await meter.spentByHour(0, Number.MAX_SAFE_INTEGER);
  return hours.reduce((sum, { spent }) => sum + spent, 0);
}

/** Units left, by the meter. */
async function leftAt(key: Made): Promise<number | undefined> {
  const answer = await key.meter.acquire(asking(key, { holder: "looker", cost: 0 }));
  return answer.grants[0]?.remaining;
}

describe("an introduction", () => {
  test("brings record and admission, charged at the meter once", async () => {
    const key = await keyWith({ limits: [TIGHT] });
    expect(await introduce(key)).toMatchObject({
      outcome: "known",
      record: key.record,
      answer: { outcome: "granted", grants: [{ limit: TIGHT, granted: 1, remaining: 2 }] },
    });
    expect([await leftAt(key), await spentAt(key)]).toEqual([2, 1]);
  });

  test("needs KV no more once the key is known here", async () => {
    const key = await keyWith();
    await introduce(key);
    await env.KEYS.delete(recordKey(key.hash));
    expect(await introduce(key)).toMatchObject({ outcome: "known", record: { id: key.record.id } });
  });

  test("of a key that was revoked since is the meter's no, whatever KV and the broker believe", async () => {
    const key = await keyWith();
    await introduce(key);
    await key.meter.publish([{ ...key.record, generation: 2, state: "revoked" }]);
    const broker = await crash(key);
    expect(await introduce({ ...key, broker })).toMatchObject({
      record: { state: "revoked", generation: 2 },
      answer: null,
    });
  });

  test("of a key that nobody has says so, and that it need not be asked again for a while", async () => {
    const key = await keyWith();
    const hash = "unknown".padEnd(43, "x") as KeyHash; // nobody's
    const introduced = await introduce({ ...key, hash });
    if (introduced?.outcome !== "unknown") throw new Error("it is known");
    expect(introduced.forMs).toBeGreaterThan(0);
    expect(introduced.forMs).toBeLessThanOrEqual(RECORD_MISS_TTL_MS);
  });

  test("carries the plans of the deployment: the key's plan decides", async () => {
    const key = await keyWith({ plan: "free" });
    const plans = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`plan-${index}`, [DAILY]]));
    expect(await introduce(key, { plans: { ...plans, free: [TIGHT] } })).toMatchObject({
      answer: { grants: [{ limit: TIGHT, granted: 1 }] },
    });
  });
});

describe("a broker that loses its memory", () => {
  test("between any two calls grants no unit twice", async () => {
    const key = await keyWith({ limits: [{ ...DAILY, limit: 40 }] });
    let granted = 0;
    let { broker } = key;
    for (let turn = 0; turn < 60; turn++) {
      const answer = await broker.acquire(key.name, asking(key, { holder: `isolate-${turn % 3}`, want: 4 }), false);
      if (answer?.outcome === "granted") granted += answer.grants[0]?.granted ?? 0;
      if (turn % 4 === 3) broker = await crash({ ...key, broker });
    }
    expect(granted).toBeGreaterThan(0);
    expect(granted).toBeLessThanOrEqual(40);
    expect(await leftAt(key)).toBeLessThanOrEqual(40 - granted);
  });

  test("takes back what it handed out before as what is the meter's", async () => {
    const key = await keyWith({ limits: [DAILY] });
    const answer = await key.broker.acquire(key.name, asking(key, { cost: 30 }), false);
    if (answer?.outcome !== "granted") throw new Error("not granted");
    const [grant] = answer.grants;
    const broker = await crash(key);
    const returned = [{ counter: "daily|86400", windowStart: grant?.windowStart ?? 0, units: 30 }];
    await broker.release({ meter: key.name, keyId: key.record.id }, { holder: "isolate-1", returned, spent: [] });
    await expect.poll(() => leftAt(key)).toBe(DAILY.limit);
  });
});

test("it has no storage: nothing outlives it", async () => {
  const key = await keyWith({ limits: [DAILY] });
  await introduce(key);
  const rows = await runInDurableObject(key.broker, (_, state) => state.storage.list());
  expect(rows.size).toBe(0);
  expect(await runInDurableObject(key.broker, (_, state) => state.storage.getAlarm())).toBe(null);
});

test("two keys of one lineage, at brokers of their own, draw on one balance", async () => {
  const old = await keyWith({ limits: [TIGHT], notAfter: Date.now() + 60_000, rotatedAt: Date.now() });
  const fresh = await keyWith({ limits: [TIGHT], lineageId: old.record.lineageId });
  const outcomes: (string | undefined)[] = [];
  for (let turn = 0; turn < 3; turn++)
    for (const key of [old, fresh]) {
      const introduced = await introduce(key);
      outcomes.push(introduced?.outcome === "known" ? introduced.answer?.outcome : undefined);
    }
  expect(outcomes.filter((outcome) => outcome === "granted")).toHaveLength(TIGHT.limit);
  expect(outcomes.filter((outcome) => outcome === "refused")).toHaveLength(3);
});

test("an owner's limits, which only its meter knows, hold over brokers", async () => {
  const name = `default/owner/brokered-${made}`;
  await env.KEY_METER.getByName(name).setOwnerLimits(1, [TIGHT]);
  const owners = { keyId: null, generation: 0, limits: null, holder: "isolate-1" };
  const key = await keyWith();
  const outcomes: (string | undefined)[] = [];
  for (let turn = 0; turn < 6; turn++) {
    const broker = env.LEASE_BROKER.getByName(nameOf({ location: "", shard: 900 + (turn % 2) }));
    outcomes.push((await broker.acquire(name, asking(key, owners), false))?.outcome);
  }
  expect(outcomes).toEqual(["granted", "granted", "granted", "refused", "refused", "refused"]);
});
