import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import path from "node:path";
import { ROOT } from "../local/bundle.ts";
import { identifyProcess } from "../local/process-identity.ts";

/** Servers of a candidate must not outlive a benchmark that was killed: `scripts/local/watchdog.ts` ends them then. */

let watchdog: ChildProcess | null = null;

/** For processes that would not notice by themselves that the benchmark is gone. */
export function endWithBenchmark(pid: number): void {
  watchdog ??= startWatchdog();
  const identity = identifyProcess(pid);
  if (identity !== null) watchdog.stdin?.write(`${JSON.stringify({ pid, identity })}\n`);
}

function startWatchdog(): ChildProcess {
  const file = path.join(ROOT, "scripts/local/watchdog.ts");
  // Out of the terminal's group: Ctrl-C must not end it first. Its input ends with this process, however that ends.
  const child = spawn(process.execPath, [file], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  child.unref();
  child.stdin.on("error", () => undefined);
  if ("unref" in child.stdin && typeof child.stdin.unref === "function") child.stdin.unref();
  return child;
}
