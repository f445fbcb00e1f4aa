import { createScheduledController, listDurableObjectIds, runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import worker from "../../src/index.ts";
import { created, openRegistry, withFakeEdge } from "../support/registry-lab.ts";
import { ledgerByName, directoryLedger } from "../../durable-objects/usage-ledger/client.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** What the cron trigger does each minute, through the Worker's own entry point, with real objects on every side. */

const HOUR = 3_600_000;
/** In the next hour: a ledger compares none that is older than itself. */
const START = Math.ceil(Date.now() / HOUR) * HOUR + 20 * 60_000;

beforeEach(() => {
  for (const level of ["log", "warn", "error"] as const) vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function fireCron(): Promise<void> {
  const controller = createScheduledController({ scheduledTime: new Date(), cron: "* * * * *" });
  await worker.scheduled(controller, env);
}

function asRoot(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { Authorization: `Bearer ${env.LATCHKEY_ROOT_TOKEN ?? ""}`, "Content-Type": "application/json" };
  return exports.default.fetch(`https://api.example.com/_latchkey${path}`, { ...init, headers });
}

async function metric(name: string): Promise<number> {
  const text = await (await asRoot("/metrics")).text();
  const value = new RegExp(`^${name}\\{workspace="default"\\} (\\S+)$`, "m").exec(text)?.[1];
  return Number(value ?? Number.NaN);
}

test("the cron delivers what was left undelivered by a registry whose alarm was lost", async () => {
  const lab = openRegistry();
  await directoryLedger(env.USAGE_LEDGER).registerWorkspaces([lab.workspace]);
  const edge = await withFakeEdge(lab);
  edge.meterFails = true;
  await created(lab);
  expect((await lab.api.status()).outboxPending).toBe(1);
  await lab.inside((_instance, { storage }) => storage.deleteAlarm());
  edge.meterFails = false;
  await lab.sql("UPDATE outbox SET next_at = 0");
  await fireCron();
  expect((await lab.api.status()).outboxPending).toBe(0);
  expect(edge.meter.size).toBe(1);
});

test("the cron asks once a minute whether keys can be checked", async () => {
  const asked: string[] = [];
  const watched = new Proxy(env, {
    get(real, name) {
      // Of what the cron does only that look asks the queue.
      if (name === "USAGE") asked.push(name);
      return Reflect.get(real, name);
    },
  });
  await worker.scheduled(createScheduledController({ scheduledTime: new Date(), cron: "* * * * *" }), watched);
  expect(asked).toHaveLength(1);
});

test("once an hour is over, the cron compares meters and ledger: 0 for the Worker's own traffic, and not 0 for an event that no meter knows", async () => {
  vi.spyOn(globalThis, "fetch").mockImplementation(() => Promise.resolve(new Response("hello")));
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  const input = { name: "reconciled", owner: "acme", environment: "live", scopes: ["reports:read", "charges:write"] };
  const made = await asRoot("/v1/keys", { method: "POST", body: JSON.stringify(input) });
  const { key, lineageId } = await made.json<{ key: string; lineageId: string }>();
  const call = async (path: string, method = "GET") => {
    const headers = { Authorization: `Bearer ${key}` };
    const response = await exports.default.fetch(`https://api.example.com${path}`, { method, headers });
    await response.arrayBuffer();
    return response.status;
  };
  for (let round = 0; round < 20; round++) expect(await call("/reports/today")).toBe(200);
  expect(await call("/charges", "POST")).toBe(200);
  expect((await asRoot("/v1/verify", { method: "POST", body: JSON.stringify({ key, cost: 7 }) })).status).toBe(200);
  const charged = 20 * 5 + 1 + 7;

  await vi.waitFor(
    async () => {
      const usage = await (await asRoot(`/v1/usage?lineage=${lineageId}`)).json<{ totals: { cost: number } }>();
      expect(usage.totals.cost).toBe(charged);
    },
    { timeout: 8_000, interval: 100 },
  );
  // Leases end, and isolate and broker report what was spent, under the hour in which it was. Alarms go by the real clock.
  vi.setSystemTime(START + 2 * HOUR);
  await vi.waitFor(
    async () => {
      for (const id of await listDurableObjectIds(env.LEASE_BROKER))
        await runDurableObjectAlarm(env.LEASE_BROKER.get(id));
      const hours = await env.KEY_METER.getByName(`default/${lineageId}`).spentByHour(START - HOUR, START + HOUR);
      expect(hours.reduce((sum, { spent }) => sum + spent, 0)).toBe(charged);
    },
    { timeout: 10_000, interval: 100 },
  );

  // One hour a minute: the one before the start, the one in question, the one after.
  for (let minute = 0; minute < 4; minute++) await fireCron();
  expect(await metric("latchkey_reconciliation_newest_hour_timestamp_seconds")).toBe(START / 1_000 - 1_200 + 3_600);
  expect(await metric("latchkey_reconciliation_difference_units")).toBe(0);
  expect(await metric("latchkey_reconciliation_lineages_unchecked")).toBe(0);

  // An event that no meter knows of is a difference of its cost.
  const stray = usageEvent({ time: START + 2 * HOUR, workspace: "default", lineageId, cost: 3 });
  await ledgerByName(env.USAGE_LEDGER, "default/0").ingest([usageBatch([stray], Date.now())]);
  vi.setSystemTime(START + 4 * HOUR);
  for (let minute = 0; minute < 3; minute++) await fireCron();
  expect(await metric("latchkey_reconciliation_difference_units")).toBe(3);
  expect(await metric("latchkey_reconciliation_lineages_differing")).toBe(1);
});
