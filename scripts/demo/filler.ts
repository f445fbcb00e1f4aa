import type { ChildProcess } from "node:child_process";
import path from "node:path";
import { bundleWorker } from "../local/bundle.ts";
import { startRuntime } from "../local/runtime.ts";
import { END_PATH, type Step, STEP_PATH } from "./step.ts";

/** A Latchkey of its own on a state directory, whose clock and queue are driven from here. */

const CALL_TIMEOUT_MS = 60_000;

export interface Filler {
  /** One after the other; resolves when the next one may be made. */
  readonly step: (step: Step) => Promise<void>;
  /** Resolves when all steps are taken. Rejects when one of them failed. */
  readonly settled: () => Promise<void>;
  /** The control API at the clock's present time; gives the answer's body. */
  readonly call: (method: string, target: string, body?: unknown) => Promise<unknown>;
  /** Hands the alarms over to the runtime: after it no step is taken. */
  readonly end: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface FillerOptions {
  readonly stateDirectory: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly onProcess: (child: ChildProcess) => void;
}

export async function startFiller({ stateDirectory, variables, onProcess }: FillerOptions): Promise<Filler> {
  const runtime = await startRuntime({
    stateDirectory,
    bundle: bundleWorker(path.join(stateDirectory, "fill-bundle"), path.join(import.meta.dirname, "fill-worker.ts")),
    variables: { ...variables, LATCHKEY_CONTROL_HOST: "" },
    onProcess,
    queueWaits: false,
  });
  const { origin } = await runtime.url();
  const ask = async (method: string, target: string, body: unknown): Promise<unknown> => {
    const answer = await fetch(origin + target, {
      method,
      headers: {
        authorization: `Bearer ${variables["LATCHKEY_ROOT_TOKEN"] ?? ""}`,
        "content-type": "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    if (answer.ok) return await answer.json();
    throw new Error(`${method} ${target} was answered with ${answer.status}: ${await answer.text()}`);
  };
  let taken: Promise<unknown> = Promise.resolve();
  return {
    // While one is taken the next is made.
    step: async (step) => {
      await taken;
      taken = ask("POST", STEP_PATH, step);
      taken.catch(() => undefined);
    },
    settled: async () => void (await taken),
    call: (method, target, body) => ask(method, `/_latchkey/v1${target}`, body),
    end: async () => void (await ask("POST", END_PATH, {})),
    stop: runtime.stop,
  };
}
