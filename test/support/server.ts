import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** Black-box tests run the product as a user does: `npm start`, in a process of its own, spoken to over HTTP. */

export interface ServerOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** Where data is kept; given, it is left in place by `stop`. Default: a new temporary directory, removed by `stop`. */
  readonly state?: string;
  /** Further variables of the process, `LATCHKEY_…` ones reach the Worker. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the demo origin. */
  readonly upstream?: string;
  /** `npm run demo` in place of `npm start`, filled with so many days; it has no demo key. */
  readonly demo?: { readonly days: number };
}

export interface Server {
  /** `http://localhost:PORT`. */
  readonly url: string;
  readonly port: number;
  readonly rootToken: string;
  /** A working key of owner `demo`, environment `test`, with `reports:read` and `charges:write`. */
  readonly demoKey: string;
  /** The state directory, for starting again on it. */
  readonly state: string;
  /** The `npm start` process's own id, which leads its process group. */
  readonly pid: number;
  /** SIGTERM, and waits until it is gone. */
  readonly stop: () => Promise<void>;
  /** SIGKILL for the process alone (`process`), or for all of its group, the runtime included (`group`, the default). Keeps the state. */
  readonly kill: (what?: "process" | "group") => Promise<void>;
  /** Everything that it printed so far, both streams. */
  readonly logs: () => string;
}

const ROOT = path.resolve(import.meta.dirname, "../..");
const START_TIMEOUT_MS = 60_000;

function spawnStart(options: ServerOptions, state: string, rootToken: string): ChildProcess {
  const args = [
    path.join(ROOT, options.demo === undefined ? "scripts/start.ts" : "scripts/demo.ts"),
    "--port",
    String(options.port ?? 0),
    "--state",
    path.join(state, "state"),
  ];
  if (options.upstream !== undefined) args.push("--upstream", options.upstream);
  if (options.demo !== undefined) args.push("--days", String(options.demo.days));
  const { npm_lifecycle_event: _, ...environment } = process.env; // we are not npm: it must not wait for our end
  return spawn(process.execPath, args, {
    cwd: ROOT,
    // A group of its own, so that `kill` can take all of it.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...environment,
      NO_COLOR: "1",
      LATCHKEY_DEV_VARS: path.join(state, "dev.vars"),
      LATCHKEY_ROOT_TOKEN: rootToken,
      ...options.env,
    },
  });
}

/** Resolves with the port of the ready line; rejects with what was printed when the process ends first or takes too long. */
function awaitReady(child: ChildProcess, logs: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(new Error(`The server ${why}. It printed:\n${logs()}`));
    };
    const timer = setTimeout(() => {
      fail(`was not ready within ${START_TIMEOUT_MS / 1_000} s`);
      child.kill("SIGKILL");
    }, START_TIMEOUT_MS);
    child.once("exit", (code) => fail(`ended with ${code}`));
    child.stdout?.on("data", () => {
      const port = /^Latchkey ready on http:\/\/localhost:(\d+)$/m.exec(logs())?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      child.removeAllListeners("exit");
      resolve(Number(port));
    });
  });
}

/** Starts Latchkey and waits until it serves. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const state = options.state ?? (await mkdtemp(path.join(tmpdir(), "latchkey-test-")));
  const rootToken = options.env?.["LATCHKEY_ROOT_TOKEN"] ?? `lkroot_${randomBytes(32).toString("base64url")}`;
  const child = spawnStart(options, state, rootToken);
  let printed = "";
  child.stdout?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const gone = new Promise<void>((resolve) => void child.once("close", () => resolve()));
  const port = await awaitReady(child, () => printed);
  const pid = child.pid ?? 0;
  return {
    url: `http://localhost:${port}`,
    port,
    rootToken,
    demoKey: options.demo === undefined ? (await readFile(path.join(state, "state/demo-key"), "utf8")).trim() : "",
    state,
    pid,
    stop: async () => {
      child.kill("SIGTERM");
      await gone;
      if (options.state === undefined) await rm(state, { recursive: true, force: true });
    },
    kill: async (what = "group") => {
      process.kill(what === "group" ? -pid : pid, "SIGKILL");
      await gone;
    },
    logs: () => printed,
  };
}
