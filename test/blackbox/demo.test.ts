import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEMO_KEYS } from "../../scripts/traffic/demo-week.ts";
import { bearer } from "../support/control.ts";
import { startServer } from "../support/server.ts";
import type { Server } from "../support/server.ts";

/** `npm run demo`, with one day of its week. */

const DEMO = path.resolve(import.meta.dirname, "../../scripts/demo.ts");
const PATIENCE_MS = 60_000;

let state: string;
let server: Server;
beforeAll(async () => {
  state = await mkdtemp(path.join(tmpdir(), "latchkey-demo-"));
  await cutOffWhileFilling();
  server = await startServer({ state, demo: { days: 1 } });
});
afterAll(async () => {
  await server.stop();
  await rm(state, { recursive: true, force: true });
});

/** As a person who loses patience. */
async function cutOffWhileFilling(): Promise<void> {
  const child = spawn(process.execPath, [DEMO, "--days", "1", "--port", "0", "--state", path.join(state, "state")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LATCHKEY_DEV_VARS: path.join(state, "dev.vars") },
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  await sleep(4_000);
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

async function ask<T>(target: string): Promise<T> {
  const answer = await fetch(`${server.url}/_latchkey/v1${target}`, { headers: bearer(server.rootToken) });
  expect(answer.status, target).toBe(200);
  return (await answer.json()) as T;
}

async function requestsCounted(): Promise<number> {
  const from = new Date(Date.now() - 2 * 86_400_000).toISOString();
  return (await ask<{ totals: { requests: number } }>(`/usage?granularity=hour&from=${from}`)).totals.requests;
}

function requestsFilled(): number {
  return Number(/^Filled (\d+) requests/m.exec(server.logs())?.[1]);
}

describe("a demo that was cut off and filled anew", () => {
  test("has counted each request of its day once, and those that came since", async () => {
    expect(requestsFilled()).toBeGreaterThan(10_000);
    const counted = await requestsCounted();
    expect(counted).toBeGreaterThanOrEqual(requestsFilled());
    // Some requests a second for some seconds.
    expect(counted - requestsFilled()).toBeLessThan(2_000);
  });

  test("has its keys, of owners with names", async () => {
    const { data } = await ask<{ data: { name: string; keys: { total: number } }[] }>("/owners?limit=100");
    expect(data.reduce((sum, { keys }) => sum + keys.total, 0)).toBe(DEMO_KEYS);
    for (const { name } of data) expect(name).toMatch(/^[A-Z]/);
  });

  test("was watched while it was filled: stolen keys that were tried, a canary that was used", async () => {
    const { data } = await ask<{ data: { kind: string }[] }>("/detections");
    expect(data.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["credential_stuffing", "canary_used"]));
    const alerts = await ask<{ data: { kind: string }[] }>("/alerts");
    expect(alerts.data.map(({ kind }) => kind)).toContain("canary_used");
  });

  test("had its costs of the meters: they agree with the ledger, hour by hour", async () => {
    const metrics = await fetch(`${server.url}/_latchkey/metrics`, { headers: bearer(server.rootToken) });
    const text = await metrics.text();
    expect(text).toMatch(/^latchkey_reconciliation_lineages_differing(?:\{.*\})? 0$/m);
    const { data } = await ask<{ data: { kind: string }[] }>("/alerts");
    expect(data.map(({ kind }) => kind)).not.toContain("reconciliation_differs");
  });

  test("goes on: customers' requests come to the gateway, which says what it decided them on", async () => {
    const since = new Date(Date.now() - 5_000).toISOString();
    interface Kept {
      data: { requestId: string; time: string }[];
    }
    let kept: Kept["data"] = [];
    for (const end = Date.now() + PATIENCE_MS; kept.length === 0; await sleep(500)) {
      if (Date.now() > end) throw new Error("no request came");
      kept = (await ask<Kept>("/requests?limit=10")).data.filter(({ time }) => time > since);
    }
    const explained = await ask<{ checks: unknown[] }>(`/requests/${kept[0]?.requestId ?? ""}`);
    expect(explained.checks.length).toBeGreaterThan(3);
  });

  test("is there at once when it is started again, with all that it had", async () => {
    const before = await requestsCounted();
    await server.stop();
    server = await startServer({ state, demo: { days: 1 } });
    expect(server.logs()).not.toContain("Filling");
    expect(await requestsCounted()).toBeGreaterThanOrEqual(before);
  });
});

test("a demo leaves data alone that is not a demo's", async () => {
  const other = await mkdtemp(path.join(tmpdir(), "latchkey-demo-"));
  try {
    await mkdir(path.join(other, "state/data"), { recursive: true });
    await expect(startServer({ state: other, demo: { days: 1 } })).rejects.toThrow("holds data that is not a demo's");
  } finally {
    await rm(other, { recursive: true, force: true });
  }
});
