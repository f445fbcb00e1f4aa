import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";
import type { V4WorkerOptions } from "miniflare";
import { startDemoOrigin } from "../demo-origin.ts";
import { bundleWorker } from "../local/bundle.ts";
import type { Bundle } from "../local/bundle.ts";
import { readWorkerOptions } from "../local/worker-options.ts";
import { CALLS_PATH, CLOCK_PATH, CRASH_PATH, FAULTS_PATH } from "./faults.ts";
import type { CallCounts, Faults } from "./faults.ts";

/**
 * Several real isolates over one set of objects, KV and queue, in one workerd: `home` hosts the Durable Objects and consumes
 * the queue, the edges bind them by script name. All are the shipped Worker behind bindings that fail on demand.
 */

export interface EdgesOptions {
  readonly count: number;
  /** Default: a demo origin of their own. */
  readonly upstream?: string;
  /** Over those of wrangler.toml, for every Worker. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Deliveries of a message after the first, before it is dead. Default: as in wrangler.toml, which takes minutes. */
  readonly maxRetries?: number;
  /** How long the queue gathers messages for its consumer, s. Default: as in wrangler.toml. */
  readonly maxBatchTimeout?: number;
  /** Where the run's storage is made, and removed. Default: the system's temporary folder. */
  readonly storageUnder?: string;
  /** Another main module than `faulty-worker.ts`, for every Worker. It is built on top of that one. */
  readonly entry?: string;
  /** Queues by their binding, all but those that end in `-dead` consumed by `home`; and buckets, each of its binding's name. */
  readonly queues?: Readonly<Record<string, string>>;
  readonly buckets?: readonly string[];
}

/** One Worker: `home` or an edge. */
export interface Edge {
  readonly name: string;
  /** Straight to this isolate: what it is told in `CF-Connecting-IP` and `MF-CF-Blob` it believes. */
  readonly url: string;
  readonly rootToken: string;
  /** As a client at `ip` (default 192.0.2.1), following no redirect. */
  readonly fetch: (
    target: string,
    init?: RequestInit & { readonly ip?: string; readonly cf?: Record<string, unknown> },
  ) => Promise<Response>;
  /**
   * Replaces all faults of this Worker's bindings; `{}` clears them. On `home` they meet the objects' own calls (the
   * registry's delivery to KV and meters, the consumer's to ledgers); on an edge, the gateway's.
   */
  readonly setFaults: (faults: Faults) => Promise<void>;
  /** Sets this Worker's clock (on `home` that of the objects too) so far before or behind the machine's; 0 sets it right. */
  readonly setClock: (offsetMs: number) => Promise<void>;
  /** How often this Worker called each binding method since the last `resetCalls`. */
  readonly calls: () => Promise<CallCounts>;
  readonly resetCalls: () => Promise<void>;
}

export interface KeptKv {
  readonly get: (key: string) => Promise<string | null>;
  readonly put: (key: string, value: string) => Promise<void>;
  readonly delete: (key: string) => Promise<void>;
  readonly keys: () => Promise<readonly string[]>;
}

export interface Edges {
  readonly edges: readonly Edge[];
  /** Serves the control API too; `control(harness.home)` works. */
  readonly home: Edge;
  readonly rootToken: string;
  /** What KV really holds, past every fault: to look, or to put an old record back. */
  readonly kv: KeptKv;
  /** Puts a message on the usage queue as it stands. */
  readonly enqueue: (message: unknown) => Promise<void>;
  /** What a bucket holds, by name. */
  readonly objects: (bucket: string) => Promise<ReadonlyMap<string, Uint8Array>>;
  /** Messages that reached the dead-letter queue. */
  readonly deadLetters: () => Promise<readonly unknown[]>;
  /** Fires the cron trigger of `home` once. */
  readonly runScheduled: () => Promise<void>;
  /** Drops an object's memory; storage stays. */
  readonly evict: (className: string, name: string) => Promise<void>;
  /** Ends a meter's object at once, with every call in it; storage stays. */
  readonly crashMeter: (name: string) => Promise<void>;
  /** The same for a lease broker, which has none. */
  readonly crashBroker: (name: string) => Promise<void>;
  /** SIGKILL for the whole runtime, then a new one on the same storage. URLs change; faults are gone. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** The Worker's name in `npm start` too: object ids depend on it. */
const HOME = "latchkey";
const DEAD_LETTERS = "dead-letters";
const DEFAULT_IP = "192.0.2.1";
const FAULTY_WORKER = path.join(import.meta.dirname, "faulty-worker.ts");

/** Keeps what the dead-letter queue brings, and tells. */
const DEAD_LETTER_WORKER = `const kept = [];
export default {
  fetch: () => Response.json(kept),
  queue: (batch) => { for (const { body } of batch.messages) kept.push(body); },
};`;

const built = new Map<string, Promise<Bundle>>();

/** Once per test process and entry. */
function buildOnce(entry: string): Promise<Bundle> {
  let bundle = built.get(entry);
  if (bundle === undefined) {
    bundle = mkdtemp(path.join(tmpdir(), "latchkey-faulty-")).then((directory) => {
      process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
      return bundleWorker(directory, entry);
    });
    built.set(entry, bundle);
  }
  return bundle;
}

interface Plan {
  readonly bundle: Bundle;
  readonly storage: string;
  readonly names: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** Over those of wrangler.toml. */
  readonly consumer: { readonly maxRetries?: number; readonly maxBatchTimeout?: number };
  readonly queues: Readonly<Record<string, string>>;
  readonly buckets: readonly string[];
}

async function planOptions({
  bundle,
  storage,
  names,
  variables,
  consumer,
  queues,
  buckets,
}: Plan): Promise<ConstructorParameters<typeof Miniflare>[0]> {
  const { config, workerOptions } = readWorkerOptions(storage);
  const contents = await readFile(bundle.main, "utf8");
  // wrangler's types leave these shapes open; they are those of wrangler.toml.
  const objects = workerOptions["durableObjects"] as Readonly<
    Record<string, { className: string; useSQLite: boolean }>
  >;
  const shipped = workerOptions["queueConsumers"] as Readonly<Record<string, { deadLetterQueue: string }>>;
  const producers = workerOptions["queueProducers"] as Readonly<Record<string, { queueName: string }>>;
  const living = Object.values(queues).filter((queue) => !queue.endsWith("-dead"));
  const consumers = {
    ...shipped,
    ...Object.fromEntries(
      living.map((queue) => [queue, { maxBatchTimeout: 0, maxRetries: 100, deadLetterQueue: `${queue}-dead` }]),
    ),
  };
  const shared: V4WorkerOptions = {
    ...workerOptions,
    rootPath: bundle.directory,
    modules: [{ type: "ESModule", path: bundle.main, contents }],
    bindings: { ...config.vars, ...variables },
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    stripCfConnectingIp: false,
  };
  const edge: V4WorkerOptions = {
    ...shared,
    queueConsumers: {},
    cronTriggers: [],
    durableObjects: Object.fromEntries(
      Object.entries(objects).map(([binding, object]) => [binding, { ...object, scriptName: HOME }]),
    ),
  };
  return convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    telemetry: { enabled: false },
    log: new Log(LogLevel.ERROR),
    handleStructuredLogs: () => undefined,
    resourcePersistencePath: storage,
    workers: [
      {
        ...shared,
        name: HOME,
        queueProducers: {
          ...producers,
          ...Object.fromEntries(Object.entries(queues).map(([binding, queueName]) => [binding, { queueName }])),
        },
        r2Buckets: Object.fromEntries(buckets.map((name) => [name, name.toLowerCase()])),
        queueConsumers: Object.fromEntries(
          Object.entries(consumers).map(([queue, configured]) => [queue, { ...configured, ...consumer }]),
        ),
      },
      ...names.map((name) => ({ ...edge, name })),
      {
        name: DEAD_LETTERS,
        modules: true,
        script: DEAD_LETTER_WORKER,
        compatibilityDate: config.compatibility_date ?? "2026-10-23",
        queueConsumers: Object.fromEntries(
          Object.values(consumers).map(({ deadLetterQueue }) => [deadLetterQueue, { maxBatchTimeout: 0 }]),
        ),
        unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
      },
    ],
  });
}

/** `urls` is read at each call: a restart changes it. */
function makeEdge(name: string, rootToken: string, urls: ReadonlyMap<string, string>): Edge {
  const url = (): string => urls.get(name) ?? "";
  const send = async (pathname: string, init?: RequestInit): Promise<Response> => {
    const response = await fetch(`${url()}${pathname}`, init);
    if (!response.ok) throw new Error(`${name} answered ${response.status} to ${pathname}: ${await response.text()}`);
    return response;
  };
  return {
    name,
    get url() {
      return url();
    },
    rootToken,
    fetch: (target, { ip = DEFAULT_IP, cf, headers, ...init } = {}) => {
      const all = new Headers(headers);
      all.set("cf-connecting-ip", ip);
      if (cf !== undefined) all.set("mf-cf-blob", JSON.stringify(cf));
      return fetch(`${url()}${target}`, { redirect: "manual", ...init, headers: all });
    },
    setFaults: async (faults) => void (await send(FAULTS_PATH, { method: "POST", body: JSON.stringify(faults) })),
    setClock: async (offsetMs) => void (await send(CLOCK_PATH, { method: "POST", body: JSON.stringify({ offsetMs }) })),
    calls: async () => (await (await send(CALLS_PATH)).json()) as CallCounts, // faulty-worker.ts answers in this shape
    resetCalls: async () => void (await send(CALLS_PATH, { method: "DELETE" })),
  };
}

async function readBucket(miniflare: Miniflare, binding: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const bucket = await miniflare.getR2Bucket(binding, HOME);
  const found = new Map<string, Uint8Array>();
  for (const { key } of (await bucket.list()).objects) {
    found.set(key, new Uint8Array((await (await bucket.get(key))?.arrayBuffer()) ?? []));
  }
  return found;
}

/** Starts `count` edges and their home. `stop` ends all and removes what was stored. */
export async function startEdges(options: EdgesOptions): Promise<Edges> {
  const bundle = await buildOnce(options.entry ?? FAULTY_WORKER);
  const storage = await mkdtemp(path.join(options.storageUnder ?? tmpdir(), "latchkey-edges-"));
  // Ctrl-C ends the process through the runtime's own handler, before any other.
  const forget = (): void => rmSync(storage, { recursive: true, force: true });
  process.once("exit", forget);
  const origin = options.upstream === undefined ? await startDemoOrigin() : null;
  const rootToken = `lkroot_${"t".repeat(43)}`;
  const names = Array.from({ length: options.count }, (_, index) => `edge-${index}`);
  const plan: Plan = {
    bundle,
    storage,
    names,
    queues: options.queues ?? {},
    buckets: options.buckets ?? [],
    consumer: {
      ...(options.maxRetries === undefined ? {} : { maxRetries: options.maxRetries }),
      ...(options.maxBatchTimeout === undefined ? {} : { maxBatchTimeout: options.maxBatchTimeout }),
    },
    variables: {
      LATCHKEY_ROOT_TOKEN: rootToken,
      LATCHKEY_TOKEN_SECRET: "s".repeat(43),
      LATCHKEY_UPSTREAM_URL: options.upstream ?? origin?.url ?? "",
      ...options.variables,
    },
  };
  const urls = new Map<string, string>();
  const start = async (): Promise<Miniflare> => {
    const miniflare = new Miniflare(await planOptions(plan));
    await miniflare.ready;
    for (const name of [HOME, DEAD_LETTERS, ...names])
      urls.set(name, (await miniflare.unsafeGetDirectURL(name)).origin);
    return miniflare;
  };
  let miniflare = await start();
  const kv = () => miniflare.getKVNamespace("KEYS", HOME);
  const crash = async (binding: "KEY_METER" | "LEASE_BROKER" | "REPLAY_GUARD", name: string): Promise<void> => {
    const body = JSON.stringify({ binding, name });
    const crashed = await fetch(`${urls.get(HOME)}${CRASH_PATH}`, { method: "POST", body });
    if (!crashed.ok) throw new Error(`${name} was not crashed: ${await crashed.text()}`);
  };
  return {
    edges: names.map((name) => makeEdge(name, rootToken, urls)),
    home: makeEdge(HOME, rootToken, urls),
    rootToken,
    kv: {
      get: async (key) => await (await kv()).get(key, "text"),
      put: async (key, value) => await (await kv()).put(key, value),
      delete: async (key) => await (await kv()).delete(key),
      keys: async () => (await (await kv()).list()).keys.map(({ name }) => name),
    },
    enqueue: async (message) => void (await (await miniflare.getQueueProducer("USAGE", HOME)).send(message)),
    objects: (bucket) => readBucket(miniflare, bucket),
    deadLetters: async () => (await (await fetch(urls.get(DEAD_LETTERS) ?? "")).json()) as unknown[], // see DEAD_LETTER_WORKER
    runScheduled: async () => void (await (await miniflare.getWorker(HOME)).scheduled({ cron: "* * * * *" })),
    evict: (className, name) => miniflare.unsafeEvictDurableObject(HOME, className, { name }),
    crashMeter: (name) => crash("KEY_METER", name),
    crashBroker: (name) => crash("LEASE_BROKER", name),
    restart: async () => {
      await miniflare.dispose();
      miniflare = await start();
    },
    stop: async () => {
      await miniflare.dispose();
      await origin?.close();
      await rm(storage, { recursive: true, force: true });
      process.off("exit", forget);
    },
  };
}
