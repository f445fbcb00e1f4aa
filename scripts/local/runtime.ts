import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";
import type { Bundle } from "./bundle.ts";
import { readWorkerOptions } from "./worker-options.ts";

/** The name of the Worker; object ids, and so all stored state, depend on it. */
const WORKER_NAME = "latchkey";

/** The only schedule that local running fires. */
const EVERY_MINUTE = "* * * * *";

export interface RuntimeOptions {
  /** The state directory: KV, objects and rate limits are kept below it. */
  readonly stateDirectory: string;
  readonly bundle: Promise<Bundle>;
  /** Variables and secrets, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
  /** Called with each workerd process, also one that replaces a crashed one. */
  readonly onProcess: (child: ChildProcess) => void;
  /** `false`: the queue hands on each message at once, and does not wait for more of them. Default as wrangler.toml says. */
  readonly queueWaits?: boolean;
}

export interface Runtime {
  /** Where the Worker itself listens: a free loopback port. It believes what it is told there, so only the front may speak to it. */
  readonly url: () => Promise<URL>;
  /** Runs the Worker's `scheduled` handler once. */
  readonly runScheduled: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Miniflare does not show its child process; Node's own diagnostics do. */
function watchWorkerd(onProcess: (child: ChildProcess) => void): () => void {
  const listener = (message: unknown): void => {
    const child = (message as { process: ChildProcess }).process; // documented shape of the `child_process` channel
    // The channel speaks before the process has an id.
    setImmediate(() => {
      if (child.spawnfile?.includes("workerd") && child.pid !== undefined) onProcess(child);
    });
  };
  subscribe("child_process", listener);
  return () => unsubscribe("child_process", listener);
}

/** Serves the built Worker with embedded KV, Durable Objects, Queue and rate limits: what `wrangler dev` uses. */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { config, workerOptions } = readWorkerOptions(options.stateDirectory);
  const other = config.triggers.crons?.find((cron: string) => cron !== EVERY_MINUTE);
  if (other !== undefined) throw new Error(`npm start can only fire the schedule "${EVERY_MINUTE}", not "${other}"`);
  const bundle = await options.bundle;
  if (options.queueWaits === false) {
    // Made by wrangler of the consumers in wrangler.toml.
    const consumers = workerOptions["queueConsumers"] as Record<string, { maxBatchTimeout?: number }>;
    for (const consumer of Object.values(consumers)) consumer.maxBatchTimeout = 0;
  }
  const forget = watchWorkerd(options.onProcess);
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.ERROR),
      resourcePersistencePath: path.join(options.stateDirectory, "data"),
      workers: [
        {
          ...workerOptions,
          name: WORKER_NAME,
          rootPath: bundle.directory,
          modules: [{ type: "ESModule", path: bundle.main, contents: await readFile(bundle.main, "utf8") }],
          bindings: { ...config.vars, ...options.variables },
          unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
          // What the Worker sends upstream goes out as it stands.
          stripCfConnectingIp: false,
        },
      ],
    }),
  );
  try {
    await miniflare.ready;
  } catch (error) {
    await miniflare.dispose().catch(() => undefined);
    throw error;
  }
  return {
    url: () => miniflare.unsafeGetDirectURL(WORKER_NAME),
    runScheduled: async () => {
      const worker = await miniflare.getWorker(WORKER_NAME);
      await worker.scheduled({ cron: EVERY_MINUTE });
    },
    stop: async () => {
      await miniflare.dispose();
      forget();
    },
  };
}
