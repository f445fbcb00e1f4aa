import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "./ask.ts";
import { keepPace, makeClock } from "./clock.ts";
import { startEdges } from "../lab/edges.ts";
import type { Edges } from "../lab/edges.ts";
import { DRIVE_PATH, noObjectUnits, noWorkerUnits, ROWS_PATH, UNITS_PATH } from "./units.ts";
import type { DriveOrder, DriveReport, WorkerUnits } from "./units.ts";

/** The several-isolate lab with the counting Worker, keys to ask with, and one clock that all of it goes by. */

const IMPORT_AT_ONCE = 500;
const SHARED_MEMORY = "/dev/shm";
const COUNTING_WORKER = path.join(import.meta.dirname, "counting-worker.ts");

export interface CostLab {
  readonly keys: readonly string[];
  /** From now on every isolate's clock goes so much faster than the machine's. */
  readonly setSpeed: (times: number) => Promise<void>;
  /** Waits so long by the lab's clock. */
  readonly wait: (seconds: number) => Promise<void>;
  /** Traffic on the first `isolates` edges, `requestsPerSecond` over all of them. Settles when the last answer is there. */
  readonly drive: (order: Omit<DriveOrder, "cf"> & { readonly isolates: number }) => Promise<DriveReport>;
  /** What all Workers counted since the last reset, added up. */
  readonly units: () => Promise<WorkerUnits>;
  readonly reset: () => Promise<void>;
  /** Has the ledger write down what it keeps for later, as every reading of usage does. */
  readonly settleLedger: () => Promise<void>;
  /** Rows in the ledger's tables. */
  readonly ledgerRows: () => Promise<number>;
  readonly runScheduled: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Limits that nothing in these runs reaches, of the two usual kinds. */
const LIMITS = [
  { name: "burst", limit: 100_000, window: "minute", kind: "rate" },
  { name: "monthly", limit: 100_000_000_000, window: "month", kind: "quota" },
];

/** Isolates stand in these by turns. */
const PLACES = [
  { colo: "FRA", country: "DE", continent: "EU", longitude: "8.7" },
  { colo: "IAD", country: "US", continent: "NA", longitude: "-77.5" },
];

/** Starts the lab. It ends with `stop`, and when this process is told to end. */
export async function startCostLab(options: {
  readonly isolates: number;
  readonly keys: number;
  readonly progress: (text: string) => void;
}): Promise<CostLab> {
  const edges = await startEdges({
    count: options.isolates,
    entry: COUNTING_WORKER,
    maxBatchTimeout: 0,
    ...inMemory(),
  });
  const stop = stopOnce(edges);
  try {
    const keys = await importKeys(edges, options.keys, options.progress);
    return makeLab(edges, keys, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Ctrl-C leaves neither processes nor files. */
function stopOnce(edges: Edges): () => Promise<void> {
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    for (const signal of SIGNALS) process.removeListener(signal, stopAndExit);
    stopping ??= edges.stop();
    return stopping;
  };
  const stopAndExit = (): void => void stop().finally(() => process.exit(INTERRUPTED));
  for (const signal of SIGNALS) process.once(signal, stopAndExit);
  return stop;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const INTERRUPTED = 130;

/** Thousands of small databases: in memory where the system has a folder for that. It changes no count. */
function inMemory(): { readonly storageUnder?: string } {
  return existsSync(SHARED_MEMORY) ? { storageUnder: SHARED_MEMORY } : {};
}

function makeLab(edges: Edges, keys: readonly string[], stop: () => Promise<void>): CostLab {
  const all = [edges.home, ...edges.edges];
  const clock = makeClock(all);
  return {
    keys,
    setSpeed: clock.setSpeed,
    wait: async (seconds) => await sleep((seconds * 1_000) / clock.speed()),
    drive: async ({ isolates, requestsPerSecond, seed, ...order }) => {
      const driven = edges.edges.slice(0, isolates);
      const parts = driven.map(async (edge, index) => {
        const pick =
          order.pick.kind === "turns"
            ? { ...order.pick, first: order.pick.first + index, stride: isolates }
            : order.pick;
        const cf = PLACES[index % PLACES.length] ?? {};
        const own: DriveOrder = {
          ...order,
          cf,
          pick,
          seed: seed + index,
          requestsPerSecond: requestsPerSecond / isolates,
        };
        return (await ask(edge, DRIVE_PATH, "POST", own)) as DriveReport; // counting-worker.ts answers in this shape
      });
      const traffic = Promise.all(parts);
      // Traffic that fails says so itself.
      const keeping = keepPace(clock, driven, traffic).catch(() => undefined);
      const reports = await traffic;
      await keeping;
      return {
        sent: reports.reduce((sum, { sent }) => sum + sent, 0),
        lateMs: Math.max(...reports.map(({ lateMs }) => lateMs)),
      };
    },
    units: async () => addUp(await Promise.all(all.map((edge) => ask(edge, UNITS_PATH, "GET")))),
    reset: async () => void (await Promise.all(all.map((edge) => ask(edge, UNITS_PATH, "DELETE")))),
    settleLedger: async () => {
      const headers = { authorization: `Bearer ${edges.rootToken}` };
      const answer = await edges.home.fetch("/_latchkey/v1/usage", { headers });
      if (!answer.ok) throw new Error(`usage could not be read: ${answer.status}`);
    },
    ledgerRows: async () => (await ask(edges.home, ROWS_PATH, "GET")) as number, // counting-worker.ts answers in this shape
    runScheduled: edges.runScheduled,
    stop,
  };
}

function addUp(parts: readonly unknown[]): WorkerUnits {
  const sum = noWorkerUnits();
  for (const part of parts as readonly WorkerUnits[]) {
    // counting-worker.ts answers in this shape
    sum.requests += part.requests;
    sum.refused += part.refused;
    sum.invocations += part.invocations;
    sum.kvReads += part.kvReads;
    sum.kvWrites += part.kvWrites;
    sum.queueMessages += part.queueMessages;
    sum.queueOperations += part.queueOperations;
    sum.logLines += part.logLines;
    for (const [name, units] of Object.entries(part.objects)) {
      const into = (sum.objects[name] ??= noObjectUnits());
      into.requests += units.requests;
      into.alarms += units.alarms;
      into.rowsWritten += units.rowsWritten;
      into.rowsRead += units.rowsRead;
      into.timerMs += units.timerMs;
      into.idleCalls += units.idleCalls;
      into.waits += units.waits;
    }
    for (const [name, count] of Object.entries(part.calls)) sum.calls[name] = (sum.calls[name] ?? 0) + count;
  }
  return sum;
}

/** Keys of a form of their own come in by their hashes, many at once. */
async function importKeys(edges: Edges, count: number, progress: (text: string) => void): Promise<readonly string[]> {
  const keys = Array.from({ length: count }, (_, index) => `cost-${index}-${randomBytes(18).toString("base64url")}`);
  for (let from = 0; from < count; from += IMPORT_AT_ONCE) {
    const items = keys.slice(from, from + IMPORT_AT_ONCE).map((key, index) => ({
      hash: { algorithm: "sha256", encoding: "hex", value: createHash("sha256").update(key).digest("hex") },
      name: `Key ${from + index}`,
      owner: `owner-${(from + index) % 500}`,
      environment: "live",
      scopes: ["reports:read"],
      limits: LIMITS,
    }));
    const response = await fetch(`${edges.home.url}/_latchkey/v1/keys/import`, {
      method: "POST",
      headers: { authorization: `Bearer ${edges.rootToken}`, "content-type": "application/json" },
      body: JSON.stringify({ keys: items }),
    });
    const answer = (await response.json()) as { readonly imported?: number };
    if (answer.imported !== items.length)
      throw new Error(`keys were not imported: ${JSON.stringify(answer).slice(0, 500)}`);
    progress(`${Math.min(count, from + IMPORT_AT_ONCE)} of ${count} keys`);
  }
  return keys;
}
