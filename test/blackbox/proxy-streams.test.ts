import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import type { ServerResponse } from "node:http";
import net from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { exchangeRaw, startProxyLab } from "../support/proxy-lab.ts";
import type { ProxyLab } from "../support/proxy-lab.ts";
import { readAll, startProxyOrigin } from "../support/proxy-origin.ts";
import type { ProxyOrigin } from "../support/proxy-origin.ts";

/** Streams, time and memory: real sockets on both sides of a real workerd. */

const KEY = `lk_live_${"b".repeat(38)}`;
const AUTH = { authorization: `Bearer ${KEY}` };
const GIB = 1_024 ** 3;
const CHUNK = Buffer.alloc(256 * 1_024, "x");
/** Far below what a buffered GiB would take, well above what V8 keeps for itself. */
const MAX_GROWTH_MIB = 128;

let origin: ProxyOrigin;
let lab: ProxyLab;
let sockets: WebSocketServer;

beforeAll(async () => {
  origin = await startProxyOrigin({
    "/hang": () => undefined,
    "/hang-background": () => undefined,
    "/slow-body": (_request, response) => drip(response, 8, 150),
    "/events": (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      drip(response, 5, 100);
    },
    "/echo": (request, response) => void request.pipe(response),
    "/endless": (_request, response) => drip(response, Infinity, 20),
    "/early-answer": (_request, response) => response.writeHead(200).write("begun\n"),
    "/gib-known": (_request, response) => {
      response.writeHead(200, { "content-length": GIB });
      Readable.from(chunks(GIB)).pipe(response);
    },
    "/gib-chunked": (_request, response) => void Readable.from(chunks(GIB)).pipe(response),
    "/slow-reader": (request, response, seen) => {
      request.pause();
      setTimeout(() => readAll(request, seen, () => response.end("late")), 900);
      request.resume();
    },
  });
  sockets = new WebSocketServer({
    port: 0,
    host: "127.0.0.1",
    handleProtocols: (offered) => [...offered].at(-1) ?? false,
  });
  sockets.on("connection", (socket, request) => {
    socket.send(JSON.stringify({ url: request.url, headers: request.headers }));
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  });
  lab = await startProxyLab(origin.url);
});

afterAll(async () => {
  sockets.close();
  await lab.stop();
  await origin.close();
});

function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.length) yield left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left);
}

function drip(response: ServerResponse, count: number, everyMs: number): void {
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    response.write(`data: ${sent}\n\n`);
    if (sent >= count) response.end();
  }, everyMs);
  response.on("close", () => clearInterval(timer));
}

interface Opened {
  readonly request: http.ClientRequest;
  readonly response: Promise<http.IncomingMessage>;
}

function open(path: string, options: http.RequestOptions = {}): Opened {
  const request = http.request(lab.url, {
    ...options,
    path,
    headers: Object.assign({}, AUTH, options.headers),
    agent: false,
  });
  const response = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", reject);
  });
  response.catch(() => undefined);
  return { request, response };
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

async function until(condition: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (await condition()) return true;
  return false;
}

async function lastTraffic(): Promise<unknown> {
  return await (await fetch(`${lab.url}/lab/traffic`)).json();
}

describe("time", () => {
  test("an upstream that does not begin to answer in time is upstream_timeout, and is let go", async () => {
    const { request, response } = open("/hang?1", { headers: { "x-lab-timeout": "300" } });
    request.end();
    const before = Date.now();
    const answer = await response;
    expect(answer.statusCode).toBe(504);
    expect(await textOf(answer)).toBe("upstream_timeout");
    expect(Date.now() - before).toBeGreaterThan(250);
    expect(await until(() => origin.seen("/hang?1")?.cut === true, 1_000)).toBe(true);
  });

  test("an upstream that has begun may take as long as it likes", async () => {
    const { request, response } = open("/slow-body", { headers: { "x-lab-timeout": "400" } });
    request.end();
    expect((await textOf(await response)).match(/data/g)).toHaveLength(8);
  });

  test("a slow upload does not count against the upstream, a stalled one does", async () => {
    const slow = open("/upload-slow", { method: "POST", headers: { "x-lab-timeout": "400" } });
    for (let part = 0; part < 8; part++) {
      slow.request.write("part");
      await sleep(150);
    }
    slow.request.end();
    expect((await slow.response).statusCode).toBe(200);
    expect(origin.seen("/upload-slow")?.bodyBytes).toBe(32);
    const stalled = open("/upload-stalled", { method: "POST", headers: { "x-lab-timeout": "400" } });
    stalled.request.write("part");
    expect((await stalled.response).statusCode).toBe(504);
    stalled.request.destroy();
  });
});

describe("a client that goes away takes its request to the origin along", () => {
  /** A reset, as an edge passes on; a mere FIN before the answer says only that the client sends no more. */
  async function leave(path: string, headers: string): Promise<void> {
    const socket = net.connect(lab.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${KEY}\r\n${headers}\r\n`);
    expect(await until(() => origin.seen(path) !== undefined, 2_000)).toBe(true);
    await sleep(100);
    socket.resetAndDestroy();
  }

  test("before the answer", async () => {
    await leave("/hang", "");
    expect(await until(() => origin.seen("/hang")?.cut === true, 1_000)).toBe(true);
  });

  test("before the answer, at once, while background work goes on", async () => {
    await leave("/hang-background", "x-lab-background: 5000\r\n");
    expect(await until(() => origin.seen("/hang-background")?.cut === true, 1_000)).toBe(true);
  });

  test("in the middle of the answer, and what went by is counted", async () => {
    const { request, response } = open("/endless");
    request.end();
    const answer = await response;
    await new Promise((resolve) => answer.once("data", resolve));
    request.destroy();
    expect(await until(() => origin.seen("/endless")?.cut === true, 2_000)).toBe(true);
    expect(await until(async () => ((await lastTraffic()) as { bytesOut: number }).bytesOut > 0, 2_000)).toBe(true);
  });

  test("in the middle of its upload", async () => {
    const { request } = open("/upload-cut", { method: "POST", headers: { "content-length": "1000" } });
    request.write("part");
    expect(await until(() => origin.seen("/upload-cut") !== undefined, 2_000)).toBe(true);
    request.socket?.resetAndDestroy();
    expect(await until(() => origin.seen("/upload-cut")?.cut === true, 2_000)).toBe(true);
    expect(origin.seen("/upload-cut")?.complete).toBe(false);
  });
});

test("server-sent events arrive one by one, as they are sent", async () => {
  const { request, response } = open("/events");
  request.end();
  const answer = await response;
  expect(answer.headers["content-type"]).toBe("text/event-stream");
  const arrivals: number[] = [];
  answer.on("data", () => arrivals.push(Date.now()));
  await new Promise((resolve) => answer.on("end", resolve));
  expect(arrivals).toHaveLength(5);
  expect((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0)).toBeGreaterThan(300);
});

test("a long chunked body arrives octet for octet, both ways", async () => {
  const body = randomBytes(3 * 1_024 ** 2 + 17);
  const { request, response } = open("/echo", { method: "POST" });
  request.write(body.subarray(0, 100_001));
  request.end(body.subarray(100_001));
  const parts: Buffer[] = [];
  for await (const chunk of await response) parts.push(chunk as Buffer); // no encoding is set, so chunks are buffers
  expect(Buffer.concat(parts).equals(body)).toBe(true);
});

describe("bytes are counted, without a length too", () => {
  test("both ways", async () => {
    const known = open("/echo-size", { method: "POST", headers: { "content-length": "7" } });
    known.request.end("1234567");
    await textOf(await known.response);
    expect(await lastTraffic()).toMatchObject({ bytesIn: 7 });
    const chunked = open("/echo-size", { method: "POST" });
    chunked.request.write("12345");
    chunked.request.write("67890");
    chunked.request.end();
    const text = await textOf(await chunked.response);
    expect(
      await until(
        async () => JSON.stringify(await lastTraffic()) === JSON.stringify({ bytesIn: 10, bytesOut: text.length }),
        2_000,
      ),
    ).toBe(true);
  });
});

describe("body limit", () => {
  const limit = { "x-lab-max-body": "1000" };

  test("a declared length over the limit is refused at once; nothing reaches the origin", async () => {
    const head = `POST /too-long HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${KEY}\r\nx-lab-max-body: 1000\r\n`;
    expect(await exchangeRaw(lab.port, `${head}Content-Length: 1001\r\n\r\n`, 1_000)).toMatch(/^HTTP\/1.1 413 /);
    expect(origin.seen("/too-long")).toBeUndefined();
  });

  test("at the limit a body passes, declared or chunked; one past it does not", async () => {
    for (const headers of [{ "content-length": "1000" }, {}]) {
      const { request, response } = open("/at-limit", { method: "POST", headers: { ...limit, ...headers } });
      request.end(Buffer.alloc(1_000));
      expect((await response).statusCode).toBe(200);
      expect(origin.seen("/at-limit")).toMatchObject({ bodyBytes: 1_000, complete: true });
    }
    const { request, response } = open("/past-limit", { method: "POST", headers: limit });
    request.write(Buffer.alloc(600));
    await sleep(100);
    request.write(Buffer.alloc(401));
    const answer = await response;
    expect(answer.statusCode).toBe(413);
    expect(await textOf(answer)).toBe("body_too_large");
    expect(await until(() => origin.seen("/past-limit")?.cut === true, 2_000)).toBe(true);
    expect(origin.seen("/past-limit")?.complete).toBe(false);
    request.destroy();
  });

  test("past the limit after the answer has begun, both streams are cut", async () => {
    const { request, response } = open("/early-answer", { method: "POST", headers: limit });
    request.on("error", () => undefined);
    request.write(Buffer.alloc(600));
    const answer = await response;
    expect(answer.statusCode).toBe(200);
    answer.on("data", () => undefined);
    const over = new Promise((resolve) => {
      answer.on("error", resolve);
      answer.on("close", resolve);
    });
    request.write(Buffer.alloc(600));
    await over;
    expect(answer.complete).toBe(false);
    expect(await until(() => origin.seen("/early-answer")?.cut === true, 2_000)).toBe(true);
  });
});

describe("WebSockets pass", () => {
  test("with their subprotocol, text and binary, both ways, to the close code", async () => {
    const address = sockets.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const client = new WebSocket(`${lab.url.replace("http", "ws")}/socket?x=1`, ["one", "two"], {
      headers: { ...AUTH, "x-lab-upstream": `http://127.0.0.1:${port}` },
    });
    const messages: { data: string; binary: boolean }[] = [];
    client.on("message", (data: Buffer, binary: boolean) => messages.push({ data: data.toString(), binary }));
    await new Promise((resolve, reject) => {
      client.on("open", resolve);
      client.on("error", reject);
    });
    expect(client.protocol).toBe("two");
    client.send("hello");
    client.send(Buffer.from("bytes"), { binary: true });
    expect(await until(() => messages.length === 3, 2_000)).toBe(true);
    const seen = JSON.parse(messages[0]?.data ?? "{}") as { url: string; headers: Record<string, string> };
    expect(seen.url).toBe("/socket?x=1");
    expect(seen.headers["x-latchkey-owner"]).toBe("acme");
    expect(JSON.stringify(seen.headers)).not.toContain(KEY);
    expect(messages.slice(1)).toEqual([
      { data: "hello", binary: false },
      { data: "bytes", binary: true },
    ]);
    const closed = new Promise((resolve) => client.on("close", resolve));
    for (const socket of sockets.clients) socket.close(4_001, "done");
    expect(await closed).toBe(4_001);
  });

  test("an origin's refusal of the upgrade is passed on", async () => {
    const client = new WebSocket(`${lab.url.replace("http", "ws")}/204-not-a-socket`, { headers: AUTH });
    const status = await new Promise((resolve) => {
      client.on("unexpected-response", (_request, response) => resolve(response.statusCode));
      client.on("error", () => undefined);
    });
    expect(status).toBe(200);
  });
});

describe("a body of 1 GiB does not grow memory", () => {
  const status = (): string => `/proc/${lab.workerdPid}/status`;

  function residentMiB(): number {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(status(), "utf8"))?.[1] ?? Number.NaN) / 1_024;
  }

  /** The most that the process grew by while `work` ran. */
  async function growthOf(work: () => Promise<void>): Promise<number> {
    const before = residentMiB();
    let most = before;
    const timer = setInterval(() => (most = Math.max(most, residentMiB())), 20);
    await work();
    clearInterval(timer);
    return Math.max(most, residentMiB()) - before;
  }

  async function download(path: string): Promise<void> {
    const { request, response } = open(path);
    request.end();
    let bytes = 0;
    const answer = await response;
    answer.on("data", (chunk: Buffer) => (bytes += chunk.length));
    await new Promise((resolve) => answer.on("end", resolve));
    expect(bytes).toBe(GIB);
  }

  async function upload(path: string, headers: Record<string, string>): Promise<void> {
    const { request, response } = open(path, { method: "POST", headers });
    Readable.from(chunks(GIB)).pipe(request);
    expect((await response).statusCode).toBe(200);
    expect(origin.seen(path)?.bodyBytes).toBe(GIB);
  }

  const ways: [string, () => Promise<void>][] = [
    ["down, of known length", () => download("/gib-known")],
    ["down, chunked", () => download("/gib-chunked")],
    ["up, of known length", () => upload("/gib-up-known", { "content-length": String(GIB) })],
    ["up, chunked", () => upload("/gib-up-chunked", {})],
  ];
  test.each(ways)("%s", async (_name, work) => {
    if (!existsSync(status())) return console.log("skipped: no /proc here to read memory from");
    expect(await growthOf(work)).toBeLessThan(MAX_GROWTH_MIB);
  });
});
