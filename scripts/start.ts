/** `npm start`: the gateway on loopback, over embedded KV, Durable Objects and Queue, with a demo origin. */
import path from "node:path";
import { parseArgs } from "node:util";
import { startDemoOrigin } from "./demo-origin.ts";
import type { DemoOrigin } from "./demo-origin.ts";
import { ROOT, bundleWorker } from "./local/bundle.ts";
import { obtainDemoKey, waitUntilServing } from "./local/demo-key.ts";
import { startFront } from "./local/front.ts";
import type { Front } from "./local/front.ts";
import { devVarsPath, readVariables } from "./local/secrets.ts";
import { guardState, watchNpm } from "./local/state-guard.ts";
import type { StateGuard } from "./local/state-guard.ts";
import type { Runtime } from "./local/runtime.ts";

const HELP = `Usage: npm start -- [options]

Serves Latchkey on http://localhost:8787 with embedded storage and a demo origin.

  --port N        port to serve on; 0 takes a free one   (default 8787)
  --state DIR     where data is kept                     (default .wrangler/latchkey)
  --upstream URL  forward to this API instead of the demo origin
  --help          this text

Variables and secrets come from the environment (LATCHKEY_*) and from .dev.vars, which is made on first run.
`;

const DEFAULT_PORT = 8787;

/** Events leave an isolate within 1 s and the queue within another; a stop waits for those of the last requests. */
const SETTLE_MS = 2_200;

const REPEATED_SIGNAL_MS = 500;

/** Cloudflare's code for an unknown country. */
const UNKNOWN_COUNTRY = "XX";

interface Options {
  readonly port: number;
  readonly stateDirectory: string;
  readonly upstream: string | null;
}

class UsageError extends Error {}

function readUpstream(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new UsageError(`--upstream must be an http or https URL, not "${text}"`);
  return text;
}

/** `null`: help was asked for. */
function readOptions(argv: readonly string[]): Options | null {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        port: { type: "string" },
        state: { type: "string" },
        upstream: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return null;
  const port = values.port ?? String(DEFAULT_PORT);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new UsageError(`--port must be 0 to 65535, not "${port}"`);
  if (values.state === "") throw new UsageError("--state must name a directory");
  return {
    port: Number(port),
    stateDirectory: path.resolve(values.state ?? path.join(ROOT, ".wrangler/latchkey")),
    upstream: values.upstream === undefined ? null : readUpstream(values.upstream),
  };
}

/** Everything that was started, so that it can be stopped, whole or half done. */
interface Started {
  guard?: StateGuard;
  front?: Front;
  origin?: DemoOrigin;
  runtime?: Runtime;
  cron?: NodeJS.Timeout;
}

async function stopAll(started: Started, settle: boolean): Promise<void> {
  clearInterval(started.cron);
  started.guard?.markStopping();
  const lastUse = started.front?.lastUseTime() ?? 0;
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

async function start(options: Options, started: Started): Promise<void> {
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
    const bundle = bundleWorker(path.join(stateDirectory, "bundle"));
    bundle.catch(() => undefined);
    const variables = readVariables(process.env);
    const upstream = options.upstream ?? variables["LATCHKEY_UPSTREAM_URL"] ?? "";
    if (upstream === "") started.origin = await startDemoOrigin();
    variables["LATCHKEY_UPSTREAM_URL"] = upstream === "" ? (started.origin?.url ?? "") : upstream;
    // Loaded here because it takes most of a second, in which the bundle is built.
    const { startRuntime } = await import("./local/runtime.ts");
    started.runtime = await startRuntime({ stateDirectory, bundle, variables, onProcess: guard.watch });
    ready.resolve(started.runtime);
    started.cron = startCron(started.runtime);

    const rootToken = variables["LATCHKEY_ROOT_TOKEN"] ?? "";
    const address = { port, host: variables["LATCHKEY_CONTROL_HOST"] || `localhost:${port}` };
    await waitUntilServing(address);
    const demoKey = await obtainDemoKey(stateDirectory, address, rootToken).catch((error: unknown) => {
      console.error(`There is no demo key: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    });
    printWelcome({ port, stateDirectory, rootToken, demoKey, upstream: variables["LATCHKEY_UPSTREAM_URL"] });
  } catch (error) {
    ready.reject(error);
    throw error;
  }
}

interface Welcome {
  readonly port: number;
  readonly stateDirectory: string;
  readonly rootToken: string;
  readonly demoKey: string | null;
  readonly upstream: string;
}

function printWelcome({ port, stateDirectory, rootToken, demoKey, upstream }: Welcome): void {
  const url = `http://localhost:${port}`;
  const fromEnvironment = process.env["LATCHKEY_ROOT_TOKEN"] === rootToken;
  const relative = (file: string): string => path.relative(process.cwd(), file) || ".";
  const lines = [
    "",
    ...(demoKey === null
      ? []
      : [
          `  Demo key     ${demoKey}`,
          `  Try it       curl -i -H "Authorization: Bearer ${demoKey}" ${url}/reports/today`,
        ]),
    `  Root token   ${rootToken}`,
    `               (${fromEnvironment ? "from the environment" : `kept in ${relative(devVarsPath(process.env))}`})`,
    `  Pages        ${url}/_latchkey/  (sign in with the root token)`,
    `  Control API  ${url}/_latchkey/docs`,
    `  Upstream     ${upstream}`,
    `  Data         ${relative(stateDirectory)}`,
    "",
    `Latchkey ready on ${url}`,
  ];
  console.log(lines.join("\n"));
}

function explain(error: unknown, port: number): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code; // undefined on errors that are not the system's
  if (code === "EADDRINUSE")
    return `Port ${port} is taken. Stop what listens there, or choose another with: npm start -- --port N`;
  if (code === "EACCES") return `This user may not listen on port ${port}. Choose another with: npm start -- --port N`;
  return error.message;
}

async function main(): Promise<void> {
  let options: Options | null;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${HELP}`);
    process.exitCode = 2;
    return;
  }
  if (options === null) {
    process.stdout.write(HELP);
    return;
  }
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
    await start(options, started);
  } catch (error) {
    if (stopping > 0) return;
    console.error(explain(error, options.port));
    await stopAll(started, false).catch(() => undefined);
    process.exit(1);
  }
}

await main();
