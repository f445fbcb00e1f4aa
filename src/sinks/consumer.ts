import { QUEUE_RETRY_DELAY_MAX_SECONDS } from "../constants.ts";
import { logError, logWarning } from "../platform/log.ts";
import { DEFAULT_POINTS, type DatasetSink, type HttpSink, type SinkConfig, type Sinks } from "./config.ts";
import { sendToQueue } from "./forward.ts";
import { parseSinkMessage, type SinkMessage } from "./message.ts";
import { writePoints } from "./points.ts";
import { type Fetch, type Posted, postEvents } from "./post.ts";
import { storeEvents } from "./store.ts";

/** From a sink's own queue to its receiver. At least once: a message is acknowledged once each of its events was taken, or lies in the dead-letter queue. */

const QUEUE_PREFIX = "latchkey-sink-";
const DEAD_SUFFIX = "-dead";

/** Events of one request: with the largest form around them about 1 MB, which is what Splunk takes at the least. */
const MAX_REQUEST_EVENTS = 1_000;
const MAX_REQUEST_CHARACTERS = 400_000;
/** A receiver may ask for more patience than the schedule has, within reason. */
const MAX_RETRY_AFTER_SECONDS = 3_600;

export function isSinkQueue(queue: string): boolean {
  return queue.startsWith(QUEUE_PREFIX);
}

interface Entry {
  readonly message: Message;
  readonly parsed: SinkMessage;
}

interface Delivery {
  readonly name: string;
  readonly env: object;
  readonly send: Fetch | undefined;
  /** Whether what is refused came out of the dead-letter queue: putting it there again would go round without end. */
  readonly isFromDeadQueue: boolean;
}

/**
 * The queue's name says that these are sinks' messages, and each message whose it is: a dead-letter queue that is given a consumer is
 * sent again to the sink it came from.
 */
export async function consumeSinks(
  batch: MessageBatch,
  sinks: Sinks | undefined,
  env: object,
  send?: Fetch,
): Promise<void> {
  const bySink = new Map<string, Entry[]>();
  for (const message of batch.messages) {
    const parsed = parseSinkMessage(message.body);
    const fault = parsed.ok
      ? Object.hasOwn(sinks ?? {}, parsed.value.sink)
        ? null
        : "is for a sink that is not configured"
      : parsed.error;
    if (!parsed.ok || fault !== null) {
      if (message.attempts <= 1) logError(`a message ${fault}`, { queue: batch.queue, messageId: message.id });
      message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
      continue;
    }
    const entries = bySink.get(parsed.value.sink) ?? [];
    bySink.set(parsed.value.sink, entries);
    entries.push({ message, parsed: parsed.value });
  }
  const isFromDeadQueue = batch.queue.endsWith(DEAD_SUFFIX);
  for (const [name, entries] of bySink) {
    const sink = sinks?.[name];
    if (sink !== undefined) await deliver(sink, entries, { name, env, send, isFromDeadQueue });
  }
}

async function deliver(sink: SinkConfig, entries: readonly Entry[], delivery: Delivery): Promise<void> {
  if (sink.type === "r2") {
    for (const { message, parsed } of entries) {
      try {
        await storeEvents(sink, parsed, delivery.env);
        message.ack();
      } catch (error) {
        logError(error, { message: "a sink did not store events; they are retried", sink: delivery.name });
        message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
      }
    }
    return;
  }
  if (sink.type === "analytics-engine") return await writeMessages(sink, entries, delivery);
  const groups = groupForRequests(entries);
  for (const [index, group] of groups.entries()) {
    const unwell = await postGroup(sink, group, delivery);
    if (unwell === null) continue;
    // The next request would fare alike, and a receiver that is down is not helped by more of them.
    const waiting = groups.slice(index).flat();
    logWarning("a sink is unwell; its events are retried", {
      sink: delivery.name,
      error: unwell.error,
      messages: waiting.length,
    });
    const asked = Math.min(unwell.retryAfterSeconds ?? 0, MAX_RETRY_AFTER_SECONDS);
    for (const { message } of waiting) {
      message.retry({ delaySeconds: Math.max(asked, retryDelaySeconds(message.attempts)) });
    }
    return;
  }
}

/** As many as one invocation may write; the rest of a message is a message of its own, and what was not begun comes again. */
async function writeMessages(sink: DatasetSink, entries: readonly Entry[], delivery: Delivery): Promise<void> {
  let left = sink.pointsPerInvocation ?? DEFAULT_POINTS;
  for (const { message, parsed } of entries) {
    if (left === 0) {
      message.retry();
      continue;
    }
    try {
      const now = { ...parsed, events: parsed.events.slice(0, left) };
      const rest = { ...parsed, events: parsed.events.slice(left) };
      if (rest.events.length > 0) await sendToQueue(delivery.env, sink.queue, [rest]);
      writePoints(sink, now, delivery.env);
      left -= now.events.length;
      message.ack();
    } catch (error) {
      logError(error, { message: "a sink did not take events; they are retried", sink: delivery.name });
      message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
    }
  }
}

/** Settles the messages of one request; gives why not, when the receiver is unwell. */
async function postGroup(sink: HttpSink, group: readonly Entry[], delivery: Delivery): Promise<Posted["unwell"]> {
  const events = group.flatMap(({ parsed }) => parsed.events);
  const posted = await postEvents(sink, events, delivery.env, delivery.send);
  if (posted.unwell !== null) return posted.unwell;
  if (posted.refused.size === events.length && group.length > 1) {
    // One bad message must not take its neighbours with it.
    for (const [index, entry] of group.entries()) {
      const unwell = await postGroup(sink, [entry], delivery);
      if (unwell === null) continue;
      for (const { message } of group.slice(index)) {
        message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
      }
      return null;
    }
    return null;
  }
  for (const entry of group) await settle(sink, entry, posted, delivery);
  return null;
}

async function settle(sink: HttpSink, { message, parsed }: Entry, posted: Posted, delivery: Delivery): Promise<void> {
  const again = { delaySeconds: retryDelaySeconds(message.attempts) };
  if (parsed.events.some(({ id }) => posted.retry.has(id))) return message.retry(again);
  const refused = parsed.events.filter(({ id }) => posted.refused.has(id));
  if (refused.length === 0) return message.ack();
  logError("a sink refused events for good; they are in its dead-letter queue", {
    sink: delivery.name,
    events: refused.length,
    reason: posted.refused.get(refused[0]?.id ?? "") ?? "",
    firstEvent: refused[0]?.id ?? "",
  });
  if (delivery.isFromDeadQueue) return message.retry(again);
  try {
    await sendToQueue(delivery.env, sink.deadQueue, [{ ...parsed, events: refused }]);
    message.ack();
  } catch (error) {
    logError(error, { message: "refused events were not put aside; they are retried", sink: delivery.name });
    message.retry(again);
  }
}

function groupForRequests(entries: readonly Entry[]): readonly Entry[][] {
  const groups: Entry[][] = [];
  let [events, characters] = [0, 0];
  for (const entry of entries) {
    const size = JSON.stringify(entry.parsed.events).length;
    const count = entry.parsed.events.length;
    const last = groups.at(-1);
    if (last === undefined || events + count > MAX_REQUEST_EVENTS || characters + size > MAX_REQUEST_CHARACTERS) {
      groups.push([entry]);
      [events, characters] = [count, size];
    } else {
      last.push(entry);
      events += count;
      characters += size;
    }
  }
  return groups;
}

/** 2 s, 4 s, 8 s … up to five minutes, as for usage. */
function retryDelaySeconds(attempts: number): number {
  return Math.min(2 ** Math.min(attempts, 10), QUEUE_RETRY_DELAY_MAX_SECONDS);
}
