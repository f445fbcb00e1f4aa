/**
 * `npm run check:bundle`: builds the Worker as a deployment would and holds it to its budget: size after gzip, and the time
 * that an isolate spends before it can take its first request, as `wrangler check startup` profiles it on this machine.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { ROOT, WRANGLER, WRANGLER_ENVIRONMENT, bundleWorker } from "./local/bundle.ts";

/** What a cold isolate has to fetch; most of it is pages, which are parsed when somebody opens one (decision 0027). Cloudflare allows 10 MB. */
const MAX_GZIP_BYTES = 400_000;

/** Cloudflare allows 1 s; a cold start is felt long before. */
const MAX_STARTUP_MS = 50;

/** The machine may be busy: the middle one of these counts. */
const PROFILES = 3;
const PROFILE_TIMEOUT_MS = 60_000;

/** The part of V8's profile format that is read here; times are in microseconds. */
interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Time in which the processor was at work. */
function activeMs({ nodes, samples, timeDeltas }: CpuProfile): number {
  const idle = new Set(nodes.filter(({ callFrame }) => callFrame.functionName === "(idle)").map(({ id }) => id));
  const micros = samples.reduce((sum, node, index) => sum + (idle.has(node) ? 0 : (timeDeltas[index] ?? 0)), 0);
  return micros / 1_000;
}

function profileStartup(file: string): number {
  const { status, stdout, stderr } = spawnSync(process.execPath, [WRANGLER, "check", "startup", "--outfile", file], {
    cwd: ROOT,
    encoding: "utf8",
    timeout: PROFILE_TIMEOUT_MS,
    env: { ...process.env, ...WRANGLER_ENVIRONMENT },
  });
  if (status !== 0) throw new Error(`wrangler check startup failed:\n${stdout}${stderr}`);
  return activeMs(JSON.parse(readFileSync(file, "utf8")) as CpuProfile); // V8's own format
}

const directory = mkdtempSync(path.join(tmpdir(), "latchkey-bundle-"));
try {
  const { main } = await bundleWorker(directory);
  const modules = readdirSync(directory).filter((file) => /\.(?:js|mjs|wasm|bin|txt|html|sql)$/.test(file));
  if (modules.length !== 1) throw new Error(`The size of one module is measured, but there are: ${modules.join(", ")}`);
  const source = readFileSync(main);
  const gzipBytes = gzipSync(source).length;
  const times = Array.from({ length: PROFILES }, (_, index) =>
    profileStartup(path.join(directory, `${index}.cpuprofile`)),
  );
  const startupMs = times.toSorted((a, b) => a - b)[Math.floor(PROFILES / 2)] ?? Infinity;

  const kilobytes = (bytes: number): string => `${(bytes / 1_000).toFixed(1)} KB`;
  console.log(
    `bundle: ${kilobytes(gzipBytes)} gzip of at most ${kilobytes(MAX_GZIP_BYTES)} (${kilobytes(source.length)} whole)`,
  );
  const measured = times.map((time) => time.toFixed(1)).join(", ");
  console.log(`startup: ${startupMs.toFixed(1)} ms of CPU of at most ${MAX_STARTUP_MS} ms (measured ${measured})`);
  if (gzipBytes > MAX_GZIP_BYTES || startupMs > MAX_STARTUP_MS) {
    console.error("The Worker is over its budget.");
    process.exitCode = 1;
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
