import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { bundleWorker } from "../local/bundle.ts";
import { type Runtime, startRuntime } from "../local/runtime.ts";
import { INGEST_PATH, type IngestOrder } from "./order.ts";

/** A local Latchkey whose queue can be filled, on a state directory that outlives it. */

const ROOT_TOKEN = `lkroot_${"i".repeat(43)}`;
const TIMEOUT_MS = 30_000;
/** Linux counts a process's time in these. */
const TICKS_PER_SECOND = 100;

export interface IngestServer {
  /** Resolves when the queue has taken all. */
  readonly send: (order: IngestOrder) => Promise<void>;
  /** Requests that the ledger has counted. */
  readonly counted: () => Promise<number>;
  /** Of one question of a dashboard, ms. */
  readonly timeQuestion: (query: string) => Promise<number>;
  /** Processor time of the runtime's process so far; `null` where it cannot be read. */
  readonly cpuSeconds: () => Promise<number | null>;
  /** SIGKILL for the runtime's process, and a new one on the same state. */
  readonly killAndStart: () => Promise<void>;
  /** Takes the state away. */
  readonly stop: () => Promise<void>;
}

export async function startIngestServer(): Promise<IngestServer> {
  const directory = await mkdtemp(path.join(tmpdir(), "latchkey-ingest-"));
  const bundle = bundleWorker(path.join(directory, "bundle"), path.join(import.meta.dirname, "producer-worker.ts"));
  let child: ChildProcess | null = null;
  let runtime: Runtime | null = null;
  let origin = "";
  const start = async (): Promise<void> => {
    runtime = await startRuntime({
      stateDirectory: directory,
      bundle,
      variables: { LATCHKEY_ROOT_TOKEN: ROOT_TOKEN, LATCHKEY_UPSTREAM_URL: "http://localhost:9" },
      onProcess: (started) => (child = started),
    });
    origin = (await runtime.url()).origin;
  };
  const ask = async (target: string, init: RequestInit = {}): Promise<Response> => {
    const headers = { authorization: `Bearer ${ROOT_TOKEN}`, "content-type": "application/json" };
    const answer = await fetch(origin + target, { headers, ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`${target} answers ${answer.status}: ${await answer.text()}`);
    return answer;
  };
  await start();
  return {
    send: async (order) => {
      await (await ask(INGEST_PATH, { method: "POST", body: JSON.stringify(order) })).arrayBuffer();
    },
    counted: async () => {
      const answer = (await (await ask("/_latchkey/v1/usage")).json()) as { totals: { requests: number } };
      return answer.totals.requests;
    },
    timeQuestion: async (query) => {
      const from = performance.now();
      await (await ask(`/_latchkey/v1/usage${query}`)).arrayBuffer();
      return performance.now() - from;
    },
    cpuSeconds: () => readCpuSeconds(child),
    killAndStart: async () => {
      const killed = child;
      const gone = new Promise((resolve) => killed?.once("exit", resolve));
      killed?.kill("SIGKILL");
      await gone;
      await runtime?.stop();
      await start();
    },
    stop: async () => {
      await runtime?.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** proc(5): fields 14 and 15 of `stat`, after the name in parentheses. */
async function readCpuSeconds(child: ChildProcess | null): Promise<number | null> {
  try {
    const stat = await readFile(`/proc/${child?.pid ?? 0}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return null;
  }
}
