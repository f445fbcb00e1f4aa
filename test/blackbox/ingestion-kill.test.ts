import { afterAll, beforeAll, expect, test } from "vitest";
import { EVENTS_PER_BATCH } from "../../scripts/ingest/order.ts";
import { type IngestServer, startIngestServer } from "../../scripts/ingest/server.ts";
import { newId } from "../../src/platform/ids.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";

/**
 * SIGKILL in the middle of ingestion. The local queue keeps its messages in memory, so that those which were not counted die with the
 * process: Cloudflare's would deliver them again, and here the test does. What this shows is the ledger's part: what it has counted
 * stands, and a message that comes again is not counted twice. That a queue keeps what it has taken is Cloudflare's word.
 */

const ROUNDS = 3;
const BATCHES_PER_ROUND = 120;

let server: IngestServer;
beforeAll(async () => {
  server = await startIngestServer();
});
afterAll(() => server.stop());

test("a killed process loses nothing that the ledger had counted, and what is delivered again is counted once", async () => {
  const sent: { readonly batchIds: readonly string[]; readonly at: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const at = Date.now();
    const batchIds = Array.from({ length: BATCHES_PER_ROUND }, () => newId(BATCH_ID_PREFIX, at));
    const order = { batchIds, at };
    sent.push(order);
    const before = await server.counted();
    await server.send(order);
    // Some of them are counted, and the consumer is at work on others.
    await expect.poll(() => server.counted(), { timeout: 30_000, interval: 20 }).toBeGreaterThan(before);
    const seen = await server.counted();
    await server.killAndStart();
    expect(await server.counted()).toBeGreaterThanOrEqual(seen);
  }
  const all = ROUNDS * BATCHES_PER_ROUND * EVENTS_PER_BATCH;
  for (const order of sent) await server.send(order);
  await expect.poll(() => server.counted(), { timeout: 60_000, interval: 200 }).toBe(all);
  // Once more, now that every one was counted.
  for (const order of sent) await server.send(order);
  const marker = { batchIds: [newId(BATCH_ID_PREFIX, Date.now())], at: Date.now() };
  await server.send(marker);
  await expect.poll(() => server.counted(), { timeout: 60_000, interval: 200 }).toBe(all + EVENTS_PER_BATCH);
});
