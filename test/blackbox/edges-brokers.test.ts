import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { nameOf, shardOf } from "../../durable-objects/lease-broker/client.ts";
import { DEFAULT_BROKER_SHARDS, RECORD_MISS_TTL_MS } from "../../src/constants.ts";
import { digestKey } from "../../src/keys/digest.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { CallCounts, Faults } from "../../scripts/lab/faults.ts";

/** Lease brokers at three locations, between four isolates and the meters: nearer, and never in the way of a promise. */

const BOUND_MS = 5_000;
/** The first request that reaches an isolate says where it is. The first two are in one location, and share its brokers. */
const PLACES = [
  { colo: "FRA", continent: "EU", country: "DE", longitude: "8.68" },
  { colo: "FRA", continent: "EU", country: "FR", longitude: "2.35" },
  { colo: "IAD", continent: "NA", country: "US", longitude: "-77.46" },
  { colo: "NRT", continent: "AS", country: "JP", longitude: "139.69" },
] as const;
const LOCATIONS = ["FRA", "IAD", "NRT"] as const;

let harness: Edges;
let edges: [Edge, Edge, Edge, Edge];
beforeAll(async () => {
  harness = await startEdges({ count: PLACES.length });
  edges = harness.edges as [Edge, Edge, Edge, Edge];
  await Promise.all(edges.map((edge, index) => edge.fetch("/_latchkey/healthz", { cf: { ...PLACES[index] } })));
});
afterEach(() => setFaults({}));
afterAll(() => harness.stop());

/** At the isolates alone, or where the objects are too. */
async function setFaults(faults: Faults, where: "edges" | "everywhere" = "everywhere"): Promise<void> {
  await Promise.all(edges.map((edge) => edge.setFaults(faults)));
  if (where === "everywhere") await harness.home.setFaults(faults);
}

async function statusOf(edge: Edge, key: string, path = "/used"): Promise<number> {
  const response = await edge.fetch(path, { headers: bearer(key) });
  await response.arrayBuffer();
  return response.status;
}

async function statuses(key: string, path?: string): Promise<number[]> {
  return await Promise.all(edges.map((edge) => statusOf(edge, key, path)));
}

/** Requests turn by turn to each isolate; how many were let in. */
async function passedOf(keys: readonly string[], count: number): Promise<number> {
  let passed = 0;
  for (let index = 0; index < count; index++) {
    const edge = edges[index % edges.length] ?? edges[0];
    // Another key in each round of the isolates.
    const key = keys[Math.floor(index / edges.length) % keys.length] ?? "";
    if ((await statusOf(edge, key)) === 200) passed++;
  }
  return passed;
}

function quota(limit: number, name = "daily") {
  return { name, limit, window: "day", kind: "quota" };
}

async function leftOf(edge: Edge, key: string): Promise<number | undefined> {
  const look = await edge.fetch("/_latchkey/v1/whoami", { headers: bearer(key) });
  const { limits } = (await look.json()) as { limits: { remaining: number }[] };
  return limits[0]?.remaining;
}

/** Calls that a client waits for. */
function asked(calls: CallCounts): Record<string, number> {
  const names = ["KEYS.get", "KEY_METER.acquire", "LEASE_BROKER.introduce", "LEASE_BROKER.acquire"];
  return Object.fromEntries(Object.entries(calls).filter(([name]) => names.includes(name)));
}

async function resetCalls(): Promise<void> {
  await Promise.all([...edges, harness.home].map((worker) => worker.resetCalls()));
}

/** Every broker that may know the key. */
function brokersOf({ key }: IssuedKey): string[] {
  const shard = shardOf(digestKey(key), DEFAULT_BROKER_SHARDS);
  return LOCATIONS.map((location) => nameOf({ location, shard }));
}

/** Uses the key everywhere while something happens, as fast as it goes; each isolate's last admission, by when it was asked. */
async function lastAdmissions(key: string, whileUsing: () => Promise<number>, afterMs: number) {
  const signal = { stop: false };
  const last = edges.map(() => 0);
  const use = async (edge: Edge, index: number): Promise<void> => {
    while (!signal.stop) {
      const sentAt = Date.now();
      if ((await statusOf(edge, key)) === 200) last[index] = Math.max(last[index] ?? 0, sentAt);
    }
  };
  const users = edges.flatMap((edge, index) => [use(edge, index), use(edge, index), use(edge, index)]);
  await sleep(2_000);
  const answeredAt = await whileUsing();
  await sleep(afterMs);
  signal.stop = true;
  await Promise.all(users);
  return { answeredAt, last };
}

describe("a key that others use nearby", () => {
  it("is let in by a cold isolate after one call to the broker, with no read of KV and no call to the meter", async () => {
    const { key } = await control(harness.home).issue();
    expect(await statusOf(edges[0], key)).toBe(200);
    await resetCalls();
    expect(await statusOf(edges[1], key)).toBe(200);
    expect(asked(await edges[1].calls())).toEqual({ "LEASE_BROKER.introduce": 1 });
    expect(asked(await harness.home.calls())).toEqual({});
    // At another location it is the first.
    expect(await statusOf(edges[2], key)).toBe(200);
    expect(asked(await edges[2].calls())).toEqual({ "LEASE_BROKER.introduce": 1 });
    expect(asked(await harness.home.calls())).toEqual({ "KEYS.get": 1, "KEY_METER.acquire": 1 });
  });

  it("is charged once for the request that met it, and nothing when its scopes say no", async () => {
    const api = control(harness.home);
    const [used, refused] = [
      await api.issue({ limits: [quota(50)] }),
      await api.issue({ limits: [quota(50)], scopes: ["charges:write"] }),
    ];
    expect(await statuses(used.key)).toEqual([200, 200, 200, 200]);
    expect(await statuses(refused.key, "/reports/x")).toEqual([403, 403, 403, 403]);
    const soon = { timeout: 12_000, interval: 500 };
    await expect.poll(() => leftOf(edges[0], used.key), soon).toBe(46);
    await expect.poll(() => leftOf(edges[0], refused.key), soon).toBe(50);
  });

  it("but nobody issued costs one read a location; once it is imported it works when the first miss would be forgotten", async () => {
    const presentedKey = `legacy-${crypto.randomUUID()}`;
    await resetCalls();
    const missedAt = Date.now();
    expect(await statusOf(edges[0], presentedKey)).toBe(401);
    await sleep(RECORD_MISS_TTL_MS - 1_500);
    expect(await statusOf(edges[1], presentedKey)).toBe(401);
    expect((await harness.home.calls())["KEYS.get"]).toBe(1);
    const hash = { algorithm: "sha256", encoding: "base64url", value: digestKey(presentedKey) };
    const imported = { name: "Old", owner: "acme", environment: "live", scopes: ["reports:read"], hash };
    const answer = await control(harness.home).call("POST", "/keys/import", { body: { keys: [imported] } });
    expect(answer.status).toBeLessThan(300);
    await sleep(Math.max(0, missedAt + RECORD_MISS_TTL_MS + 1_000 - Date.now()));
    expect(await statusOf(edges[1], presentedKey)).toBe(200);
    expect(await statusOf(edges[0], presentedKey)).toBe(200);
  });
});

describe("a broker that fails", () => {
  it.each<{ what: string; fault: NonNullable<Faults["LEASE_BROKER"]> }>([
    { what: "that is down", fault: { kind: "down" } },
    { what: "that is slow", fault: { kind: "slow", ms: 2_500 } },
    { what: "whose answers are lost", fault: { kind: "lost" } },
  ])("$what is not missed: warm and cold keys go on, none is degraded, and no limit is exceeded", async ({ fault }) => {
    const api = control(harness.home);
    const [warm, cold] = [await api.issue(), await api.issue()];
    const tight = await api.issue({ limits: [quota(40)] });
    const loose = await api.issue({ limits: [quota(10_000)] });
    expect(await statuses(warm.key)).toEqual([200, 200, 200, 200]);
    expect(await passedOf([tight.key], 8)).toBe(8);
    await setFaults({ LEASE_BROKER: fault }, "edges");
    expect(await statuses(warm.key)).toEqual([200, 200, 200, 200]);
    const met = await edges[3].fetch("/used", { headers: bearer(cold.key) });
    expect([met.status, met.headers.get("x-latchkey-degraded")]).toEqual([200, null]);
    const burst = await Promise.all(Array.from({ length: 15 }, () => statuses(tight.key)));
    const passed = burst.flat().filter((status) => status === 200).length;
    expect(passed).toBeLessThanOrEqual(32);
    expect(new Set(burst.flat())).toEqual(new Set([200, 429]));
    // Past the leases that it was good for.
    await sleep(BOUND_MS);
    expect(await statuses(warm.key)).toEqual([200, 200, 200, 200]);
    expect(await statuses(loose.key)).toEqual([200, 200, 200, 200]);
    await setFaults({});
    const last = await passedOf([tight.key], 12);
    expect(8 + passed + last).toBeLessThanOrEqual(40);
  });

  it("that dies again and again under load never lets more through than the limit", async () => {
    const issued = await control(harness.home).issue({ limits: [quota(300)] });
    const brokers = brokersOf(issued);
    const until = Date.now() + 6_000;
    let passed = 0;
    const use = async (edge: Edge): Promise<void> => {
      while (Date.now() < until) {
        if ((await statusOf(edge, issued.key)) === 200) passed++;
        await sleep(20);
      }
    };
    const crash = async (): Promise<void> => {
      while (Date.now() < until) {
        await sleep(300);
        await Promise.all(brokers.filter((_, index) => index % 3 === 0).map((name) => harness.crashBroker(name)));
      }
    };
    await Promise.all([...edges.flatMap((edge) => [use(edge), use(edge), use(edge)]), crash()]);
    expect(passed).toBeGreaterThan(100);
    expect(passed).toBeLessThanOrEqual(300);
    // What the dead ones held is not handed out again.
    expect(passed + (await passedOf([issued.key], 40))).toBeLessThanOrEqual(300);
  });

  it("and the meter with it: policy decides, as without brokers", async () => {
    const api = control(harness.home);
    const closed = await api.issue({ policy: { onMeterUnavailable: "closed" } });
    const open = await api.issue({ policy: { graceSeconds: 30 } });
    await statuses(closed.key);
    await statuses(open.key);
    await setFaults({ KEY_METER: { kind: "down" }, LEASE_BROKER: { kind: "down" } });
    await sleep(BOUND_MS);
    expect(await statuses(closed.key)).toEqual([503, 503, 503, 503]);
    expect(await statuses(open.key)).toEqual([200, 200, 200, 200]);
  });
});

describe("a key that is stopped, with brokers at three locations", () => {
  it("hot everywhere: nobody lets it in later than 5 s after the answer, with KV stale at isolates and brokers", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue();
    expect(await statuses(key)).toEqual([200, 200, 200, 200]);
    await setFaults({ KEYS: { kind: "frozen" } });
    const revoke = async () => (await api.revoke(id)).answeredAt;
    const { answeredAt, last } = await lastAdmissions(key, revoke, BOUND_MS + 1_000);
    const lags = last.map((at) => at - answeredAt);
    console.log("longest revocation lag through brokers:", Math.max(...lags), "ms; per isolate:", lags.join(", "));
    for (const lag of lags) expect(lag).toBeLessThanOrEqual(BOUND_MS);
    for (const at of last) expect(at).toBeGreaterThan(0);
    expect(await statuses(key)).toEqual([401, 401, 401, 401]);
  });

  it("whose leases are short keeps that bound", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue({ policy: { leaseTtlSeconds: 1 } });
    const revoke = async () => (await api.revoke(id)).answeredAt;
    const { answeredAt, last } = await lastAdmissions(key, revoke, 2_000);
    for (const at of last) expect(at - answeredAt).toBeLessThanOrEqual(1_000);
    for (const at of last) expect(at).toBeGreaterThan(0);
  });

  it("strict: at once", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue({ policy: { strict: true } });
    expect(await statuses(key)).toEqual([200, 200, 200, 200]);
    await setFaults({ KEYS: { kind: "frozen" } });
    await api.revoke(id);
    expect(await statuses(key)).toEqual([401, 401, 401, 401]);
  });

  it("disabled, at isolates that know it and at one that does not; enabled, it works at once", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue();
    expect(await statusOf(edges[0], key)).toBe(200);
    expect(await statusOf(edges[2], key)).toBe(200);
    await api.call("POST", `/keys/${id}/disable`, { body: {} });
    await sleep(BOUND_MS);
    expect(await statuses(key)).toEqual([401, 401, 401, 401]);
    await api.call("POST", `/keys/${id}/enable`, { body: {} });
    expect(await statuses(key)).toEqual([200, 200, 200, 200]);
  });

  it("by its own deadline: out of the record, wherever it is cached", async () => {
    const { key } = await control(harness.home).issue({ expiresAt: new Date(Date.now() + 4_000).toISOString() });
    expect(await statuses(key)).toEqual([200, 200, 200, 200]);
    await sleep(4_100);
    expect(await statuses(key)).toEqual([401, 401, 401, 401]);
  });

  it("in one scope: within the bound, also where a broker knows the old record and the isolate knows none", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue({ scopes: ["reports:read"] });
    expect(await statusOf(edges[0], key, "/reports/x")).toBe(200);
    expect(await statusOf(edges[2], key, "/reports/x")).toBe(200);
    await setFaults({ KEYS: { kind: "frozen" } });
    await api.call("PATCH", `/keys/${id}`, { body: { scopes: ["charges:write"] } });
    await sleep(BOUND_MS);
    expect(await statuses(key, "/reports/x")).toEqual([403, 403, 403, 403]);
    await api.call("PATCH", `/keys/${id}`, { body: { scopes: ["reports:read"] } });
    await sleep(BOUND_MS);
    expect(await statuses(key, "/reports/x")).toEqual([200, 200, 200, 200]);
  });
});

describe("limits, with brokers at three locations", () => {
  it("both keys of a rotation draw on one balance", async () => {
    const api = control(harness.home);
    const old = await api.issue({ limits: [quota(14)] });
    const fresh = await api.rotate(old.id, { overlapSeconds: 600 });
    expect(await passedOf([old.key, fresh.key], 30)).toBe(14);
  });

  it("all keys of an owner draw on the owner's", async () => {
    const api = control(harness.home);
    await api.call("PUT", "/owners/regional", { body: { limits: [quota(11, "owner-daily")] } });
    const keys = [await api.issue({ owner: "regional" }), await api.issue({ owner: "regional" })];
    expect(
      await passedOf(
        keys.map(({ key }) => key),
        24,
      ),
    ).toBe(11);
  });

  it("a larger one is not exceeded by a burst from everywhere, and what stays unused comes back", async () => {
    const { key } = await control(harness.home).issue({ limits: [quota(400)] });
    let passed = 0;
    const burst = async (): Promise<number> => {
      const seen = await Promise.all(Array.from({ length: 20 }, () => statuses(key)));
      return seen.flat().filter((status) => status === 200).length;
    };
    for (let round = 0; round < 8; round++) passed += await burst();
    expect(passed).toBeLessThanOrEqual(400);
    // Leases end, first the isolates', then the brokers'.
    await sleep(2 * BOUND_MS + 1_000);
    for (let round = 0; round < 4; round++) passed += await passedOf([key], 20);
    expect(passed).toBeLessThanOrEqual(400);
    expect(passed).toBeGreaterThanOrEqual(392);
  });

  it("two workspaces with owners of the same name share nothing", async () => {
    const [one, two] = [control(harness.home), control(harness.home, "other")];
    const limited = { body: { limits: [quota(3, "owner-daily")] } };
    await one.call("PUT", "/owners/namesake", limited);
    await two.call("PUT", "/owners/namesake", limited);
    const first = await one.issue({ owner: "namesake" });
    await two.issue({ owner: "namesake" });
    expect(await passedOf([first.key], 8)).toBe(3);
    const views = await two.call<{ data: unknown[] }>("GET", "/keys?owner=namesake");
    expect(views.body.data).toHaveLength(1);
  });
});
