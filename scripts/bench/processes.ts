import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";

/** Children of the benchmark: started with one JSON line, ended for certain. */

const END_TIMEOUT_MS = 5_000;

/** Those that run now, whoever waits for them. */
const children = new Set<ChildProcess>();
let ending = false;

/** Ends with the benchmark, also when that is interrupted while whoever started the child still waits for it. */
export function adopt(child: ChildProcess): void {
  children.add(child);
  child.once("exit", () => children.delete(child));
  if (ending) child.kill("SIGKILL");
}

/** Whatever is started from now on is killed at once: nobody will wait for it. */
export function killNewcomers(): void {
  ending = true;
}

/** Ends what is left. */
export async function endAll(): Promise<void> {
  await Promise.all([...children].map(endProcess));
}

/** Asks to end, then kills. Resolves once it is gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

export interface Helper {
  readonly child: ChildProcess;
  /** The next JSON line of its standard output. Rejects when it ends first. */
  readonly nextLine: () => Promise<unknown>;
}

/** Runs a TypeScript file of this folder in a Node of its own; `input` is the one JSON line that it reads. */
export function startHelper(file: string, input: unknown): Helper {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, file)], { stdio: ["pipe", "pipe", "inherit"] });
  adopt(child);
  child.stdin.on("error", () => undefined);
  child.stdin.write(`${JSON.stringify(input)}\n`);
  const lines: unknown[] = [];
  const waiting: { readonly resolve: (line: unknown) => void; readonly reject: (error: Error) => void }[] = [];
  let ended = false;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const value: unknown = JSON.parse(line);
    const next = waiting.shift();
    if (next === undefined) lines.push(value);
    else next.resolve(value);
  });
  child.once("close", () => {
    ended = true;
    for (const { reject } of waiting.splice(0)) reject(new Error(`${file} ended without an answer`));
  });
  return {
    child,
    nextLine: () => {
      if (lines.length > 0) return Promise.resolve(lines.shift());
      if (ended) return Promise.reject(new Error(`${file} ended without an answer`));
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
  };
}
