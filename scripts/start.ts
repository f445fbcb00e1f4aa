/** `npm start`: the gateway on loopback, over embedded KV, Durable Objects and Queue, with a demo origin. */
import path from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "./local/bundle.ts";
import { obtainDemoKey } from "./local/demo-key.ts";
import { readCommandLine, readPort, readState, UsageError } from "./local/options.ts";
import { serve, type Serving, untilStopped, whereLines } from "./local/serve.ts";

const HELP = `Usage: npm start -- [options]

Serves Latchkey on http://localhost:8787 with embedded storage and a demo origin.

  --port N        port to serve on; 0 takes a free one   (default 8787)
  --state DIR     where data is kept                     (default .wrangler/latchkey)
  --upstream URL  forward to this API instead of the demo origin
  --help          this text

Variables and secrets come from the environment (LATCHKEY_*) and from .dev.vars, which is made on first run.
`;

interface Options {
  readonly port: number;
  readonly stateDirectory: string;
  readonly upstream: string | null;
}

function readUpstream(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new UsageError(`--upstream must be an http or https URL, not "${text}"`);
  return text;
}

/** `null`: help was asked for. */
function readOptions(argv: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      port: { type: "string" },
      state: { type: "string" },
      upstream: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) return null;
  return {
    port: readPort(values.port),
    stateDirectory: readState(values.state, path.join(ROOT, ".wrangler/latchkey")),
    upstream: values.upstream === undefined ? null : readUpstream(values.upstream),
  };
}

function printWelcome(serving: Serving, stateDirectory: string, demoKey: string | null): void {
  const url = `http://localhost:${serving.address.port}`;
  const lines = [
    "",
    ...(demoKey === null
      ? []
      : [
          `  Demo key     ${demoKey}`,
          `  Try it       curl -i -H "Authorization: Bearer ${demoKey}" ${url}/reports/today`,
        ]),
    ...whereLines(serving, stateDirectory),
  ];
  console.log(lines.join("\n"));
}

const options = readCommandLine(HELP, readOptions);
if (options !== null) {
  await untilStopped(options.port, async (started) => {
    const serving = await serve(options, started);
    const { stateDirectory } = options;
    const demoKey = await obtainDemoKey(stateDirectory, serving.address, serving.rootToken).catch((error: unknown) => {
      console.error(`There is no demo key: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    });
    printWelcome(serving, stateDirectory, demoKey);
  });
}
