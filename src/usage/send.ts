import { askLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { LedgerNamespace } from "../../durable-objects/usage-ledger/client.ts";
import { EVENT_SEND_ATTEMPTS, EVENT_SEND_BACKOFF_MS, EVENT_SEND_TIMEOUT_MS } from "../constants.ts";
import { sleep, TimeOutError, within } from "../platform/clock.ts";
import { counters } from "../platform/counters.ts";
import { describeError, logError, logWarning } from "../platform/log.ts";
import type { UsageBatch } from "./event.ts";
import { splitByLedger } from "./shard.ts";

/** The way of a batch out of the isolate: the queue, else straight to the ledgers. */

/** Where batches go. `Env` fits. */
export interface SendEnv {
  readonly USAGE: { send(message: UsageBatch): Promise<unknown> };
  readonly USAGE_LEDGER: LedgerNamespace;
}

/** Whether somebody durable has the batch. Never throws. */
export type Send = (batch: UsageBatch) => Promise<boolean>;

/**
 * A `Send` over these bindings. A queue that refuses is asked again; one that does not answer may have taken the batch, and
 * the ledger is asked next: it counts a `batchId` once, on whatever way and however often it comes.
 */
export function createSend(env: SendEnv, wait: (ms: number) => Promise<void> = sleep): Send {
  return async (batch) => (await sendToQueue(env, batch, wait)) || (await sendToLedgers(env, batch));
}

async function sendToQueue(env: SendEnv, batch: UsageBatch, wait: (ms: number) => Promise<void>): Promise<boolean> {
  for (let attempt = 1; attempt <= EVENT_SEND_ATTEMPTS; attempt++) {
    try {
      await within(env.USAGE.send(batch), EVENT_SEND_TIMEOUT_MS, "the usage queue");
      counters.queueMessages += 1;
      return true;
    } catch (error) {
      counters.queueFailures += 1;
      logWarning("usage queue refused a batch", { batchId: batch.batchId, attempt, ...describeError(error) });
      if (error instanceof TimeOutError) return false;
      if (attempt < EVENT_SEND_ATTEMPTS) await wait(EVENT_SEND_BACKOFF_MS * 2 ** (attempt - 1));
    }
  }
  return false;
}

async function sendToLedgers(env: SendEnv, batch: UsageBatch): Promise<boolean> {
  try {
    const parts = Array.from(splitByLedger(batch), async ([name, part]) => {
      const call = ledgerByName(env.USAGE_LEDGER, name).ingest([{ batchId: batch.batchId, events: part.events }]);
      await askLedger(call, EVENT_SEND_TIMEOUT_MS);
    });
    // All of them get their chance before one that failed is reported.
    const outcomes = await Promise.allSettled(parts);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed === undefined) return true;
    throw failed.reason;
  } catch (error) {
    logError(error, { message: "neither queue nor ledger took a batch; it is kept", batchId: batch.batchId });
    return false;
  }
}
