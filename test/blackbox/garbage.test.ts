import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { strangerKey } from "../support/contract.ts";
import { bearer, control } from "../support/control.ts";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { CallCounts } from "../../scripts/lab/faults.ts";

/** What a stranger can make Latchkey do, counted in calls to its bindings. */

let harness: Edges;
let edge: Edge;
beforeAll(async () => {
  harness = await startEdges({ count: 1 });
  [edge] = harness.edges as [Edge];
});
beforeEach(() => edge.resetCalls());
afterAll(() => harness.stop());

async function statusOf(key: string, ip: string): Promise<number> {
  const response = await edge.fetch("/x", { headers: bearer(key), ip });
  await response.arrayBuffer();
  return response.status;
}

/** Calls that look something up. Counting failures and recording events go on in the background. */
function lookups(calls: CallCounts): Record<string, number> {
  return Object.fromEntries(Object.entries(calls).filter(([name]) => !/^(USAGE|FAILURE_SHIELD)\./.test(name)));
}

/** A good form with one wrong character at the end. */
function misprinted(): string {
  const key = strangerKey();
  return `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
}

describe("a credential that cannot be a key", () => {
  test("is refused without a single look-up, however often it comes", async () => {
    const garbage = [
      ...Array.from({ length: 30 }, misprinted),
      "x",
      "lk_live_",
      `lk_prod_${"0".repeat(38)}`.slice(0, 7),
    ];
    for (const key of garbage) expect(await statusOf(key, "198.51.100.1"), key.slice(0, 8)).toBe(401);
    expect(lookups(await edge.calls())).toEqual({});
  });

  test("nor does one in the query, none at all, or two different ones", async () => {
    for (const path of ["/x", `/x?api_key=${strangerKey()}`]) {
      const response = await edge.fetch(path);
      expect([400, 401]).toContain(response.status);
    }
    const headers = { ...bearer(strangerKey()), "x-api-key": strangerKey() };
    expect((await edge.fetch("/x", { headers })).status).toBe(400);
    expect(lookups(await edge.calls())).toEqual({});
  });
});

test("a key of the right form that nobody issued costs one call and one read, and a repeat of it none", async () => {
  const stranger = strangerKey();
  await harness.home.resetCalls();
  for (let turn = 0; turn < 10; turn++) expect(await statusOf(stranger, "198.51.100.2")).toBe(401);
  expect(lookups(await edge.calls())).toEqual({ "LEASE_BROKER.introduce": 1 });
  // The broker's.
  expect(lookups(await harness.home.calls())).toEqual({ "KEYS.get": 1 });
});

test("a flood of keys of no known form from one address is cut off and stops costing reads; good keys behind it get in", async () => {
  const ip = "198.51.100.3";
  const [warm, cold] = [await control(harness.home).issue(), await control(harness.home).issue()];
  expect(await statusOf(warm.key, "203.0.113.9")).toBe(200);
  const statuses: number[] = [];
  for (let round = 0; round < 30; round++) {
    const guess = (_: unknown, index: number) => statusOf(`legacy-guess-${round}-${index}`, ip);
    statuses.push(...(await Promise.all(Array.from({ length: 20 }, guess))));
  }
  expect(new Set(statuses)).toEqual(new Set([401, 429]));
  expect(statuses.at(-1)).toBe(429);
  // 200 failures are the budget, 100 more are looked up for imported keys that nobody here has seen, and some were under way.
  expect((await edge.calls())["LEASE_BROKER.introduce"] ?? 0).toBeLessThan(400);
  expect((await edge.calls())["KEYS.get"] ?? 0).toBe(0);
  expect(await statusOf(warm.key, ip)).toBe(200);
  expect(await statusOf(cold.key, ip)).toBe(200);
  expect(await statusOf(strangerKey(), "198.51.100.4")).toBe(401);
});
