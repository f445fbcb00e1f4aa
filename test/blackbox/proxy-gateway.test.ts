import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { control } from "../support/control.ts";
import { readAll, startProxyOrigin } from "../support/proxy-origin.ts";
import type { ProxyOrigin } from "../support/proxy-origin.ts";
import { startServer } from "../support/server.ts";
import type { Server } from "../support/server.ts";

/** The whole gateway, as `npm start` serves it, in front of an origin that we can watch. */

const MIB = 1_048_576;

let origin: ProxyOrigin;
let gateway: Server;
let key: string;

beforeAll(async () => {
  origin = await startProxyOrigin({
    "/hang": () => undefined,
    "/events": (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let sent = 0;
      const timer = setInterval(() => {
        sent += 1;
        response.write(`data: ${sent}\n\n`);
        if (sent === 4) response.end(() => clearInterval(timer));
      }, 100);
    },
    "/reflect": (request, response, seen) => readAll(request, seen, () => response.end(JSON.stringify(seen))),
  });
  gateway = await startServer({ upstream: origin.url });
  ({ key } = await control(gateway).issue({
    limits: [{ name: "burst", limit: 10_000, window: "minute", kind: "rate" }],
  }));
});

afterAll(async () => {
  await gateway?.stop();
  await origin?.close();
});

const call = (path: string, init: RequestInit = {}, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.url}${path}`, { ...init, headers: { authorization: `Bearer ${key}`, ...headers } });

async function until(condition: () => boolean, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (condition()) return true;
  return false;
}

test("an admitted request reaches the origin with its holder's identity and without its key", async () => {
  const answer = await call("/reflect?a=%2F", { method: "POST", body: "abc" }, { "x-latchkey-owner": "mallory" });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("ratelimit-policy")).toBe('"burst";q=10000;w=60');
  const text = await answer.text();
  expect(text).not.toContain(key);
  expect(origin.seen("/reflect?a=%2F")).toMatchObject({
    method: "POST",
    bodyBytes: 3,
    headers: { "x-latchkey-owner": "acme", "x-forwarded-for": "127.0.0.1" },
  });
});

test("a client that goes away cancels its request to the origin", async () => {
  const controller = new AbortController();
  const answer = call("/hang", { signal: controller.signal });
  expect(await until(() => origin.seen("/hang") !== undefined, 2_000)).toBe(true);
  controller.abort();
  await expect(answer).rejects.toThrow();
  expect(await until(() => origin.seen("/hang")?.cut === true, 2_000)).toBe(true);
});

test("the request of a client that went away is in the usage all the same, once, as 499", async () => {
  const leaver = await control(gateway).issue({ name: "Leaves early" });
  const controller = new AbortController();
  const answer = call("/hang?twice", { signal: controller.signal }, { authorization: `Bearer ${leaver.key}` });
  expect(await until(() => origin.seen("/hang?twice") !== undefined, 2_000)).toBe(true);
  controller.abort();
  await expect(answer).rejects.toThrow();
  const counted = async (): Promise<unknown> => {
    const usage = await control(gateway).call("GET", `/usage?key=${leaver.id}&groupBy=status`);
    return usage.body["series"];
  };
  // Five seconds is what events take at most.
  await expect.poll(counted, { timeout: 8_000, interval: 250 }).toMatchObject([{ status: 499, requests: 1 }]);
});

test("server-sent events arrive one by one", async () => {
  const answer = await call("/events");
  const arrivals: number[] = [];
  for await (const _ of answer.body ?? []) arrivals.push(Date.now());
  expect(arrivals.length).toBe(4);
  expect((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0)).toBeGreaterThan(200);
});

describe("refused before anything is charged or sent", () => {
  const remaining = async (): Promise<number> =>
    Number(/r=(\d+)/.exec((await call("/reflect")).headers.get("ratelimit") ?? "")?.[1] ?? Number.NaN);

  test("a body, a URL and headers that are too large", async () => {
    const before = await remaining();
    expect((await call("/large", { method: "POST", body: new Uint8Array(100 * MIB + 1) })).status).toBe(413);
    expect((await call(`/long?${"x".repeat(17 * 1_024)}`)).status).toBe(414);
    expect(await statusOf("/wide", { "x-wide": "x".repeat(66 * 1_024) })).toBe(431);
    for (const path of ["/large", "/wide"]) expect(origin.seen(path)).toBeUndefined();
    expect(await remaining()).toBe(before - 1);
  });

  test("a path that origins may read as another route's", async () => {
    for (const path of [
      "/public/../reports/1",
      "/public/%2e%2e/reports/1",
      "/public/..%2freports/1",
      "/x/..;/reports/1",
    ]) {
      expect(await statusOf(path, {}), path).toBe(400);
    }
    expect(origin.seen("/reports/1")).toBeUndefined();
  });

  /** `fetch` would tidy up the path. */
  function statusOf(path: string, headers: Record<string, string>): Promise<number> {
    return new Promise((resolve, reject) => {
      const options = { path, headers: { authorization: `Bearer ${key}`, ...headers }, agent: false };
      const request = http.get(gateway.url, options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on("error", reject);
    });
  }
});

test("a chunked upload streams through", async () => {
  const body = new ReadableStream({
    async start(controller) {
      for (let part = 0; part < 5; part++) {
        controller.enqueue(new Uint8Array(100_000));
        await sleep(20);
      }
      controller.close();
    },
  });
  const answer = await call("/reflect?chunked", { method: "POST", body, duplex: "half" } as RequestInit);
  expect(answer.status).toBe(200);
  expect(origin.seen("/reflect?chunked")).toMatchObject({ bodyBytes: 500_000, complete: true });
});

test("a WebSocket passes, with its key in a header", async () => {
  const sockets = new WebSocketServer({ server: origin.server });
  sockets.on("connection", (socket) => socket.on("message", (data: Buffer) => socket.send(`echo ${data.toString()}`)));
  const client = new WebSocket(`${gateway.url.replace("http", "ws")}/socket`, { headers: { "x-api-key": key } });
  const message = new Promise((resolve, reject) => {
    client.on("message", (data: Buffer) => resolve(data.toString()));
    client.on("error", reject);
  });
  client.on("open", () => client.send("hello"));
  expect(await message).toBe("echo hello");
  client.close();
  sockets.close();
});
