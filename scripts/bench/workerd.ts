import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { serverConfig } from "./capnp.ts";
import type { ServerConfig } from "./capnp.ts";
import { adopt, endProcess } from "./processes.ts";
import { endWithBenchmark } from "./watch.ts";

/** `workerd serve`: the runtime alone, without the local tools' entry Worker in front. */

const START_TIMEOUT_MS = 20_000;

export interface WorkerdOptions {
  /** Where the configuration is written; its relative paths start here. */
  readonly directory: string;
  readonly config: ServerConfig;
  /** Opens V8's inspector on a free port. It costs time: never while measuring. */
  readonly inspector?: boolean;
}

export interface Workerd {
  readonly pid: number;
  /** `http://127.0.0.1:PORT` of each socket, by name. */
  readonly urls: ReadonlyMap<string, string>;
  /** Port of the inspector, where it was asked for. */
  readonly inspectorPort: number | null;
  readonly stop: () => Promise<void>;
}

/** workerd comes with Miniflare. */
function workerdBinary(): string {
  const ofMiniflare = createRequire(createRequire(import.meta.url).resolve("miniflare"));
  const { default: binary } = ofMiniflare("workerd") as { default: string }; // its index.d.ts
  return binary;
}

/** Resolves once every socket listens. Rejects with what workerd said when it ends before. */
export async function startWorkerd({ directory, config, inspector = false }: WorkerdOptions): Promise<Workerd> {
  const file = path.join(directory, "config.capnp");
  await writeFile(file, serverConfig(config));
  const args = ["serve", "--control-fd=3", ...(inspector ? ["--inspector-addr=127.0.0.1:0"] : []), file];
  // Log lines of the Worker go nowhere: a deployment's go to Cloudflare.
  const child = spawn(workerdBinary(), args, { cwd: directory, stdio: ["ignore", "ignore", "pipe", "pipe"] });
  adopt(child);
  const said = keepLastWords(child);
  const names = Object.keys(config.sockets);
  try {
    const ports = await listeningPorts(child, inspector ? [...names, INSPECTOR] : names, said);
    // It listens, so it runs.
    const pid = child.pid ?? 0;
    endWithBenchmark(pid);
    return {
      pid,
      urls: new Map(names.map((name) => [name, `http://127.0.0.1:${ports.get(name)}`])),
      inspectorPort: ports.get(INSPECTOR) ?? null,
      stop: () => endProcess(child),
    };
  } catch (error) {
    await endProcess(child);
    throw error;
  }
}

const INSPECTOR = " inspector";
const LAST_WORDS_CHARACTERS = 4_000;

function keepLastWords(child: ChildProcess): () => string {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-LAST_WORDS_CHARACTERS)));
  return () => said.trim();
}

/** One line of workerd's control pipe. */
interface ControlMessage {
  readonly event: "listen" | "listen-inspector";
  readonly socket?: string;
  readonly port: number;
}

function listeningPorts(
  child: ChildProcess,
  wanted: readonly string[],
  said: () => string,
): Promise<ReadonlyMap<string, number>> {
  const ports = new Map<string, number>();
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new Error(`workerd ${reason}\n${said()}`));
    const timer = setTimeout(() => fail("did not listen in time"), START_TIMEOUT_MS);
    child.once("error", reject);
    child.once("exit", () => {
      clearTimeout(timer);
      fail("ended at once");
    });
    const lines = createInterface({ input: child.stdio[3] as Readable }); // a pipe, as asked for
    lines.on("line", (line) => {
      const message = JSON.parse(line) as ControlMessage; // workerd's own format
      ports.set(message.event === "listen" ? (message.socket ?? "") : INSPECTOR, message.port);
      if (!wanted.every((name) => ports.has(name))) return;
      clearTimeout(timer);
      resolve(ports);
    });
  });
}
