import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { Unavailable } from "../candidate.ts";
import { adopt } from "../processes.ts";
import { say } from "../session.ts";

/** What peers need is installed when one is first measured, beside it or from Debian: none of it is the project's. */

/** The packages of `folder`'s lock file into its node_modules; nothing when they are there. `Unavailable` when npm cannot. */
export async function installPackages(folder: string): Promise<void> {
  const lock = createHash("sha256")
    .update(await readFile(path.join(folder, "package-lock.json")))
    .digest("hex");
  const stamp = path.join(folder, "node_modules/.installed-lock");
  if ((await readFile(stamp, "utf8").catch(() => "")) === lock) return;
  say(`  installing its packages into its own folder (npm ci)`);
  const { ok, said } = await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: folder,
    env: withoutParentProject(),
  });
  if (!ok) throw new Unavailable(`npm ci in scripts/bench/peers/${path.basename(folder)} failed\n${said}`);
  await writeFile(stamp, lock);
}

/** `npm run` tells its children whose script they are; this npm is to look at its own folder. */
function withoutParentProject(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (OF_PARENT_PROJECT.test(name)) env[name] = undefined;
  return env;
}

const OF_PARENT_PROJECT = /^npm_(?:package_|lifecycle_|config_local_prefix$|config_prefix$)/i;

/** By root on Debian; anyone else is told what to install. */
export async function installDebianPackages(names: readonly string[]): Promise<void> {
  const command = ["apt-get", "install", "-y", "--no-install-recommends", ...names];
  if (process.getuid?.() !== 0) throw new Unavailable(`it needs ${command.join(" ")}`);
  say(`  installing ${names.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = (): Promise<Ended> => run("apt-get", command.slice(1), { env });
  if ((await install()).ok) return;
  await run("apt-get", ["update"], { env });
  const { ok, said } = await install();
  if (!ok) throw new Unavailable(`${command.join(" ")} failed\n${said}`);
}

interface Ended {
  readonly ok: boolean;
  /** Its last words. */
  readonly said: string;
}

const LAST_WORDS_CHARACTERS = 600;

/** Not `ok` also when there is no such program. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    const hear = (chunk: Buffer): void => void (said = (said + chunk.toString()).slice(-LAST_WORDS_CHARACTERS));
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", (error) => resolve({ ok: false, said: error.message }));
    child.once("close", (code) => resolve({ ok: code === 0, said: said.trim() }));
    adopt(child);
  });
}
