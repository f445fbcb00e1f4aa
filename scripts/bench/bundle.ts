import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { ROOT, WRANGLER, WRANGLER_ENVIRONMENT } from "../local/bundle.ts";
import { adopt } from "./processes.ts";
import { readWorkerOptions } from "../local/worker-options.ts";

/** Workers of the benchmark, built with the dates, flags and minifying of wrangler.toml, so that all candidates are alike in these. */

const BUNDLE_TIMEOUT_MS = 60_000;

/** What wrangler's starter starts: without it between, ending the child ends the work. */
const CLI = path.join(path.dirname(WRANGLER), "../wrangler-dist/cli.js");

/** What the benchmark reads of wrangler.toml. */
export interface Settings {
  readonly compatibility_date: string;
  readonly compatibility_flags: readonly string[];
  readonly minify: boolean;
  readonly keep_names: boolean;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly kv_namespaces: readonly { readonly binding: string }[];
  readonly durable_objects: { readonly bindings: readonly { readonly name: string; readonly class_name: string }[] };
  readonly queues: { readonly producers?: readonly { readonly binding: string }[] };
  readonly ratelimits: readonly { readonly name: string }[];
  readonly migrations: readonly { readonly new_sqlite_classes?: readonly string[] }[];
}

export function readSettings(emptyDirectory: string): Settings {
  // wrangler has checked the file; its own type leaves these shapes open.
  return readWorkerOptions(emptyDirectory).config;
}

export interface BundleOptions {
  readonly directory: string;
  /** The main module, absolute. */
  readonly entry: string;
  readonly settings: Settings;
  /** Default: as in wrangler.toml. */
  readonly minify?: boolean;
}

/** The built module's path, absolute. Throws with wrangler's own words when it fails. */
export async function bundleEntry({ directory, entry, settings, minify }: BundleOptions): Promise<string> {
  const name = path.basename(entry, ".ts");
  const out = path.join(directory, name);
  await mkdir(out, { recursive: true });
  const file = path.join(directory, `${name}.json`);
  await writeFile(
    file,
    JSON.stringify({
      name,
      main: entry,
      compatibility_date: settings.compatibility_date,
      compatibility_flags: settings.compatibility_flags,
      minify: minify ?? settings.minify,
      keep_names: settings.keep_names,
      send_metrics: false,
    }),
  );
  const child = spawn(
    process.execPath,
    ["--no-warnings", CLI, "deploy", "--config", file, "--dry-run", "--outdir", out],
    {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: BUNDLE_TIMEOUT_MS,
      env: { ...process.env, ...WRANGLER_ENVIRONMENT, WRANGLER_LOG_PATH: path.join(directory, "log") },
    },
  );
  adopt(child);
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`${name} could not be built.\n${output.trim()}`);
  return path.join(out, `${name}.js`);
}
