import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ROOT } from "../local/bundle.ts";

/** `npm start` in a process of its own, on a state directory that outlives it: to kill, and to start again. */

export interface Server {
  readonly url: string;
  readonly rootToken: string;
  /** The runtime's process: all isolates and objects are in it. `null` when it is not running. */
  readonly runtimePid: () => Promise<number | null>;
  /** SIGKILL for `npm start` and its runtime. */
  readonly killAll: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface Install {
  /** Where the data is. */
  readonly directory: string;
  readonly start: () => Promise<Server>;
  /** Ends what runs, and removes the data. */
  readonly remove: () => Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

export async function makeInstall(): Promise<Install> {
  const directory = await mkdtemp(path.join(tmpdir(), "latchkey-drill-"));
  const rootToken = `lkroot_${randomBytes(32).toString("base64url")}`;
  let running: Promise<Server> | null = null;
  let leader: number | null = null;
  const onSpawn = (pid: number | null): void => void (leader = pid);
  // The process may end without asking anyone: Ctrl-C goes through the handler of the lab's runtime first.
  const abandon = (): void => {
    if (leader !== null) process.kill(-leader, "SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", abandon);
  return {
    directory,
    start: () => (running = startServer(directory, rootToken, onSpawn)),
    remove: async () => {
      await running?.then((server) => server.stop()).catch(() => undefined);
      await rm(directory, { recursive: true, force: true });
      process.off("exit", abandon);
    },
  };
}

/** `onSpawn` hears which process group runs, and `null` when it is gone. */
async function startServer(
  directory: string,
  rootToken: string,
  onSpawn: (leader: number | null) => void,
): Promise<Server> {
  const state = path.join(directory, "state");
  const { npm_lifecycle_event: _, ...environment } = process.env; // it is not npm that starts it: it must not wait for npm's end
  const child = spawn(process.execPath, [path.join(ROOT, "scripts/start.ts"), "--port", "0", "--state", state], {
    cwd: ROOT,
    // A group of its own, so that all of it can be killed at once.
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      ...environment,
      NO_COLOR: "1",
      LATCHKEY_DEV_VARS: path.join(directory, "dev.vars"),
      LATCHKEY_ROOT_TOKEN: rootToken,
    },
  });
  onSpawn(child.pid ?? null);
  const gone = new Promise<void>((resolve) => void child.once("close", () => resolve())).then(() => onSpawn(null));
  const url = await awaitReady(child);
  const end = async (signal: NodeJS.Signals, whom: number): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(whom, signal);
    await gone;
  };
  const pid = child.pid ?? 0;
  return {
    url,
    rootToken,
    runtimePid: async () => {
      const text = await readFile(path.join(state, "running.json"), "utf8");
      const { workers } = JSON.parse(text) as { readonly workers: readonly { readonly pid: number }[] }; // state-guard.ts writes it
      return workers.at(-1)?.pid ?? null;
    },
    killAll: () => end("SIGKILL", -pid),
    stop: () => end("SIGTERM", pid),
  };
}

function awaitReady(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`npm start ${why}. It printed:\n${printed}`));
    };
    const timer = setTimeout(() => fail("was not ready in time"), START_TIMEOUT_MS);
    child.once("exit", (code) => fail(`ended with ${code}`));
    // Read to its end, so that the process never waits for a full pipe.
    child.stdout?.on("data", (chunk: Buffer) => {
      if (printed.length < 10_000) printed += chunk.toString();
      const url = /^Latchkey ready on (http:\/\/localhost:\d+)$/m.exec(printed)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      child.removeAllListeners("exit");
      resolve(url);
    });
  });
}
