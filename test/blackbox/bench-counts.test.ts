import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { countOperations } from "../../scripts/bench/counting.ts";
import { countTargets } from "../../scripts/bench/targets.ts";
import { startDemoOrigin } from "../../scripts/demo-origin.ts";

/** What `npm run bench:smoke` decides by. */

const origin = await startDemoOrigin();
afterAll(() => origin.close());

async function count(key: Readonly<Record<string, unknown>>) {
  const directory = await mkdtemp(path.join(tmpdir(), "latchkey-counts-"));
  try {
    return await countOperations({ originUrl: origin.url, directory, key, requests: 1_000 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

it("1,000 warm requests read no KV, ask meters at most 20 times, write at most 20 rows and send at most 20 messages", async () => {
  const counted = await count({});
  expect(counted.events).toBe(1_000);
  expect(countTargets(counted).filter(({ held }) => !held)).toEqual([]);
});

it("without leases the count of meter calls is found to be too high", async () => {
  const counted = await count({ policy: { strict: true } });
  expect(counted.meterCalls).toBeGreaterThanOrEqual(1_000);
  const missed = countTargets(counted).filter(({ held }) => !held);
  expect(missed.map(({ name }) => name)).toContain("meter calls per 1,000 warm requests");
});
