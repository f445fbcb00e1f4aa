import { writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "../local/bundle.ts";
import { readSettings } from "./bundle.ts";
import { issueKey } from "./control.ts";
import type { Counts } from "./counts.ts";
import { startGateway } from "./gateway.ts";
import type { Gateway } from "./gateway.ts";
import { keyedRequest } from "./keyed-request.ts";
import { runLoad } from "./load.ts";

/**
 * The counted phase: what a hot key's requests cost in operations, apart from the measured ones, since counting costs time. KV reads
 * and queue messages are counted by the services that serve them, calls to objects and their rows inside the Worker.
 */

export interface CountOptions {
  readonly originUrl: string;
  readonly directory: string;
  /** Over the full key: how a test plants a regression. */
  readonly key?: Readonly<Record<string, unknown>>;
  /** How many are counted, after a quarter as many to warm up. */
  readonly requests?: number;
}

/** Of `requests` warm requests, all that followed included. */
export interface Operations {
  readonly requests: number;
  /** From the first request to the last count: leases and meters go on by the clock. */
  readonly seconds: number;
  readonly kvReads: number;
  /** Calls to meters, and to whatever stands between an isolate and a meter. */
  readonly meterCalls: number;
  /** All calls to objects, by `BINDING.method`. */
  readonly calls: Readonly<Record<string, number>>;
  /** Calls to all other objects. */
  readonly otherCalls: number;
  /** Rows that meters wrote, and whatever stands before them. */
  readonly rowsWritten: number;
  readonly queueMessages: number;
  /** Different events in these messages: each request is one. */
  readonly events: number;
  readonly queueBytes: number;
  /** Rows of the ledger and the registry, once the messages are consumed. */
  readonly consumerRowsWritten: number;
}

const COUNTED_REQUESTS = 4_000;
const CONNECTIONS = 8;
/** Longer than a flush of events waits. */
const EVENTS_TIMEOUT_MS = 20_000;
/** A meter writes what need not be durable at once within 5 s. */
const CHECKPOINT_WAIT_MS = 6_000;
/** Objects of a request's way, for which the targets hold. */
const METER_CLASSES = ["KeyMeter", "LeaseBroker"];
const METER_BINDING = /METER|BROKER/;

export async function countOperations(options: CountOptions): Promise<Operations> {
  const { originUrl, directory, key, requests: wanted = COUNTED_REQUESTS } = options;
  const warmUp = Math.ceil(wanted / 4);
  const entry = path.join(directory, "counted.ts");
  await writeFile(entry, countedModule(directory));
  const gateway = await startGateway({ originUrl, directory, entry, keepMessages: true });
  try {
    const issued = await issueKey(gateway, key ?? {});
    const send = async (amount: number): Promise<void> => {
      const requests = [keyedRequest(issued.key)];
      const load = {
        kind: "closed",
        url: gateway.url,
        requests,
        connections: CONNECTIONS,
        seconds: 0,
        amount,
      } as const;
      const { statuses, errors } = await runLoad(load);
      if (errors > 0 || statuses["200"] !== amount)
        throw new Error(`counted requests failed: ${JSON.stringify(statuses)}`);
    };
    await send(warmUp);
    await waitForEvents(gateway, warmUp);
    await takeCounts(gateway);
    const before = gateway.stores.counts();
    const startedAt = performance.now();
    await send(wanted);
    const messages = await waitForEvents(gateway, wanted);
    await sleep(CHECKPOINT_WAIT_MS);
    const after = gateway.stores.counts();
    const counts = await takeCounts(gateway);
    const countedAt = performance.now();
    await deliver(gateway, messages);
    return {
      requests: wanted,
      seconds: (countedAt - startedAt) / 1_000,
      kvReads: after.kvReads - before.kvReads,
      queueMessages: after.queueMessages - before.queueMessages,
      queueBytes: after.queueBytes - before.queueBytes,
      events: eventIds(messages).size,
      calls: counts.calls,
      meterCalls: sum(counts.calls, (name) => METER_BINDING.test(name)),
      otherCalls: sum(counts.calls, (name) => !METER_BINDING.test(name)),
      rowsWritten: sum(counts.rowsWritten, (name) => METER_CLASSES.includes(name)),
      consumerRowsWritten: sum((await takeCounts(gateway)).rowsWritten, (name) => !METER_CLASSES.includes(name)),
    };
  } finally {
    await gateway.stop();
  }
}

/** The shipped exports, each counted. */
function countedModule(directory: string): string {
  const classes = readSettings(directory).migrations.flatMap(({ new_sqlite_classes: names }) => names ?? []);
  const from = (file: string): string => JSON.stringify(path.join(ROOT, file));
  return `import * as shipped from ${from("src/index.ts")};
import { countClass, countWorker } from ${from("scripts/bench/workers/counting-worker.ts")};
export default countWorker(shipped.default);
export const Verifier = shipped.Verifier;
${classes.map((name) => `export const ${name} = countClass(shipped.${name}, "${name}");`).join("\n")}
`;
}

async function takeCounts(gateway: Gateway): Promise<Counts> {
  const response = await fetch(`${gateway.url}/__counts`);
  return (await response.json()) as Counts; // counting-worker.ts
}

interface Message {
  readonly events: readonly { readonly requestId: string }[];
}

/** All messages since the last call, once they hold this many events. */
async function waitForEvents(gateway: Gateway, wanted: number): Promise<readonly Message[]> {
  const messages: Message[] = [];
  for (const deadline = Date.now() + EVENTS_TIMEOUT_MS; Date.now() < deadline; await sleep(100)) {
    for (const body of gateway.stores.takeMessages()) messages.push(JSON.parse(body.toString()) as Message); // UsageBatch
    if (eventIds(messages).size >= wanted) return messages;
  }
  throw new Error(`${eventIds(messages).size} of ${wanted} events reached the queue`);
}

function eventIds(messages: readonly Message[]): ReadonlySet<string> {
  return new Set(messages.flatMap(({ events }) => events.map(({ requestId }) => requestId)));
}

async function deliver(gateway: Gateway, messages: readonly Message[]): Promise<void> {
  const response = await fetch(`${gateway.url}/__deliver`, { method: "POST", body: JSON.stringify(messages) });
  if (!response.ok) throw new Error(`the consumer answered ${response.status}`);
}

function sum(counts: Readonly<Record<string, number>>, counted: (name: string) => boolean): number {
  return Object.entries(counts).reduce((total, [name, count]) => (counted(name) ? total + count : total), 0);
}
