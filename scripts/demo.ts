/** `npm run demo`: a week of customers, filled in through the real pipeline, and served with their traffic going on. */
import path from "node:path";
import { parseArgs } from "node:util";
import { startDemoOrigin } from "./demo-origin.ts";
import { isFilled, openDemo, type OpenedDemo } from "./demo/open.ts";
import { startTraffic } from "./demo/live.ts";
import { ROOT } from "./local/bundle.ts";
import { readCommandLine, readPort, readState, UsageError } from "./local/options.ts";
import { serve, type Serving, type Started, untilStopped, whereLines } from "./local/serve.ts";

const HELP = `Usage: npm run demo -- [options]

Fills a local Latchkey with a week of 40 customers and 300 keys, then serves it on http://localhost:8787 while their traffic
goes on. The week goes through the real queue, ledger, watch, meters and alerts with a clock that is moved; the first run takes
a minute or two, later ones start at once.

  --port N        port to serve on; 0 takes a free one   (default 8787)
  --state DIR     where data is kept                     (default .wrangler/latchkey-demo)
  --days N        fill only the last N days, 1 to 7      (default 7)
  --reset         fill anew
  --help          this text
`;

const DAYS = 7;

interface Options {
  readonly port: number;
  readonly stateDirectory: string;
  readonly days: number;
  readonly reset: boolean;
}

function readDays(text = String(DAYS)): number {
  if (/^[1-7]$/.test(text)) return Number(text);
  throw new UsageError(`--days must be 1 to ${DAYS}, not "${text}"`);
}

/** `null`: help was asked for. */
function readOptions(argv: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      port: { type: "string" },
      state: { type: "string" },
      days: { type: "string" },
      reset: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) return null;
  return {
    port: readPort(values.port),
    stateDirectory: readState(values.state, path.join(ROOT, ".wrangler/latchkey-demo")),
    days: readDays(values.days),
    reset: values.reset === true,
  };
}

function showProgress(share: number, hour: number): void {
  if (!process.stderr.isTTY) return;
  const what = share >= 1 ? "" : hour < 0 ? "what was usual before" : `day ${Math.floor(hour / 24) + 1}`;
  process.stderr.write(
    `\r  ${String(Math.floor(share * 100)).padStart(3)} %  ${what.padEnd(24)}${share >= 1 ? "\n" : ""}`,
  );
}

async function run({ port, stateDirectory, days, reset }: Options, started: Started): Promise<void> {
  started.origin = await startDemoOrigin();
  let demo: OpenedDemo | null = null;
  const serving = await serve(
    {
      port,
      stateDirectory,
      upstream: started.origin.url,
      entry: path.join(import.meta.dirname, "demo/gateway-worker.ts"),
      prepare: async (guard, variables) => {
        const willFill = reset || !isFilled(stateDirectory);
        if (willFill) console.log(`Filling ${days === 1 ? "a day" : days === DAYS ? "a week" : `${days} days`} …`);
        demo = await openDemo({
          stateDirectory,
          days,
          reset,
          variables,
          onProcess: guard.watch,
          onProgress: showProgress,
        });
        if (willFill) console.log(`Filled ${demo.events} requests in ${demo.seconds} s.`);
        else if (demo.days !== days) console.log(`Its ${demo.days} days stay as they are; --reset fills it anew.`);
      },
    },
    started,
  );
  if (demo !== null) await startTraffic(demo, serving.runtime, started);
  printWelcome(serving, stateDirectory);
}

function printWelcome(serving: Serving, stateDirectory: string): void {
  console.log(["", ...whereLines(serving, stateDirectory)].join("\n"));
}

const options = readCommandLine(HELP, readOptions);
if (options !== null) await untilStopped(options.port, async (started) => await run(options, started));
