import { EVENT_SEND_TIMEOUT_MS } from "../constants.ts";
import { within } from "../platform/clock.ts";
import { logError } from "../platform/log.ts";
import type { UsageBatch } from "../usage/event.ts";
import type { Sinks } from "./config.ts";
import { cutForSink, type SinkMessage, type SizedMessage } from "./message.ts";

/** From the usage queue to each sink's own. */

/** Gives the ids of batches that a sink's queue does not hold whole, to be brought again. Never rejects. */
export type ForwardEvents = (batches: readonly UsageBatch[]) => Promise<ReadonlySet<string>>;

/** One call to a queue takes 100 messages and 256 KB. */
const MAX_CALL_MESSAGES = 100;
const MAX_CALL_BYTES = 240 * 1_024;

interface SinkQueue {
  sendBatch(messages: readonly { readonly body: SinkMessage; readonly contentType: "json" }[]): Promise<unknown>;
}

/** `null`: there is no sink. Bindings are asked for by name, for which there are is the deployment's own choice. */
export function forwardTo(sinks: Sinks | undefined, env: object): ForwardEvents | null {
  const entries = Object.entries(sinks ?? {});
  if (entries.length === 0) return null;
  return async (batches) => {
    const failed = new Set<string>();
    await Promise.all(
      entries.map(async ([name, sink]) => {
        for (const group of groupForCalls(batches.flatMap((batch) => cutForSink(name, sink, batch)))) {
          try {
            await sendToQueue(env, sink.queue, group);
          } catch (error) {
            for (const { batchId } of group) failed.add(batchId);
            logError(error, { message: "a sink's queue did not take events; they are retried", sink: name });
          }
        }
      }),
    );
    return failed;
  };
}

export async function sendToQueue(env: object, binding: string, messages: readonly SinkMessage[]): Promise<void> {
  const queue: unknown = Reflect.get(env, binding);
  if (!isQueue(queue)) throw new Error(`wrangler.toml lacks the queue ${binding}`);
  const call = queue.sendBatch(messages.map((body) => ({ body, contentType: "json" })));
  await within(call, EVENT_SEND_TIMEOUT_MS, "a sink's queue");
}

function isQueue(value: unknown): value is SinkQueue {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "sendBatch") === "function";
}

function groupForCalls(messages: readonly SizedMessage[]): readonly SinkMessage[][] {
  const groups: SinkMessage[][] = [];
  let room = 0;
  for (const { message, bytes } of messages) {
    const last = groups.at(-1);
    if (last === undefined || last.length >= MAX_CALL_MESSAGES || bytes > room) {
      groups.push([message]);
      room = MAX_CALL_BYTES - bytes;
    } else {
      last.push(message);
      room -= bytes;
    }
  }
  return groups;
}
