import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { control } from "../support/control.ts";
import { startProxyOrigin } from "../support/proxy-origin.ts";
import type { ProxyOrigin } from "../support/proxy-origin.ts";
import { startServer } from "../support/server.ts";
import type { Server } from "../support/server.ts";

/** A real nginx with the configuration that the documentation gives, in front of an API, asking a real Latchkey. */

const installed = spawnSync("nginx", ["-v"]).error === undefined;
if (!installed)
  console.log("skipped: the proof against nginx needs nginx on the PATH (Debian: apt-get install nginx-light)");

const EXAMPLE = path.resolve(import.meta.dirname, "../../docs/examples/nginx.conf");

interface Nginx {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has an AddressInfo
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startNginx(apiPort: number, latchkeyPort: number): Promise<Nginx> {
  const directory = await mkdtemp(path.join(os.tmpdir(), "latchkey-nginx-"));
  const port = await freePort();
  const example = (await readFile(EXAMPLE, "utf8"))
    .replace("127.0.0.1:9000", `127.0.0.1:${apiPort}`)
    .replace("127.0.0.1:8787", `127.0.0.1:${latchkeyPort}`)
    .replace("127.0.0.1:8080", `127.0.0.1:${port}`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const main = [
    "daemon off; master_process off; worker_processes 1;",
    `pid ${directory}/pid; error_log ${directory}/error.log info;`,
    "events {}",
    `http { access_log off; ${temporary.join(" ")} include ${directory}/site.conf; }`,
  ];
  await writeFile(path.join(directory, "site.conf"), example);
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

describe.skipIf(!installed)("nginx with auth_request", () => {
  let api: ProxyOrigin;
  let gateway: Server;
  let nginx: Nginx;
  let key: string;

  beforeAll(async () => {
    api = await startProxyOrigin({
      "/reports/broken": (_request, response) => response.writeHead(500, { "x-own": "1" }).end("the API's own"),
    });
    gateway = await startServer();
    nginx = await startNginx(api.port, Number(new URL(gateway.url).port));
    ({ key } = await control(gateway).issue({
      environment: "test",
      scopes: ["reports:read"],
      limits: [{ name: "burst", limit: 1_000, window: "minute", kind: "rate" }],
    }));
  });

  afterAll(async () => {
    await nginx?.stop();
    await gateway?.stop();
    await api?.close();
  });

  const get = (target: string, headers: Record<string, string>): Promise<Response> =>
    fetch(`${nginx.url}${target}`, { headers });

  test("a good key passes, and the API learns who calls, but not the key", async () => {
    const answer = await get("/reports/7?x=1", { authorization: `Bearer ${key}`, "x-latchkey-owner": "mallory" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("ratelimit-policy")).toBe('"burst";q=1000;w=60');
    expect(answer.headers.get("ratelimit")).toMatch(/^"burst";r=99\d;t=\d+$/);
    const seen = api.seen("/reports/7?x=1");
    expect(seen?.headers).toMatchObject({
      "x-latchkey-owner": "acme",
      "x-latchkey-environment": "test",
      "x-latchkey-scopes": "reports:read",
    });
    expect(seen?.headers["x-request-id"]).toBe(answer.headers.get("x-request-id"));
    expect(JSON.stringify(seen?.rawHeaders)).not.toContain(key);
  });

  test("no key, and a bad one, are 401 with the challenge; the API sees nothing", async () => {
    const none = await get("/reports/none", {});
    expect(none.status).toBe(401);
    expect(none.headers.get("www-authenticate")).toBe('Bearer realm="latchkey"');
    const bad = await get("/reports/none", { "x-api-key": "no-such-key-anywhere" });
    expect(bad.status).toBe(401);
    expect(bad.headers.get("www-authenticate")).toContain('error="invalid_token"');
    expect(api.seen("/reports/none")).toBeUndefined();
  });

  test("the route's scope counts, by the original method and path", async () => {
    const answer = await fetch(`${nginx.url}/charges`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: "x",
    });
    expect(answer.status).toBe(403);
    expect(api.seen("/charges")).toBeUndefined();
  });

  test("a client cannot name another request than its own", async () => {
    const headers = {
      authorization: `Bearer ${key}`,
      "x-original-uri": "/open",
      "x-original-method": "GET",
      "x-forwarded-uri": "/open",
      "x-forwarded-method": "GET",
    };
    const answer = await fetch(`${nginx.url}/charges`, { method: "POST", headers, body: "x" });
    expect(answer.status).toBe(403);
  });

  test("a body goes to the API alone", async () => {
    const answer = await fetch(`${nginx.url}/items`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: "x".repeat(100_000),
    });
    expect(answer.status).toBe(200);
    expect(api.seen("/items")?.bodyBytes).toBe(100_000);
  });

  test("a limit that is used up is 429 with Retry-After", async () => {
    const { key: small } = await control(gateway).issue({
      limits: [{ name: "tiny", limit: 2, window: "hour", kind: "rate" }],
    });
    const statuses: number[] = [];
    let last = new Response();
    for (let call = 0; call < 3; call++) {
      last = await get("/limited", { authorization: `Bearer ${small}` });
      statuses.push(last.status);
    }
    expect(statuses).toEqual([200, 200, 429]);
    expect(Number(last.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(last.headers.get("content-type")).toBe("application/problem+json");
    expect(await last.json()).toMatchObject({ status: 429 });
  });

  test("two credentials are 400, and the API's own failure stays its own", async () => {
    const answer = await get("/reports/1", { authorization: `Bearer ${key}`, "x-api-key": "another-key-altogether" });
    expect(answer.status).toBe(400);
    const broken = await get("/reports/broken", { authorization: `Bearer ${key}` });
    expect(broken.status).toBe(500);
    expect(broken.headers.get("x-own")).toBe("1");
  });

  test("when Latchkey cannot be reached, nothing passes: 503", async () => {
    const orphan = await startNginx(api.port, 1);
    const answer = await fetch(`${orphan.url}/reports/orphan`, { headers: { authorization: `Bearer ${key}` } });
    expect(answer.status).toBe(503);
    expect(api.seen("/reports/orphan")).toBeUndefined();
    await orphan.stop();
  });
});
