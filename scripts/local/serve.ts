import path from "node:path";
import { startDemoOrigin } from "../demo-origin.ts";
import type { DemoOrigin } from "../demo-origin.ts";
import { bundleWorker } from "./bundle.ts";
import { waitUntilServing } from "./demo-key.ts";
import type { ControlAddress } from "./demo-key.ts";
import { startFront } from "./front.ts";
import type { Front } from "./front.ts";
import type { Runtime } from "./runtime.ts";
import { devVarsPath, readVariables } from "./secrets.ts";
import { guardState, watchNpm } from "./state-guard.ts";
import type { StateGuard } from "./state-guard.ts";

/** A gateway on loopback that a person starts and stops: what `npm start` and `npm run demo` share. */

/** Events leave an isolate within 1 s and the queue within another; a stop waits for those of the last requests. */
const SETTLE_MS = 2_200;

const REPEATED_SIGNAL_MS = 500;

/** Cloudflare's code for an unknown country. */
const UNKNOWN_COUNTRY = "XX";

export interface ServeOptions {
  readonly port: number;
  readonly stateDirectory: string;
  /** `null`: a demo origin is started. */
  readonly upstream: string | null;
  /** Another main module than the shipped one. */
  readonly entry?: string;
  /** Before the Worker starts, with the state in hand. */
  readonly prepare?: (guard: StateGuard, variables: Readonly<Record<string, string>>) => Promise<void>;
}

/** Everything that was started, so that it can be stopped, whole or half done. */
export interface Started {
  guard?: StateGuard;
  front?: Front;
  origin?: DemoOrigin;
  runtime?: Runtime;
  cron?: NodeJS.Timeout;
  /** Requests that are made from here, not by the front's clients. */
  traffic?: NodeJS.Timeout;
  /** When the last of them was made, epoch ms. */
  lastUse?: number;
}

export interface Serving {
  readonly address: ControlAddress;
  readonly runtime: Runtime;
  readonly rootToken: string;
  readonly upstream: string;
}

export async function serve(options: ServeOptions, started: Started): Promise<Serving> {
  const { stateDirectory } = options;
  started.guard = await guardState(stateDirectory);
  const { guard } = started;
  // Fails at once on a taken port; requests that come early wait for the Worker.
  const ready = Promise.withResolvers<Runtime>();
  ready.promise.catch(() => undefined);
  const country = process.env["LATCHKEY_LOCAL_COUNTRY"] ?? UNKNOWN_COUNTRY;
  started.front = await startFront(options.port, async () => (await ready.promise).url(), country);
  const { port } = started.front;
  try {
    const bundle = bundleWorker(path.join(stateDirectory, "bundle"), options.entry);
    bundle.catch(() => undefined);
    const variables = readVariables(process.env);
    const upstream = options.upstream ?? variables["LATCHKEY_UPSTREAM_URL"] ?? "";
    if (upstream === "") started.origin = await startDemoOrigin();
    variables["LATCHKEY_UPSTREAM_URL"] = upstream === "" ? (started.origin?.url ?? "") : upstream;
    await options.prepare?.(guard, variables);
    // Loaded here because it takes most of a second, in which the bundle is built.
    const { startRuntime } = await import("./runtime.ts");
    started.runtime = await startRuntime({ stateDirectory, bundle, variables, onProcess: guard.watch });
    ready.resolve(started.runtime);
    started.cron = startCron(started.runtime);
    const address = { port, host: variables["LATCHKEY_CONTROL_HOST"] || `localhost:${port}` };
    await waitUntilServing(address);
    return {
      address,
      runtime: started.runtime,
      rootToken: variables["LATCHKEY_ROOT_TOKEN"] ?? "",
      upstream: variables["LATCHKEY_UPSTREAM_URL"],
    };
  } catch (error) {
    ready.reject(error);
    throw error;
  }
}

/** Runs `begin` until a signal comes or npm is gone; then stops what was started, and ends the process. */
export async function untilStopped(port: number, begin: (started: Started) => Promise<void>): Promise<void> {
  const started: Started = {};
  let stopping = 0;
  const stop = (): void => {
    stopping = Date.now();
    stopAll(started, true).then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stopping === 0) stop();
      // Asked again: at once; the watchdog ends what is left. Ctrl-C comes twice by itself, from the terminal and from npm.
      else if (Date.now() - stopping > REPEATED_SIGNAL_MS) process.exit(1);
    });
  }
  watchNpm(() => {
    if (stopping === 0) stop();
  });
  try {
    await begin(started);
  } catch (error) {
    if (stopping > 0) return;
    console.error(explain(error, port));
    await stopAll(started, false).catch(() => undefined);
    process.exit(1);
  }
}

/** How the root token, the pages and the data of a running gateway are found. */
export function whereLines({ address, rootToken, upstream }: Serving, stateDirectory: string): readonly string[] {
  const url = `http://localhost:${address.port}`;
  const fromEnvironment = process.env["LATCHKEY_ROOT_TOKEN"] === rootToken;
  const relative = (file: string): string => path.relative(process.cwd(), file) || ".";
  return [
    `  Root token   ${rootToken}`,
    `               (${fromEnvironment ? "from the environment" : `kept in ${relative(devVarsPath(process.env))}`})`,
    `  Pages        ${url}/_latchkey/  (sign in with the root token)`,
    `  Control API  ${url}/_latchkey/docs`,
    `  Upstream     ${upstream}`,
    `  Data         ${relative(stateDirectory)}`,
    "",
    `Latchkey ready on ${url}`,
  ];
}

async function stopAll(started: Started, settle: boolean): Promise<void> {
  clearInterval(started.cron);
  clearInterval(started.traffic);
  started.guard?.markStopping();
  const lastUse = Math.max(started.lastUse ?? 0, started.front?.lastUseTime() ?? 0);
  await started.front?.close();
  const wait = settle ? lastUse + SETTLE_MS - Date.now() : 0;
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  await started.runtime?.stop();
  await started.origin?.close();
  started.guard?.release();
}

function startCron(runtime: Runtime): NodeJS.Timeout {
  const seconds = Number(process.env["LATCHKEY_LOCAL_CRON_SECONDS"] ?? 60);
  if (!(seconds > 0)) throw new Error("LATCHKEY_LOCAL_CRON_SECONDS must be a number of seconds");
  return setInterval(() => {
    runtime.runScheduled().catch((error: unknown) => console.error("The scheduled run failed:", error));
  }, seconds * 1_000);
}

function explain(error: unknown, port: number): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code; // undefined on errors that are not the system's
  if (code === "EADDRINUSE") return `Port ${port} is taken. Stop what listens there, or choose another with --port N.`;
  if (code === "EACCES") return `This user may not listen on port ${port}. Choose another with --port N.`;
  return error.message;
}
