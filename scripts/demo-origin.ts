/**
 * The API that `npm start` puts Latchkey in front of. It answers with what it was sent, and misbehaves when its path's tail
 * says so: `/reports/slow/200` waits 200 ms, as `/slow/200` does.
 */
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";

export interface DemoOrigin {
  readonly url: string;
  readonly close: () => Promise<void>;
}

type Answer = (request: IncomingMessage, response: ServerResponse, argument: string, url: URL) => Promise<void> | void;

const MAX_SLOW_MS = 600_000;
const MAX_LINES = 100_000;
const LINE_INTERVAL_MS = 20;
const CHUNK_BYTES = 64 * 1_024;

/** Reads a body of any size without keeping it. Rejects when the client goes away. */
async function countBody(request: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of request) bytes += (chunk as Buffer).length; // no encoding is set, so chunks are buffers
  return bytes;
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(`${JSON.stringify(body, null, 2)}\n`);
}

/** Says what was received. */
async function describe(request: IncomingMessage, response: ServerResponse, status: number, url: URL): Promise<void> {
  const bodyBytes = await countBody(request);
  sendJson(response, status, {
    method: request.method,
    path: url.pathname,
    query: url.search,
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    bodyBytes,
  });
}

/** One write at a time, with the client's pace and a small delay between. */
async function sendLines(response: ServerResponse, count: number, line: (index: number) => string): Promise<void> {
  for (let index = 1; index <= count && !response.destroyed; index++) {
    response.write(line(index));
    await sleep(LINE_INTERVAL_MS);
  }
  response.end();
}

function* zeros(bytes: number): Generator<Buffer> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) yield left >= CHUNK_BYTES ? chunk : chunk.subarray(0, left);
}

/** By the last segments of the path; the argument is what the pattern's group holds. */
const ANSWERS: readonly (readonly [pattern: RegExp, answer: Answer])[] = [
  [
    /\/slow\/(\d{1,6})$/,
    async (request, response, argument, url) => {
      await sleep(Math.min(Number(argument), MAX_SLOW_MS));
      await describe(request, response, 200, url);
    },
  ],
  [
    /\/status\/([2-5]\d\d)$/,
    async (request, response, argument, url) => {
      const status = Number(argument);
      if (status !== 204 && status !== 205 && status !== 304) return describe(request, response, status, url);
      await countBody(request);
      response.writeHead(status).end();
    },
  ],
  [/\/fail()$/, (request) => void request.socket.destroy()],
  [
    /\/stream\/(\d{1,6})$/,
    (_request, response, argument) => {
      response.writeHead(200, { "content-type": "text/plain" });
      return sendLines(response, Math.min(Number(argument), MAX_LINES), (index) => `line ${index}\n`);
    },
  ],
  [
    /\/sse\/(\d{1,6})$/,
    (_request, response, argument) => {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      return sendLines(
        response,
        Math.min(Number(argument), MAX_LINES),
        (index) => `id: ${index}\ndata: event ${index}\n\n`,
      );
    },
  ],
  [
    /\/bytes\/(\d{1,12})$/,
    (request, response, argument) => {
      response.writeHead(200, { "content-type": "application/octet-stream", "content-length": argument });
      if (request.method === "HEAD") return void response.end();
      return pipeline(Readable.from(zeros(Number(argument))), response);
    },
  ],
  [
    /\/redirect()$/,
    (_request, response, _argument, url) => {
      response.writeHead(302, { location: encodeURI(url.searchParams.get("to") ?? "/") }).end();
    },
  ],
  [
    /\/cookies()$/,
    (_request, response) => {
      response.writeHead(200, [
        ["content-type", "application/json"],
        ["set-cookie", "first=1; Path=/; HttpOnly"],
        ["set-cookie", "second=2; Expires=Wed, 01 Jan 2031 00:00:00 GMT"],
      ]);
      response.end('{ "cookies": 2 }\n');
    },
  ],
  [
    /\/echo()$/,
    (request, response) => {
      const { "content-type": type, "content-length": length } = request.headers;
      response.writeHead(200, {
        "content-type": type ?? "application/octet-stream",
        ...(length === undefined ? {} : { "content-length": length }),
      });
      return pipeline(request, response);
    },
  ],
];

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://origin.invalid");
  for (const [pattern, respond] of ANSWERS) {
    const match = pattern.exec(url.pathname);
    if (match !== null) return respond(request, response, match[1] ?? "", url);
  }
  return describe(request, response, 200, url);
}

/** Listens on loopback; `port` 0 takes a free one. */
export async function startDemoOrigin(port = 0): Promise<DemoOrigin> {
  // What the gateway lets through must not fail on a smaller bound here.
  const server = http.createServer({ requestTimeout: 0, maxHeaderSize: 256 * 1_024 }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    if (request.headers.upgrade?.toLowerCase() !== "websocket" || !/\/ws(?:\?|$)/.test(request.url ?? ""))
      return void socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
      client.on("error", () => client.terminate());
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  // A listening TCP server has an AddressInfo, never a path.
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${bound}`,
    close: () =>
      new Promise((resolve) => {
        for (const client of sockets.clients) client.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
