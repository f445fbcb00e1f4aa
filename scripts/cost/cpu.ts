import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { cpuTimeOf } from "../bench/cpu-time.ts";
import { ROOT } from "../local/bundle.ts";

/** Processor time per request: from the benchmark where there is one, which measures the Worker alone; else from the cost run itself. */

export interface CpuFigures {
  /** ms per request on a warm isolate, on a cold one, and of the naive gateway. */
  readonly warmMs: number;
  readonly coldMs: number;
  readonly naiveMs: number;
  readonly source: string;
}

/** What `npm run bench` keeps. */
const BENCH_FILE = path.join(ROOT, "docs/benchmarks.json");

/** From `--json FILE` of `npm run bench`; without a file, from the one kept in docs, if there is one. */
export function readBenchCpu(file: string | undefined): CpuFigures | null {
  if (file === undefined && !existsSync(BENCH_FILE)) return null;
  const figures: unknown = JSON.parse(readFileSync(file ?? BENCH_FILE, "utf8"));
  const warmMs = cpuMsOf(figures, "latchkey");
  if (warmMs === null) {
    if (file === undefined) return null;
    throw new Error(`${file} does not say what a request of "latchkey" takes: not a file of npm run bench`);
  }
  return {
    warmMs,
    coldMs: cpuMsOf(figures, "cold") ?? cpuMsOf(figures, "cold-key") ?? 2 * warmMs,
    naiveMs: cpuMsOf(figures, "naive") ?? 2 * warmMs,
    source: "npm run bench, the whole process that serves the Worker",
  };
}

function cpuMsOf(figures: unknown, candidate: string): number | null {
  let at: unknown = figures;
  for (const name of ["candidates", candidate, "cpuMicrosPerRequest"]) {
    if (typeof at !== "object" || at === null) return null;
    at = Reflect.get(at, name);
  }
  return typeof at === "number" && at > 0 ? at / 1_000 : null;
}

/** Of the runtime that this process started, so far; `null` where the system does not tell. */
export function runtimeCpuMicros(): number | null {
  try {
    const children = execFileSync("ps", ["-o", "pid=,comm=", "--ppid", String(process.pid)], { encoding: "utf8" });
    const pids = children
      .split("\n")
      .filter((line) => line.includes("workerd"))
      .map((line) => Number.parseInt(line, 10));
    return pids.length === 0 ? null : cpuTimeOf(pids).scheduledMicros;
  } catch {
    return null;
  }
}
