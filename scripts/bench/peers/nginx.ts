import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readParent } from "../../local/process-identity.ts";
import { Unavailable } from "../candidate.ts";
import { adopt, endProcess } from "../processes.ts";
import { endWithBenchmark } from "../watch.ts";
import { installDebianPackages } from "./install.ts";
import type { Peer, Server, ServerOptions } from "./peer.ts";

/** nginx as Debian has it, one worker. Its two configurations are in `nginx/`; what no reader needs is here. */

const CONFIGURATIONS = path.join(import.meta.dirname, "nginx");
const MODULES = ["ndk_http_module.so", "ngx_http_lua_module.so"];
const PACKAGES = ["nginx", "libnginx-mod-http-lua", "lua-nginx-string"];
/** Of the package lua-nginx-string; the modules' own Lua comes with them. */
const LUA_SHA256 = "/usr/share/lua/5.1/nginx/sha256.lua";

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 20;
const LAST_WORDS_CHARACTERS = 2_000;

/** What `nginx -V` says; `null` when there is none. */
function askNginx(): { readonly version: string; readonly modules: string } | null {
  const { error, stderr } = spawnSync("nginx", ["-V"], { encoding: "utf8" });
  if (error !== undefined) return null;
  return {
    version: /nginx\/(\S+)/.exec(stderr)?.[1] ?? "of unknown version",
    modules: /--modules-path=(\S+)/.exec(stderr)?.[1] ?? "",
  };
}

function isInstalled(): boolean {
  const nginx = askNginx();
  return nginx !== null && [...MODULES.map((file) => path.join(nginx.modules, file)), LUA_SHA256].every(existsSync);
}

async function startNginx({ originUrl, directory, limitPerMinute, key }: ServerOptions): Promise<Server> {
  const port = await freePort();
  const file = path.join(CONFIGURATIONS, limitPerMinute === null ? "proxy.conf" : "keys.conf");
  const values: Readonly<Record<string, string>> = {
    ORIGIN: new URL(originUrl).host,
    PORT: String(port),
    DIRECTORY: directory,
    LIMIT: String(limitPerMinute),
    // Beside the one that is always let through.
    BURST: String((limitPerMinute ?? 1) - 1),
  };
  const site = (await readFile(file, "utf8")).replaceAll(/@([A-Z]+)@/g, (_, name: string) => values[name] ?? "");
  await writeFile(path.join(directory, "site.conf"), site);
  await writeFile(path.join(directory, "nginx.conf"), mainConfiguration(directory, limitPerMinute !== null));
  await writeFile(path.join(directory, "keys.txt"), `${createHash("sha256").update(key).digest("hex")} consumer_1\n`);
  const url = `http://127.0.0.1:${port}`;
  const child = spawn("nginx", ["-p", directory, "-c", path.join(directory, "nginx.conf")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  adopt(child);
  try {
    await untilAnswering(child, url);
  } catch (error) {
    await endProcess(child);
    throw error;
  }
  const pids = (): readonly number[] => masterAndWorkers(child.pid ?? 0);
  for (const pid of pids()) endWithBenchmark(pid);
  return { url, key, pids, stop: () => endProcess(child) };
}

function mainConfiguration(directory: string, withLua: boolean): string {
  const modules = askNginx()?.modules ?? "";
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return [
    ...(withLua ? MODULES.map((file) => `load_module ${path.join(modules, file)};`) : []),
    // Its folder belongs to whoever runs the benchmark.
    ...(process.getuid?.() === 0 ? ["user root;"] : []),
    "daemon off;",
    "worker_processes 1;",
    `pid ${directory}/pid;`,
    `error_log stderr warn;`,
    "events { worker_connections 1024; }",
    "http {",
    "access_log off;",
    ...temporary.map((name) => `${name}_temp_path ${directory}/${name};`),
    `include ${directory}/site.conf;`,
    "}",
  ].join("\n");
}

/** The master and its worker. */
function masterAndWorkers(master: number): readonly number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return [master, ...all.map(Number).filter((pid) => readParent(pid)?.parent === master)];
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves once a worker answers, whatever it says. Rejects with its last words when none does. */
async function untilAnswering(child: ChildProcess, url: string): Promise<void> {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-LAST_WORDS_CHARACTERS)));
  child.once("error", (error) => (said = error.message));
  for (let waitedMs = 0; !(await answers(url)); waitedMs += POLL_MS) {
    if (child.exitCode !== null || waitedMs > START_TIMEOUT_MS) throw new Error(`nginx did not start\n${said}`);
    await sleep(POLL_MS);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

export const NGINX: Peer = {
  name: "nginx-lua",
  about: "Lua before that (hash, shared dictionary) and limit_req, counted in the process's memory",
  floorName: "nginx",
  floorAbout: `nginx ${askNginx()?.version ?? "of Debian"}: proxy_pass alone, one worker`,
  prepare: async () => {
    if (isInstalled()) return;
    await installDebianPackages(PACKAGES);
    if (!isInstalled()) throw new Unavailable(`nginx with ${MODULES.join(", ")} and ${LUA_SHA256} is not on the PATH`);
  },
  startServer: startNginx,
};
