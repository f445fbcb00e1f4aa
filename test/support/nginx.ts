import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A real nginx, where there is one, with a configuration that the documentation gives. */

export const isNginxInstalled = spawnSync("nginx", ["-v"]).error === undefined;

export interface Nginx {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has an AddressInfo
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `addresses`: what stands in the example → what to put in its place. Its own `127.0.0.1:8080` becomes a free one. */
export async function startNginx(example: string, addresses: Readonly<Record<string, string>>): Promise<Nginx> {
  const directory = await mkdtemp(path.join(os.tmpdir(), "latchkey-nginx-"));
  const port = await freePort();
  let site = await readFile(example, "utf8");
  for (const [from, to] of Object.entries({ ...addresses, "127.0.0.1:8080": `127.0.0.1:${port}` }))
    site = site.replace(from, to);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const main = [
    "daemon off; master_process off; worker_processes 1;",
    `pid ${directory}/pid; error_log ${directory}/error.log info;`,
    "events {}",
    `http { access_log off; ${temporary.join(" ")} include ${directory}/site.conf; }`,
  ];
  await writeFile(path.join(directory, "site.conf"), site);
  await writeFile(path.join(directory, "nginx.conf"), main.join("\n"));
  const child: ChildProcess = spawn("nginx", ["-p", directory, "-c", path.join(directory, "nginx.conf")], {
    stdio: "pipe",
  });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  for (let attempt = 0; !(await accepts(port)); attempt++) {
    if (attempt > 100 || child.exitCode !== null) throw new Error(`nginx did not start: ${said}`);
    await sleep(50);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
