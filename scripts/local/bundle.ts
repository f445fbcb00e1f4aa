import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";

export const ROOT = path.resolve(import.meta.dirname, "../..");
export const WRANGLER_CONFIG = path.join(ROOT, "wrangler.toml");

export const WRANGLER = path.join(
  path.dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
  "bin/wrangler.js",
);

/** Offline and quiet: no update notice, no telemetry. */
export const WRANGLER_ENVIRONMENT = {
  CI: "1",
  NO_COLOR: "1",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_METRICS: "false",
} as const;

/** A bundle takes about two seconds; a machine that needs a minute has another problem. */
const BUNDLE_TIMEOUT_MS = 60_000;

export interface Bundle {
  /** Where the modules are. */
  readonly directory: string;
  /** The main module. */
  readonly main: string;
  /** What wrangler said: sizes and bindings. */
  readonly output: string;
}

/**
 * Builds the Worker as a deployment would (`wrangler deploy --dry-run`), offline.
 * `entry` is another main module than the one in wrangler.toml. Throws with wrangler's own words when it fails.
 */
export async function bundleWorker(directory: string, entry?: string): Promise<Bundle> {
  const main = entry ?? path.join(ROOT, "src/index.ts");
  const args = [WRANGLER, "deploy", main, "--config", WRANGLER_CONFIG, "--dry-run", "--outdir", directory];
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: BUNDLE_TIMEOUT_MS,
    env: {
      ...process.env,
      ...WRANGLER_ENVIRONMENT,
      WRANGLER_LOG_PATH: path.join(directory, "log"),
    },
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`The Worker could not be built.\n${output.trim()}`);
  return { directory, main: path.join(directory, `${path.basename(main, ".ts")}.js`), output };
}
