import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identifyProcess, isSameProcess, readParent } from "./process-identity.ts";

/** Keeps a state directory to one running Latchkey, and lets nothing that was started outlive it. */

interface ProcessNote {
  readonly pid: number;
  readonly identity: string;
}

/** Who runs on a state directory: kept in its `running.json` while it runs. */
interface RunningNote {
  readonly owner: ProcessNote;
  /** npm and its shell, when they started the owner: it ends soon after they do. */
  readonly npm: readonly ProcessNote[];
  readonly stopping: boolean;
  readonly workers: readonly ProcessNote[];
}

export interface StateGuard {
  /** From now on this process ends with us. */
  readonly watch: (child: ChildProcess) => void;
  /** Says that we are about to end, so that the next start waits for it. */
  readonly markStopping: () => void;
  readonly release: () => void;
}

/** A killed process is gone within milliseconds; after this it is stuck in the kernel. */
const KILL_WAIT_MS = 5_000;
/** A stop takes at most some seconds: the last events are written. */
const STOP_WAIT_MS = 15_000;
const PARENT_POLL_MS = 250;

function note(pid: number): ProcessNote | null {
  const identity = identifyProcess(pid);
  return identity === null ? null : { pid, identity };
}

function readNote(file: string): RunningNote | null {
  try {
    const value = JSON.parse(readFileSync(file, "utf8")) as Partial<RunningNote>; // our own file; damaged ones are ignored
    const { owner, npm, stopping, workers } = value;
    if (owner === undefined || !Array.isArray(npm) || !Array.isArray(workers)) return null;
    return { owner, npm, stopping: stopping === true, workers };
  } catch {
    return null;
  }
}

function isAlive({ pid, identity }: ProcessNote): boolean {
  return isSameProcess(pid, identity);
}

/** Waits for an earlier run that is ending; rejects when it is not. */
async function awaitEnd(file: string, stateDirectory: string): Promise<void> {
  const end = Date.now() + STOP_WAIT_MS;
  for (;;) {
    const running = readNote(file);
    if (running === null || running.owner.pid === process.pid || !isAlive(running.owner)) return;
    const ending = running.stopping || !running.npm.every(isAlive);
    if (!ending || Date.now() > end)
      throw new Error(
        `${stateDirectory} is in use by process ${running.owner.pid}. Stop it, or choose another --state.`,
      );
    await sleep(20);
  }
}

async function endLeftOver({ pid, identity }: ProcessNote): Promise<void> {
  if (!isSameProcess(pid, identity)) return;
  process.kill(pid, "SIGKILL");
  for (const end = Date.now() + KILL_WAIT_MS; isSameProcess(pid, identity); await sleep(20)) {
    if (Date.now() > end) throw new Error(`Process ${pid} of an earlier run does not end.`);
  }
}

/**
 * Takes a state directory. Ends what a killed run left behind; rejects when a living one has the directory.
 */
export async function guardState(stateDirectory: string): Promise<StateGuard> {
  mkdirSync(stateDirectory, { recursive: true });
  const file = path.join(stateDirectory, "running.json");
  await awaitEnd(file, stateDirectory);
  for (const worker of readNote(file)?.workers ?? []) await endLeftOver(worker);
  const owner = note(process.pid);
  const npm = findNpm();
  let workers: ProcessNote[] = [];
  let stopping = false;
  let released = false;
  const write = (): void => {
    // Whole or not at all: we may be killed at any moment.
    if (owner === null) return;
    writeFileSync(`${file}.new`, JSON.stringify({ owner, npm, stopping, workers } satisfies RunningNote));
    renameSync(`${file}.new`, file);
  };
  write();

  // In a session of its own, so that what is aimed at our process group does not hit it.
  const watchdog = spawn(process.execPath, [path.join(import.meta.dirname, "watchdog.ts")], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watchdog.unref();
  watchdog.on("error", () => undefined);
  watchdog.stdin.on("error", () => undefined);

  return {
    watch: (child) => {
      const worker = child.pid === undefined ? null : note(child.pid);
      if (worker === null) return;
      workers.push(worker);
      watchdog.stdin.write(`${JSON.stringify(worker)}\n`);
      write();
      child.once("exit", () => {
        workers = workers.filter(({ pid }) => pid !== worker.pid);
        if (!released) write();
      });
    },
    markStopping: () => {
      stopping = true;
      write();
    },
    release: () => {
      released = true;
      rmSync(file, { force: true });
      watchdog.stdin.end();
    },
  };
}

/** npm and the shell through which it runs scripts, if it was npm that started us. */
function findNpm(): ProcessNote[] {
  if (process.env["npm_lifecycle_event"] === undefined) return [];
  const parent = readParent(process.ppid);
  const throughShell = parent !== null && /^(?:ba|da|z)?sh$/.test(parent.name);
  return [process.ppid, ...(throughShell ? [parent.parent] : [])].map(note).filter((found) => found !== null);
}

/**
 * Calls `onGone` once npm, if it was npm that started us, is gone: nobody could stop us any more. A process started without
 * npm may well outlive its parent (`nohup`), so it is left alone.
 */
export function watchNpm(onGone: () => void): void {
  const npm = findNpm();
  const timer = setInterval(() => {
    if (npm.every(isAlive)) return;
    clearInterval(timer);
    onGone();
  }, PARENT_POLL_MS);
  timer.unref();
}
