import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  DELIVERIES_PER_RUN,
  DELIVERY_CONCURRENCY,
  DELIVERY_SAFETY_MS,
} from "../../durable-objects/key-registry/bounds.ts";
import { backoffMs } from "../../durable-objects/key-registry/outbox.ts";
import {
  context,
  created,
  done,
  FakeEdge,
  gate,
  hashOf,
  newKey,
  openRegistry,
  withFakeEdge,
} from "../support/registry-lab.ts";
import type { RegistryLab } from "../support/registry-lab.ts";

/** The alarm as the runtime would call it, once the time of what is postponed has come. */
async function alarmWhenDue(lab: RegistryLab): Promise<void> {
  await lab.sql("UPDATE outbox SET next_at = 0");
  await lab.inside((instance) => instance.alarm());
}

async function pending(lab: RegistryLab): Promise<number> {
  return (await lab.api.status()).outboxPending;
}

test("the meter is told before KV", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  expect(edge.calls).toEqual([`meter ${key.lineageId} 1`, "kv 1"]);
});

test("while the meter cannot be told, the key is listed, KV hears nothing, and delivery follows when it is back", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  const written = await done(lab.api.create(newKey(), context()));
  expect(written.delivered).toBe(false);
  expect(await lab.api.get(written.value.id)).toMatchObject({ ok: true });
  expect(edge.kv.size).toBe(0);
  await alarmWhenDue(lab);
  expect(await pending(lab)).toBe(1);
  edge.meterFails = false;
  await alarmWhenDue(lab);
  expect(await pending(lab)).toBe(0);
  expect(edge.meter.get(written.value.id)?.generation).toBe(1);
  expect(edge.kv.size).toBe(1);
});

test("a revocation that is asked for twice is not called delivered before its meter has heard of it", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  edge.meterFails = true;
  for (let turn = 0; turn < 2; turn++)
    expect((await done(lab.api.revoke(key.id, "leaked", null, context()))).delivered).toBe(false);
  edge.meterFails = false;
  // The third tries again at once, and does not wait for the alarm.
  expect((await done(lab.api.revoke(key.id, "leaked", null, context()))).delivered).toBe(true);
  expect(edge.meter.get(key.id)?.generation).toBe(2);
});

test("disabling what is disabled says whether the first time was heard", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  edge.meterFails = true;
  for (let turn = 0; turn < 2; turn++)
    expect((await done(lab.api.setDisabled(key.id, true, context()))).delivered).toBe(false);
  edge.meterFails = false;
  expect((await done(lab.api.setDisabled(key.id, true, context()))).delivered).toBe(true);
});

test("while KV refuses writes, the meter already has the change, and is not told again", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  edge.kvFails = true;
  const revoked = await done(lab.api.revoke(key.id, "leaked", null, context()));
  expect(revoked.delivered).toBe(true);
  expect(edge.meter.get(key.id)?.state).toBe("revoked");
  await alarmWhenDue(lab);
  edge.kvFails = false;
  edge.calls.length = 0;
  await alarmWhenDue(lab);
  expect(edge.calls).toEqual(["kv 2"]);
  expect([...edge.kv.values()].map((record) => record.state)).toEqual(["revoked"]);
  expect(await pending(lab)).toBe(0);
});

test("an alarm that runs twice tells nothing twice", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  await created(lab);
  edge.meterFails = false;
  edge.calls.length = 0;
  await alarmWhenDue(lab);
  await alarmWhenDue(lab);
  expect(edge.calls.length).toBe(2);
});

test("two alarms at once, and a drain, tell nothing twice", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  for (let count = 0; count < 5; count++) await created(lab);
  edge.meterFails = false;
  edge.calls.length = 0;
  await Promise.all([alarmWhenDue(lab), alarmWhenDue(lab), lab.api.drain()]);
  expect(edge.calls.length).toBe(10);
  expect(await pending(lab)).toBe(0);
});

test("what was committed survives the object's death and is delivered by its alarm", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  const key = await created(lab);
  const at = await lab.inside((_instance, state) => state.storage.getAlarm());
  expect(at).not.toBeNull();
  expect((at ?? Infinity) - Date.now()).toBeLessThanOrEqual(DELIVERY_SAFETY_MS);
  await evictDurableObject(lab.stub);
  const later = await withFakeEdge(lab, new FakeEdge());
  expect(await pending(lab)).toBe(1);
  await alarmWhenDue(lab);
  expect(later.meter.get(key.id)?.generation).toBe(1);
  expect(await lab.api.get(key.id)).toMatchObject({ ok: true, value: { workspace: lab.workspace } });
});

test("after a failure the alarm is set for the retry", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  await created(lab);
  await alarmWhenDue(lab);
  const rows = await lab.sql("SELECT attempts, next_at FROM outbox");
  const at = await lab.inside((_instance, state) => state.storage.getAlarm());
  expect(rows).toMatchObject([{ attempts: 2, next_at: at }]);
});

test("the back-off doubles to a minute, is jittered, and is never shorter than KV's limit for one key", () => {
  expect(backoffMs(0, 1)).toBe(BACKOFF_FIRST_MS);
  expect(backoffMs(3, 1)).toBe(8 * BACKOFF_FIRST_MS);
  expect(backoffMs(3, 0)).toBe(4 * BACKOFF_FIRST_MS);
  expect(backoffMs(0, 0)).toBe(BACKOFF_FIRST_MS);
  expect(backoffMs(1_000, 1)).toBe(BACKOFF_MAX_MS);
});

test("changes that could not be delivered become one delivery of the newest state", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  const key = await created(lab);
  for (const name of ["a", "b", "c"]) await done(lab.api.patch(key.id, { name, metadata: { name } }, context()));
  expect(await pending(lab)).toBe(1);
  edge.meterFails = false;
  edge.calls.length = 0;
  await alarmWhenDue(lab);
  expect(edge.calls).toEqual([`meter ${key.lineageId} 4`, "kv 4"]);
});

test("a KV write that is slow never lands after a newer one", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  const slow = gate();
  edge.kvGate = slow.closed;
  const first = done(lab.api.patch(key.id, { metadata: { n: 1 } }, context()));
  await expect.poll(() => edge.calls.at(-1)).toBe("kv 2");
  edge.kvGate = Promise.resolve();
  const second = done(lab.api.patch(key.id, { metadata: { n: 2 } }, context()));
  // The newer state waits for the older write; the answer to either waits at most its bound.
  await scheduler.wait(100);
  expect(edge.calls.filter((call) => call === "kv 3")).toEqual([]);
  slow.open();
  await Promise.all([first, second]);
  expect([...edge.kv.values()].map((record) => record.generation)).toEqual([3]);
  expect(await pending(lab)).toBe(0);
});

test("a revocation reaches its meter while an earlier change of the key still waits for KV", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  const slow = gate();
  edge.kvGate = slow.closed;
  const change = done(lab.api.patch(key.id, { metadata: { n: 1 } }, context()));
  await expect.poll(() => edge.calls.at(-1)).toBe("kv 2");
  const revocation = done(lab.api.revoke(key.id, "leaked", null, context()));
  await expect.poll(() => edge.meter.get(key.id)?.state).toBe("revoked");
  slow.open();
  await change;
  expect((await revocation).delivered).toBe(true);
  expect([...edge.kv.values()].map((record) => record.state)).toEqual(["revoked"]);
});

test("a write answers within its bound while the meter hangs, and says that it is not delivered", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  const hung = gate();
  edge.meterGate = hung.closed;
  const start = Date.now();
  const written = await done(lab.api.revoke(key.id, "leaked", null, context()));
  expect(written.delivered).toBe(false);
  expect(Date.now() - start).toBeLessThan(4_000);
  hung.open();
  edge.meterGate = Promise.resolve();
  await alarmWhenDue(lab);
  expect(edge.meter.get(key.id)?.state).toBe("revoked");
  const { revocationDelivery } = await lab.api.status();
  expect(revocationDelivery.count).toBe(1);
  expect(revocationDelivery.maxSeconds).toBeGreaterThan(1);
});

test("a claims object that cannot be reached stops issuance, and nothing is half made", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  await lab.inside((instance) => {
    const open = instance as unknown as { env: object };
    const claim = (): Promise<never> => Promise.reject(new Error("injected"));
    open.env = { ...open.env, HASH_CLAIMS: { getByName: () => ({ claim, check: claim }) } };
  });
  expect(await lab.api.create(newKey(), context())).toMatchObject({
    ok: false,
    error: { code: "storage_unavailable" },
  });
  expect(await lab.sql("SELECT count(*) AS n FROM keys")).toEqual([{ n: 0 }]);
});

test("a backlog of 100,000 drains in runs of a bounded size, the revocation first", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  edge.meterFails = true;
  await done(lab.api.revoke(key.id, "leaked", null, context()));
  edge.meterFails = false;
  await lab.sql(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
     INSERT INTO keys (id, hash, lineage_id, name, owner, environment, kind, hint, scopes, limits, owner_limited, bindings,
       policy, metadata, tags, state, phase, created_at, created_by, updated_at, generation)
     SELECT 'key_' || i, 'h' || i, 'lin_' || i, 'n', 'acme', 'live', 'secret', 'h', '[]', '[]', 0, '{}', '{}', '{}', '[]',
       'active', 'active', i, 'root', i, 1 FROM n`,
  );
  await lab.sql(
    `INSERT INTO outbox (target, meter, generation, priority, since, next_at)
     SELECT id, lineage_id, 1, 2, 0, 0 FROM keys WHERE id <> ?`,
    key.id,
  );
  await lab.sql("UPDATE outbox SET next_at = 5 WHERE priority = 0");
  edge.calls.length = 0;
  await lab.inside((instance) => instance.alarm());
  expect(edge.calls[0]).toBe(`meter ${key.lineageId} 2`);
  expect(edge.calls.length).toBe(2 * DELIVERIES_PER_RUN);
  expect(edge.maxInFlight).toBeLessThanOrEqual(DELIVERY_CONCURRENCY);
  expect(await pending(lab)).toBe(100_001 - DELIVERIES_PER_RUN);
  // The next run is due at once; the runtime calls it, and so on to the end.
  await expect.poll(() => pending(lab), { timeout: 25_000, interval: 250 }).toBe(0);
  expect(edge.kv.size).toBe(100_001);
});

test("with the real meter and KV, a key works, rotates and stops", async () => {
  const lab = openRegistry();
  const input = newKey();
  const written = await done(lab.api.create(input, context()));
  expect(written.delivered).toBe(true);
  const key = written.value;
  const stored = async (hash: string) =>
    (await env.KEYS.get(`key:${hash}`, "json")) as { id: string; generation: number; state: string } | null;
  expect(await stored(input.hash)).toMatchObject({ id: key.id, generation: 1, state: "active" });
  const meter = env.KEY_METER.getByName(`${lab.workspace}/${key.lineageId}`);
  const ask = (generation: number) =>
    meter.acquire({
      holder: "t",
      hour: Math.floor(Date.now() / 3_600_000) * 3_600_000,
      keyId: key.id,
      generation,
      limits: [],
      cost: 1,
      want: 0,
      urgent: 0,
      holdings: [],
      returned: [],
      spent: [],
      ttlMs: 1_000,
    });
  expect(await ask(1)).toMatchObject({ outcome: "granted" });
  const rotation = { hash: hashOf(key.id), hint: "h", overlapSeconds: 60 };
  expect((await done(lab.api.rotate(key.id, rotation, context()))).delivered).toBe(true);
  expect(await ask(1)).toMatchObject({ outcome: "stale", record: { generation: 2 } });
  expect(await stored(rotation.hash)).toMatchObject({ generation: 1 });
  expect((await done(lab.api.revoke(key.id, "leaked", null, context()))).delivered).toBe(true);
  expect(await ask(3)).toMatchObject({ outcome: "refused", code: "key_revoked" });
  const limits = [{ name: "shared", limit: 5, window: "minute", kind: "rate" }] as const;
  expect((await done(lab.api.putOwner("acme", { name: null, limits, metadata: {} }, context()))).delivered).toBe(true);
  expect((await lab.api.drain()).outboxPending).toBe(0);
  expect(await stored(rotation.hash)).toMatchObject({ generation: 2, ownerLimited: true });
});

test("a registry that was restored from a backup overtakes its meters: a revocation made after it stands", async () => {
  const lab = openRegistry();
  const key = (await done(lab.api.create(newKey(), context()))).value;
  for (const name of ["b", "c", "d"]) await done(lab.api.patch(key.id, { name, scopes: [`${name}:read`] }, context()));
  // What a restore to the time of issuance leaves: the meter remembers generation 4.
  await lab.inside((_instance, state) => state.storage.sql.exec("UPDATE keys SET generation = 1 WHERE id = ?", key.id));
  const revoked = await done(lab.api.revoke(key.id, "leaked", null, context()));
  // Not told yet, and the answer does not say otherwise.
  expect(revoked.delivered).toBe(false);
  await lab.api.drain();
  expect(await pending(lab)).toBe(0);
  const meter = env.KEY_METER.getByName(`${lab.workspace}/${key.lineageId}`);
  const asked = {
    holder: "t",
    hour: 0,
    keyId: key.id,
    generation: 4,
    limits: [],
    cost: 1,
    want: 0,
    urgent: 0,
    holdings: [],
    returned: [],
    spent: [],
    ttlMs: 0,
  };
  expect(await meter.acquire(asked)).toMatchObject({ outcome: "stale", record: { state: "revoked", generation: 5 } });
});
