import { newId } from "../../../src/platform/ids.ts";
import { consumeUsage, type ConsumerEnv } from "../../../src/usage/consumer.ts";
import { makeEvent } from "../../../src/usage/make-event.ts";
import { BATCH_ID_PREFIX } from "../../../src/usage/parse-batch.ts";

let isPrimed = false;

/**
 * The consumer remembers, for as long as its process lives, which workspaces are on the list. A world has one of its own, but
 * events of unknown keys belong to the default one: it is put on the list before the first world, so that no world is the first.
 */
export async function primeConsumer(): Promise<void> {
  if (isPrimed) return;
  isPrimed = true;
  const now = Date.now();
  const ledger = {
    ingest: () => Promise.resolve({ outcomes: ["ingested"], uses: [], rowsWritten: 0 }),
    registerWorkspaces: () => Promise.resolve(),
  };
  const event = makeEvent({
    requestId: newId("req_", now),
    time: now,
    record: null,
    method: "GET",
    upstream: null,
    route: null,
    status: 401,
    code: "key_invalid",
    cost: 0,
    latencyMs: 0,
    authMs: 0,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 0,
    country: null,
    asn: null,
    colo: null,
    clientIp: null,
    ipPolicy: "truncated",
    ipSalt: null,
    userAgent: null,
    degraded: false,
    tokenId: null,
    credentialTag: null,
  });
  const message = {
    id: "prime",
    attempts: 1,
    body: { v: 1, batchId: newId(BATCH_ID_PREFIX, now), events: [event] },
    ack: () => undefined,
    retry: () => undefined,
  };
  const env: ConsumerEnv = { USAGE_LEDGER: { getByName: () => ledger }, KEY_REGISTRY: { getByName: () => null } };
  // The consumer uses a batch's messages, and of each what stands here.
  await consumeUsage({ queue: "usage", messages: [message] } as unknown as MessageBatch, env);
}
