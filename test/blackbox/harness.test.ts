import { afterAll, beforeAll, expect, test } from "vitest";
import { bearer, control } from "../support/control.ts";
import { startEdges } from "../../scripts/lab/edges.ts";
import type { Edges } from "../../scripts/lab/edges.ts";

/** The other tests stand on this harness: an injected fault must really be one, and a cleared one must be gone. */

let harness: Edges;
beforeAll(async () => {
  harness = await startEdges({ count: 2, maxRetries: 1 });
});
afterAll(() => harness.stop());

/** An edge leaves a meter alone for a second after it could not be reached. */
const SOON = { timeout: 3_000, interval: 100 };

const edge = (index: number) => {
  const found = harness.edges[index];
  if (found === undefined) throw new Error(`no edge ${index}`);
  return found;
};

test("a key issued at home is admitted by every edge, each in an isolate of its own", async () => {
  const { key } = await control(harness.home).issue({ name: "Everywhere" });
  for (const at of harness.edges) {
    expect((await at.fetch("/reports/1", { headers: bearer(key) })).status).toBe(200);
    expect((await at.calls())["LEASE_BROKER.introduce"]).toBe(1);
  }
  expect((await harness.home.calls())["KEY_METER.acquire"]).toBeGreaterThan(0);
});

test("a meter that is down on one edge is up on the other", async () => {
  const { key } = await control(harness.home).issue({ name: "One edge", policy: { strict: true } });
  await edge(0).setFaults({ KEY_METER: { kind: "down" } });
  expect((await edge(0).fetch("/reports/1", { headers: bearer(key) })).status).toBe(503);
  expect((await edge(1).fetch("/reports/1", { headers: bearer(key) })).status).toBe(200);
  await edge(0).setFaults({});
  await expect.poll(async () => (await edge(0).fetch("/reports/1", { headers: bearer(key) })).status, SOON).toBe(200);
});

test("a fault with a number of times ends by itself", async () => {
  const { key } = await control(harness.home).issue({ name: "Once", policy: { strict: true } });
  await edge(0).setFaults({ KEY_METER: { kind: "down", methods: ["acquire"], times: 1 } });
  expect((await edge(0).fetch("/reports/1", { headers: bearer(key) })).status).toBe(503);
  await expect.poll(async () => (await edge(0).fetch("/reports/1", { headers: bearer(key) })).status, SOON).toBe(200);
});

test("a frozen KV answers what it held, a thawed one what it holds", async () => {
  // No broker, which would read KV at home.
  await edge(0).setFaults({ KEYS: { kind: "frozen" }, LEASE_BROKER: { kind: "down" } });
  const { key } = await control(harness.home).issue({ name: "After the freeze" });
  expect((await edge(0).fetch("/reports/1", { headers: bearer(key) })).status).toBe(401);
  expect((await edge(1).fetch("/reports/1", { headers: bearer(key) })).status).toBe(200);
  await edge(0).setFaults({});
});

test("a restart keeps what was stored", async () => {
  const { key } = await control(harness.home).issue({ name: "Survivor" });
  await harness.restart();
  expect((await edge(1).fetch("/reports/1", { headers: bearer(key) })).status).toBe(200);
  expect(await harness.kv.keys()).not.toHaveLength(0);
});

test("a message that is no batch reaches the dead letters", async () => {
  await harness.enqueue({ nonsense: true });
  await expect.poll(() => harness.deadLetters(), { timeout: 60_000, interval: 250 }).not.toHaveLength(0);
});
