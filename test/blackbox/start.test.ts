import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { identifyProcess } from "../../scripts/local/process-identity.ts";
import { bearer, control } from "../support/control.ts";
import { startServer } from "../support/server.ts";
import type { Server } from "../support/server.ts";

const run = promisify(execFile);
const START = path.resolve(import.meta.dirname, "../../scripts/start.ts");

let server: Server;
let directory: string;
beforeAll(async () => {
  server = await startServer();
  directory = await mkdtemp(path.join(tmpdir(), "latchkey-start-"));
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

/** What the demo origin says that it was sent. */
interface Echo {
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Exit code and output of a start that is expected to end by itself. */
async function startAndFail(args: readonly string[]): Promise<{ code: unknown; output: string }> {
  try {
    const { stdout } = await run(process.execPath, [START, ...args], { timeout: 30_000 });
    return { code: 0, output: stdout };
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string }; // execFile rejects with these
    return { code, output: stderr ?? "" };
  }
}

test("the printed curl line works as it stands", async () => {
  const line = /^ +Try it +(curl .+)$/m.exec(server.logs())?.[1];
  if (line === undefined) throw new Error(`no curl line in:\n${server.logs()}`);
  const { stdout } = await run("sh", ["-c", line]);
  expect(stdout).toMatch(/^HTTP\/1\.1 200 /);
});

test("it serves on IPv4 and on IPv6 loopback", async () => {
  const onV4 = await fetch(`http://127.0.0.1:${server.port}/_latchkey/healthz`);
  const onV6 = await fetch(`http://[::1]:${server.port}/_latchkey/healthz`).catch(() => null);
  expect(onV4.status).toBe(200);
  // A machine without IPv6 has no ::1.
  if (onV6 !== null) expect(onV6.status).toBe(200);
});

test("a client cannot say what its address is", async () => {
  const { key } = await control(server).issue({ bindings: { ips: ["203.0.113.7/32"] } });
  const response = await fetch(`${server.url}/reports/1`, {
    headers: {
      ...bearer(key),
      "cf-connecting-ip": "203.0.113.7",
      "x-forwarded-for": "203.0.113.7",
      "x-real-ip": "203.0.113.7",
      "mf-cf-blob": '{"clientIp":"203.0.113.7"}',
    },
  });
  expect(response.status).toBe(403);
  const { key: local } = await control(server).issue({ bindings: { ips: ["127.0.0.0/8", "::1/128"] } });
  expect((await fetch(`${server.url}/reports/1`, { headers: bearer(local) })).status).toBe(200);
});

test("path, query and Accept-Encoding reach the origin as they were sent", async () => {
  const body = await new Promise<string>((resolve, reject) => {
    const headers = { ...bearer(server.demoKey), "accept-encoding": "br;q=0.9, x-unknown" };
    const request = http.get({ port: server.port, path: "/reports/a%2Fb/%7e?q=%20+x&q=", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text));
    });
    request.on("error", reject);
  });
  const echo = JSON.parse(body) as Echo; // the demo origin's shape
  expect(echo.path).toBe("/reports/a%2Fb/%7e");
  expect(echo.query).toBe("?q=%20+x&q=");
  expect(echo.headers["accept-encoding"]).toBe("br;q=0.9, x-unknown");
});

test("wrong flags are named, with exit code 2, and nothing is started", async () => {
  for (const args of [["--prot", "1"], ["--port", "high"], ["--port", "70000"], ["--upstream", "ftp://x"], ["extra"]]) {
    const { code, output } = await startAndFail(args);
    expect(code).toBe(2);
    expect(output).toContain("Usage: npm start");
  }
});

test("a taken port and a taken state directory are told as such", async () => {
  const port = await startAndFail(["--port", String(server.port), "--state", path.join(directory, "other")]);
  expect(port).toMatchObject({ code: 1, output: expect.stringContaining(`Port ${server.port} is taken`) });
  const state = await startAndFail(["--port", "0", "--state", path.join(server.state, "state")]);
  expect(state).toMatchObject({ code: 1, output: expect.stringContaining("is in use by process") });
});

test("secrets are made once, for their owner's eyes, and kept beside what was there", async () => {
  const state = path.join(directory, "secrets");
  const file = path.join(directory, "vars");
  await writeFile(file, "LATCHKEY_OTHER=kept");
  const env = { LATCHKEY_DEV_VARS: file, LATCHKEY_ROOT_TOKEN: "" };
  const first = await startServer({ state, env });
  await first.stop();
  const text = await readFile(file, "utf8");
  expect(text).toMatch(
    /^LATCHKEY_OTHER=kept\nLATCHKEY_ROOT_TOKEN=lkroot_[A-Za-z0-9_-]{43}\nLATCHKEY_TOKEN_SECRET=[A-Za-z0-9_-]{43}\n$/,
  );
  expect((await stat(file)).mode & 0o077).toBe(0);
  const second = await startServer({ state, env });
  await second.stop();
  expect(await readFile(file, "utf8")).toBe(text);
  expect(second.demoKey).toBe(first.demoKey);
});

/** The runtime processes of a running server, from the note in its state directory. */
async function runtimesOf(of: Server): Promise<number[]> {
  const running = JSON.parse(await readFile(path.join(of.state, "state/running.json"), "utf8")) as {
    workers: { pid: number }[]; // see scripts/local/state-guard.ts
  };
  return running.workers.map(({ pid }) => pid);
}

/** Not so for a zombie, which holds nothing any more. */
function isAlive(pid: number): boolean {
  return identifyProcess(pid) !== null;
}

test.each(["stopped", "killed"])("once it is %s, nothing that it started is left", async (how) => {
  const state = path.join(directory, how);
  const running = await startServer({ state });
  const runtimes = await runtimesOf(running);
  expect(runtimes.length).toBeGreaterThan(0);
  expect(runtimes.every(isAlive)).toBe(true);
  if (how === "stopped") await running.stop();
  else await running.kill("process");
  await expect.poll(() => runtimes.some(isAlive), { timeout: 5_000 }).toBe(false);
  await expect(fetch(running.url)).rejects.toThrow();
});

test("killed at any moment, it starts again on the same state and port, and keeps what it answered", async () => {
  const state = path.join(directory, "killed");
  let running = await startServer({ state });
  const issued: string[] = [];
  for (const what of ["group", "process", "group"] as const) {
    const { port, rootToken } = running;
    const writes = Array.from({ length: 10 }, async () => {
      const made = await control(running).issue();
      issued.push(made.key);
    });
    await Promise.race(writes);
    await running.kill(what);
    await Promise.allSettled(writes);
    running = await startServer({ state, port, env: { LATCHKEY_ROOT_TOKEN: rootToken } });
    for (const key of issued) {
      const response = await fetch(`${running.url}/reports/1`, { headers: bearer(key) });
      expect(response.status).toBe(200);
    }
  }
  expect(issued.length).toBeGreaterThanOrEqual(3);
  await running.stop();
});
