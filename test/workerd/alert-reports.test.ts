import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { reportOutage } from "../../src/usage/outage-report.ts";
import { reportWorkspace } from "../../src/usage/alert-reports.ts";
import { HOOK_AND_DEAD, openAlerts, receive } from "../support/alert-lab.ts";
import { context, created, done, newKey, openRegistry, withFakeEdge } from "../support/registry-lab.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";

/** What the cron sees by itself. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

beforeEach(() => {
  for (const level of ["warn", "error"] as const) vi.spyOn(console, level).mockImplementation(() => {});
  vi.useFakeTimers({ toFake: ["Date"], now: Math.ceil(Date.now() / DAY) * DAY });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Moves the clock to the minute in which the workspace is looked through, at least `ms` from now. */
function toHourlyMinute(workspace: string, ms: number): void {
  const wanted = fnv1a(workspace) % 60;
  let time = Math.ceil((Date.now() + ms) / MINUTE) * MINUTE;
  while (Math.floor(time / MINUTE) % 60 !== wanted) time += MINUTE;
  vi.setSystemTime(time);
}

async function openWorkspace(config: AlertsConfig = HOOK_AND_DEAD) {
  const registry = openRegistry();
  const edge = await withFakeEdge(registry);
  const alerts = openAlerts(config, registry.workspace);
  const report = () => reportWorkspace(env, registry.workspace, config, Date.now());
  const listed = async (filter: object = {}) => {
    const page = await alerts.api.list(filter, 100, null);
    return page.ok ? page.value.data : [];
  };
  return { registry, edge, alerts, report, listed };
}

test("keys that expire, that nobody uses, and that are used past their replacement are told of, by owner", async () => {
  const sent = receive();
  const { registry, alerts, report, listed } = await openWorkspace();
  const inDays = (days: number): string => new Date(Date.now() + days * DAY).toISOString();
  const put = await registry.api.putOwner(
    "acme",
    { name: null, limits: [], metadata: {}, contacts: { team: "payments" } },
    context(),
  );
  await done(Promise.resolve(put));
  const expiring = [
    await created(registry, { owner: "acme", expiresAt: inDays(100) }),
    await created(registry, { owner: "acme", expiresAt: inDays(101) }),
    await created(registry, { owner: "globex", expiresAt: inDays(102) }),
  ];
  const idle = await created(registry, { owner: "acme" });
  const revoked = await created(registry, { owner: "acme" });
  await done(registry.api.revoke(revoked.id, "retired", null, context()));
  toHourlyMinute(registry.workspace, 80 * DAY);
  await report();
  const byOwner = Object.fromEntries((await listed()).map((alert) => [alert.owner, alert]));
  expect(Object.keys(byOwner)).toHaveLength(2);
  expect(byOwner["acme"]).toMatchObject({ kind: "key_expiring", team: "payments", subjects: [{}, {}] });
  expect(byOwner["globex"]).toMatchObject({ kind: "key_expiring", team: null, subjects: [{}] });
  toHourlyMinute(registry.workspace, 11 * DAY);
  await report();
  await report();
  const stale = await listed({ kind: "key_stale" });
  const named = stale.flatMap(({ subjects }) => subjects.map(({ subject }) => subject));
  expect(new Set(named)).toEqual(new Set([...expiring, idle].map(({ id }) => id)));
  expect(named).not.toContain(revoked.id);
  vi.setSystemTime(Date.now() + MINUTE);
  await alerts.alarm();
  expect(JSON.stringify(sent)).not.toContain(revoked.id);
  expect(sent.length).toBeGreaterThan(0);
});

test("a key that is replaced and still used is told of before it stops", async () => {
  receive();
  const { registry, report, listed } = await openWorkspace();
  const old = await created(registry);
  const { hash, hint } = newKey();
  await done(registry.api.rotate(old.id, { hash, hint, overlapSeconds: 10 * 86_400 }, context()));
  await registry.api.recordUse([{ keyId: old.id, time: Date.now() + HOUR }]);
  toHourlyMinute(registry.workspace, 4 * DAY);
  await report();
  expect(await listed()).toMatchObject([
    { kind: "rotation_overlap_ending", severity: "ticket", subjects: [{ subject: old.id }] },
  ]);
});

test("outside of its minute a workspace's keys are not looked through", async () => {
  receive();
  const { registry, report, listed } = await openWorkspace();
  await created(registry);
  toHourlyMinute(registry.workspace, 100 * DAY);
  vi.setSystemTime(Date.now() + MINUTE);
  await report();
  expect(await listed()).toEqual([]);
});

test("a change that does not reach its meter is a page within two minutes, and over when it does", async () => {
  receive();
  const { registry, edge, report, listed } = await openWorkspace();
  edge.meterFails = true;
  await created(registry);
  await report();
  expect(await listed()).toEqual([]);
  vi.setSystemTime(Date.now() + 2 * MINUTE);
  await report();
  expect(await listed()).toMatchObject([{ kind: "revocation_stuck", severity: "page", state: "firing" }]);
  edge.meterFails = false;
  await registry.api.drain();
  vi.setSystemTime(Date.now() + MINUTE);
  await report();
  expect(await listed()).toMatchObject([{ kind: "revocation_stuck", state: "resolved" }]);
});

test("a ledger that differs from the meters is a ticket", async () => {
  receive();
  const { registry, report, listed } = await openWorkspace();
  const hour = Math.floor(Date.now() / HOUR) * HOUR - 2 * HOUR;
  await ledgerByName(env.USAGE_LEDGER, `${registry.workspace}/0`).recordReconciliation({
    hour,
    first: true,
    nextCursor: null,
    compared: [{ lineageId: "lin_a", meter: 10, ledger: 7 }],
    unchecked: 0,
  });
  toHourlyMinute(registry.workspace, 0);
  await report();
  expect(await listed()).toMatchObject([
    { kind: "reconciliation_differs", subjects: [{ evidence: { numbers: { units: 3, lineages: 1 } } }] },
  ]);
});

/** A minute of it each, up to now: so many requests, all of them alike. */
async function spend(workspace: string, minutes: number, each: number, changes: Partial<UsageEvent>): Promise<void> {
  const now = Date.now();
  const events = Array.from({ length: minutes * each }, (_, index) =>
    usageEvent({ ...changes, workspace, time: now - (Math.floor(index / each) + 1) * MINUTE + 1_000 + (index % each) }),
  );
  await ledgerByName(env.USAGE_LEDGER, `${workspace}/0`).ingest([usageBatch(events, now)]);
}

test.each([
  ["slo_auth_success", "page", { status: 503, code: "verification_unavailable" }],
  ["slo_latency", "page", { authMs: 200 }],
  ["degraded", "ticket", { degraded: true }],
] as const)(
  "%s is a %s while a quarter of the requests is so, and over some hours after the last",
  async (kind, severity, so) => {
    receive();
    const { registry, report, listed } = await openWorkspace();
    const { workspace } = registry;
    await spend(workspace, 60, 30, {});
    await report();
    expect(await listed()).toEqual([]);
    await spend(workspace, 20, 10, so);
    await report();
    expect(await listed()).toMatchObject([{ kind, severity, state: "firing" }]);
    // The longest of the short windows is six hours.
    for (let hour = 0; hour < 7; hour++) {
      vi.setSystemTime(Date.now() + HOUR);
      await spend(workspace, 5, 30, {});
      await report();
    }
    expect(await listed()).toMatchObject([{ kind, state: "resolved" }]);
  },
);

test("one request that could not be decided burns no budget, and without requests there is none to burn", async () => {
  receive();
  const { registry, report, listed } = await openWorkspace();
  await report();
  await spend(registry.workspace, 9, 1, { status: 503, code: "verification_unavailable", authMs: 900, degraded: true });
  await report();
  expect(await listed()).toEqual([]);
});

test("objectives are the configuration's", async () => {
  receive();
  const { registry, report, listed } = await openWorkspace({ ...HOOK_AND_DEAD, objectives: { authLatency: 0.6 } });
  await spend(registry.workspace, 60, 30, {});
  await spend(registry.workspace, 60, 10, { authMs: 200 });
  await report();
  expect(await listed()).toEqual([]);
});

test.each([
  [4_900, []],
  [5_100, [{ kind: "slo_revocation_lag", severity: "page", subjects: [{ evidence: { numbers: { late: 1 } } }] }]],
])("a revoked key that is let in for %i ms after it: %j", async (lagMs, told) => {
  receive();
  const { registry, report, listed } = await openWorkspace();
  const key = await created(registry);
  await done(registry.api.revoke(key.id, "leaked", null, context()));
  const of = { workspace: registry.workspace, keyId: key.id };
  const events = [
    usageEvent({ ...of, time: Date.now() + lagMs }),
    usageEvent({ ...of, time: Date.now() + lagMs + 100, status: 401, code: "key_revoked" }),
  ];
  vi.setSystemTime(Date.now() + MINUTE);
  await ledgerByName(env.USAGE_LEDGER, `${registry.workspace}/0`).ingest([usageBatch(events, Date.now())]);
  await report();
  expect(await listed()).toMatchObject(told);
  vi.setSystemTime(Date.now() + 2 * HOUR);
  await report();
  expect(await listed({ state: "firing" })).toEqual([]);
});

test("keys are looked through to the last, page by page", async () => {
  receive();
  const { registry, report, listed } = await openWorkspace();
  await created(registry);
  // Rows as they stand after years: many keys that ended, and one at the far end that works.
  await registry.sql("UPDATE keys SET seq = 9001, created_at = 0");
  toHourlyMinute(registry.workspace, DAY);
  await report();
  expect(await listed()).toMatchObject([{ kind: "key_stale" }]);
});

test("meters that cannot be reached are a page, on the second look, and over when they can be", async () => {
  receive();
  const alerts = openAlerts(HOOK_AND_DEAD, "default");
  const states = async () => {
    const page = await alerts.api.list({ kind: "auth_outage" }, 10, null);
    return page.ok
      ? page.value.data.map(({ state, severity, subjects }) => [state, severity, subjects[0]?.summary])
      : [];
  };
  const working = (name: string) => env.KEY_METER.getByName(name);
  let failures = 1;
  const meters = {
    getByName: (name: string) => ({
      ping: () => (failures-- > 0 ? Promise.reject(new Error("down")) : working(name).ping()),
    }),
  };
  const shaken = { ...env, KEY_METER: meters } as unknown as Env; // the part of it that is asked
  // Objects that wake for the first time may take longer than a look waits.
  await reportOutage(env, HOOK_AND_DEAD, 0);
  await reportOutage(shaken, HOOK_AND_DEAD, 0);
  expect(await states()).toEqual([]);
  failures = 2;
  await reportOutage(shaken, HOOK_AND_DEAD, 0);
  const summary = "Keys that are not known yet cannot be checked. Down: meter.";
  expect(await states()).toEqual([["firing", "page", summary]]);
  vi.setSystemTime(Date.now() + MINUTE);
  await reportOutage(shaken, HOOK_AND_DEAD, 0);
  expect(await states()).toEqual([["resolved", "page", summary]]);
});
