import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { bearer, control } from "../support/control.ts";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { Fault, Faults } from "../../scripts/lab/faults.ts";

/** What clients see when a part fails: known-good keys go on as their policy says, unknown ones do not get in, nothing is lost. */

const LEASE_MS = 4_500;
/** A lease's end, and the second for which an isolate leaves an unreachable meter alone. */
const RECOVERY = { timeout: 4_000, interval: 100 };
const USAGE = { timeout: 20_000, interval: 250 };

let harness: Edges;
let edge: Edge;
beforeAll(async () => {
  harness = await startEdges({ count: 1 });
  [edge] = harness.edges as [Edge];
});
afterEach(async () => {
  await edge.setFaults({});
  await harness.home.setFaults({});
});
afterAll(() => harness.stop());

async function use(key: string, path = "/used"): Promise<Response> {
  const response = await edge.fetch(path, { headers: bearer(key) });
  await response.clone().arrayBuffer();
  return response;
}

/** For the isolate, and for the brokers and the registry, which are with the objects. */
async function setFault(faults: Faults): Promise<void> {
  await Promise.all([edge.setFaults(faults), harness.home.setFaults(faults)]);
}

async function setMeterFault(fault: Fault | null): Promise<void> {
  await setFault(fault === null ? {} : { KEY_METER: fault });
}

async function codeOf(response: Response): Promise<string> {
  const { code } = (await response.json()) as { code: string };
  return code;
}

async function readiness(): Promise<{ status: number; checks: Record<string, { state: string }> }> {
  // Kept for a second by the isolate.
  await sleep(1_100);
  const response = await edge.fetch("/_latchkey/readyz");
  const { checks } = (await response.json()) as { checks: Record<string, { state: string }> };
  return { status: response.status, checks };
}

/** Requests that the ledger has counted of one key. */
async function counted(keyId: string): Promise<number> {
  const answer = await control(harness.home).call<{ totals: { requests: number } }>("GET", `/usage?key=${keyId}`);
  return answer.status === 200 ? answer.body.totals.requests : -1;
}

describe("KV", () => {
  it("down: a key that the isolate knows goes on, one that it does not gets 503, garbage gets 401", async () => {
    const api = control(harness.home);
    const [warm, cold] = [await api.issue(), await api.issue()];
    expect((await use(warm.key)).status).toBe(200);
    await setFault({ KEYS: { kind: "down" } });
    expect((await use(warm.key)).status).toBe(200);
    const refused = await use(cold.key);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await codeOf(refused)).toBe("verification_unavailable");
    expect((await use(`${warm.key.slice(0, -1)}_`)).status).toBe(401);
    const ready = await readiness();
    expect(ready).toMatchObject({ status: 503, checks: { keys: { state: "down" }, meter: { state: "up" } } });
    expect((await edge.fetch("/_latchkey/healthz")).status).toBe(200);
    await setFault({});
    expect((await use(cold.key)).status).toBe(200);
    expect((await readiness()).status).toBe(200);
  });

  it("slow by 2 s: a warm key does not wait, a cold one waits and gets in", async () => {
    const api = control(harness.home);
    const [warm, cold] = [await api.issue(), await api.issue()];
    await use(warm.key);
    await setFault({ KEYS: { kind: "slow", ms: 2_000 } });
    const reads = (await edge.calls())["KEYS.get"] ?? 0;
    expect((await use(warm.key)).status).toBe(200);
    expect((await edge.calls())["KEYS.get"] ?? 0).toBe(reads);
    expect((await use(cold.key)).status).toBe(200);
  });

  it("returning an old record: what the record lost or gained since is decided by the meter's newer one", async () => {
    const api = control(harness.home);
    const key = await api.issue({ scopes: ["charges:write"] });
    await setFault({ KEYS: { kind: "frozen" } });
    await api.call("PATCH", `/keys/${key.id}`, { body: { scopes: ["reports:read"] } });
    expect((await use(key.key, "/reports/1")).status).toBe(200);
    await api.revoke(key.id);
    const other = await api.issue();
    expect((await use(other.key)).status).toBe(401);
    await sleep(LEASE_MS);
    expect(await codeOf(await use(key.key))).toBe("key_revoked");
  });
});

describe("the meter", () => {
  it("down: a known-good key without limits goes on, marked degraded, until its grace ends; then 503", async () => {
    const { key, id } = await control(harness.home).issue({ policy: { graceSeconds: 2 } });
    await use(key);
    await setMeterFault({ kind: "down" });
    expect((await use(key)).headers.get("x-latchkey-degraded")).toBe(null);
    await sleep(LEASE_MS + 200);
    const graced = await use(key);
    expect(graced.status).toBe(200);
    expect(graced.headers.get("x-latchkey-degraded")).toBe("?1");
    expect(await readiness()).toMatchObject({
      status: 503,
      checks: { meter: { state: "down" }, keys: { state: "up" } },
    });
    await sleep(1_500);
    expect(await codeOf(await use(key))).toBe("verification_unavailable");
    await setMeterFault(null);
    await expect.poll(async () => (await use(key)).status, RECOVERY).toBe(200);
    await expect.poll(() => counted(id), USAGE).toBeGreaterThanOrEqual(5);
  });

  it("down: keys whose policy is closed, strict ones and unknown ones get 503 and not in", async () => {
    const api = control(harness.home);
    const closed = await api.issue({ policy: { onMeterUnavailable: "closed" } });
    const strict = await api.issue({ policy: { strict: true } });
    const cold = await api.issue();
    await use(closed.key);
    await use(strict.key);
    await setMeterFault({ kind: "down" });
    expect((await use(strict.key)).status).toBe(503);
    expect((await use(cold.key)).status).toBe(503);
    await sleep(LEASE_MS + 200);
    expect((await use(closed.key)).status).toBe(503);
  });

  it("down: a key with limits spends what it was granted and not one unit more", async () => {
    const limit = { name: "hourly", limit: 1_000, window: "hour", kind: "quota" };
    const { key } = await control(harness.home).issue({ limits: [limit] });
    // A few requests in quick succession, so that the isolate holds units ahead.
    for (let index = 0; index < 12; index++) await use(key);
    const view = async (response: Response) =>
      Number(/r=(\d+)/.exec(response.headers.get("ratelimit") ?? "")?.[1] ?? Number.NaN);
    const leftBefore = await view(await use(key));
    await setMeterFault({ kind: "down" });
    let passed = 0;
    let last: Response = await use(key);
    while (last.status === 200 && passed < 1_000) {
      passed++;
      last = await use(key);
    }
    expect(last.status).toBe(503);
    // The isolate's part, its broker's, and what was there already.
    expect(passed).toBeLessThan((2 * 1_000) / 20 + 20);
    await setMeterFault(null);
    await expect.poll(async () => (await use(key)).status, RECOVERY).toBe(200);
    // Nothing that was spent meanwhile is forgotten.
    expect(await view(await use(key))).toBeLessThanOrEqual(leftBefore - passed - 1);
  });

  it("slow: a warm key does not wait for its renewal", async () => {
    const { key } = await control(harness.home).issue();
    await use(key);
    await setMeterFault({ kind: "slow", ms: 1_500 });
    await sleep(LEASE_MS - 1_300);
    const startedAt = Date.now();
    expect((await use(key)).status).toBe(200);
    // It was not the meter's answer that it waited for.
    expect(Date.now() - startedAt).toBeLessThan(1_500);
    await sleep(1_700);
    // The renewal came back in the background: past the first lease's end nobody waits either.
    const againAt = Date.now();
    expect((await use(key)).status).toBe(200);
    expect(Date.now() - againAt).toBeLessThan(1_500);
  });

  it("answering too late counts as down", async () => {
    const { key } = await control(harness.home).issue();
    await setMeterFault({ kind: "slow", ms: 3_000 });
    expect((await use(key)).status).toBe(503);
  });
});

describe("usage", () => {
  it("queue refusing: clients notice nothing, and each event is counted once", async () => {
    const { key, id } = await control(harness.home).issue();
    await edge.setFaults({ USAGE: { kind: "down" } });
    for (let index = 0; index < 7; index++) expect((await use(key)).status).toBe(200);
    await expect.poll(() => counted(id), USAGE).toBe(7);
    await edge.setFaults({});
    expect((await use(key)).status).toBe(200);
    await expect.poll(() => counted(id), USAGE).toBe(8);
  });

  it("queue whose answers are lost: no event is counted twice", async () => {
    const { key, id } = await control(harness.home).issue();
    await edge.setFaults({ USAGE: { kind: "lost" } });
    for (let index = 0; index < 5; index++) await use(key);
    await expect.poll(() => counted(id), USAGE).toBe(5);
    await sleep(3_000);
    expect(await counted(id)).toBe(5);
  });

  it("ledger down: clients notice nothing, and the events arrive once it is back", async () => {
    const { key, id } = await control(harness.home).issue();
    await harness.home.setFaults({ USAGE_LEDGER: { kind: "down" } });
    await edge.setFaults({ USAGE_LEDGER: { kind: "down" } });
    for (let index = 0; index < 4; index++) expect((await use(key)).status).toBe(200);
    await sleep(2_500);
    expect(await counted(id)).toBe(-1);
    expect((await readiness()).checks["ledger"]?.state).toBe("down");
    await edge.setFaults({});
    await harness.home.setFaults({});
    await expect.poll(() => counted(id), { timeout: 45_000, interval: 500 }).toBe(4);
  });

  it("meter and ledger agree to the unit for every key that saw no fault", async () => {
    const { key, lineageId, id } = await control(harness.home).issue({
      limits: [{ name: "hourly", limit: 500, window: "hour", kind: "rate" }],
    });
    for (let index = 0; index < 40; index++) await use(key, index % 4 === 0 ? "/reports/1" : "/used");
    await expect.poll(() => counted(id), USAGE).toBe(40);
    const answer = await control(harness.home).call<{ totals: { cost: number } }>("GET", `/usage?lineage=${lineageId}`);
    expect(answer.body.totals.cost).toBe(10 * 5 + 30);
    const look = await edge.fetch("/_latchkey/v1/whoami", { headers: bearer(key) });
    const { limits } = (await look.json()) as { limits: { remaining: number }[] };
    expect(limits[0]?.remaining).toBe(500 - 80);
  });
});

describe("the registry", () => {
  const NEW = { name: "Half-made?", owner: "faulty", environment: "live", scopes: ["reports:read"] };
  const listed = async () => {
    const answer = await control(harness.home).call<{ data: { id: string }[] }>("GET", "/keys?owner=faulty");
    return answer.body.data;
  };

  it("down during create: the answer is 503 and no key is listed; keys in use go on", async () => {
    const warm = await control(harness.home).issue();
    await edge.setFaults({ KEY_REGISTRY: { kind: "down" } });
    const refused = await control(edge).call("POST", "/keys", { body: NEW });
    expect(refused).toMatchObject({ status: 503, body: { code: "storage_unavailable" } });
    expect((await use(warm.key)).status).toBe(200);
    expect((await readiness()).checks["registry"]?.state).toBe("down");
    await edge.setFaults({});
    expect(await listed()).toEqual([]);
  });

  it("whose answer is lost: the same Idempotency-Key finds the one key that was made, without its secret", async () => {
    await edge.setFaults({ KEY_REGISTRY: { kind: "lost", times: 1 } });
    const headers = { "idempotency-key": "create-once" };
    expect((await control(edge).call("POST", "/keys", { body: NEW, headers })).status).toBe(503);
    const again = await control(edge).call("POST", "/keys", { body: NEW, headers });
    expect(again.status).toBe(201);
    expect(again.body).not.toHaveProperty("key");
    expect((await listed()).map(({ id }) => id)).toEqual([again.body["id"]]);
  });

  it("that cannot reach KV: the key is listed, and works when KV is back, without anyone doing anything", async () => {
    await harness.home.setFaults({ KEYS: { kind: "down", methods: ["put"] } });
    const { key, id } = await control(harness.home).issue();
    const answer = await control(harness.home).call("GET", `/keys/${id}`);
    expect(answer.status).toBe(200);
    await harness.home.setFaults({});
    await expect.poll(async () => (await use(key)).status, { timeout: 20_000, interval: 1_000 }).toBe(200);
  });

  it("that cannot reach the meter: a revocation says that it is pending, and arrives when the meter is back", async () => {
    const api = control(harness.home);
    const { key, id } = await api.issue({ policy: { strict: true } });
    expect((await use(key)).status).toBe(200);
    await harness.home.setFaults({ KEY_METER: { kind: "down", methods: ["publish"] } });
    const { body } = await api.revoke(id);
    expect(body).toMatchObject({ status: "revoked", effectiveBy: null, delivery: "pending" });
    await harness.home.setFaults({});
    await expect.poll(async () => (await use(key)).status, { timeout: 20_000, interval: 250 }).toBe(401);
  });
});
