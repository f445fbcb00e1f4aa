import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import net from "node:net";
import type { AddressInfo } from "node:net";

/** An origin whose every octet is known: some paths answer through `node:http`, those under `/raw/` with prepared octets. */

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: http.IncomingHttpHeaders;
  bodyBytes: number;
  /** The body came whole. */
  complete: boolean;
  /** The gateway closed before the answer was out. */
  cut: boolean;
}

export interface ProxyOrigin {
  readonly url: string;
  readonly port: number;
  readonly server: http.Server;
  /** By path with query, newest last. */
  readonly seen: (url: string) => SeenRequest | undefined;
  readonly close: () => Promise<void>;
}

export type OriginAnswer = (request: IncomingMessage, response: ServerResponse, seen: SeenRequest) => void;

/** `answers` by path without query; `raw` likewise: the socket gets these octets once the request's header is in, and stays open unless told. */
export async function startProxyOrigin(answers: Readonly<Record<string, OriginAnswer>>): Promise<ProxyOrigin> {
  const requests: SeenRequest[] = [];
  const server = http.createServer({ keepAliveTimeout: 1_000 }, (request, response) => {
    const seen: SeenRequest = {
      method: request.method ?? "",
      url: request.url ?? "",
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      bodyBytes: 0,
      complete: false,
      cut: false,
    };
    requests.push(seen);
    request.on("error", () => undefined);
    response.on("close", () => (seen.cut = !response.writableFinished));
    const answer = answers[seen.url.split("?")[0] ?? ""];
    if (answer !== undefined) return answer(request, response, seen);
    readAll(request, seen, () => response.end(JSON.stringify({ bodyBytes: seen.bodyBytes })));
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    seen: (url) => requests.findLast((request) => request.url === url),
    close: () => closeServer(server),
  };
}

export function readAll(request: IncomingMessage, seen: SeenRequest, then: () => void): void {
  request.on("data", (chunk: Buffer) => (seen.bodyBytes += chunk.length));
  request.on("end", () => {
    seen.complete = true;
    then();
  });
}

export interface RawOrigin {
  readonly url: string;
  readonly received: () => string;
  readonly close: () => Promise<void>;
}

/** Writes `answer` to whoever has sent a request header, and keeps what it received. `null`: closes instead. */
export async function startRawOrigin(answer: string | Buffer | null): Promise<RawOrigin> {
  let received = "";
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      const first = received === "";
      received += chunk.toString("latin1");
      if (!first) return;
      if (answer === null) socket.resetAndDestroy();
      else socket.write(answer);
    });
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, received: () => received, close: () => closeServer(server) };
}

function listen(server: net.Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)); // a TCP server has an AddressInfo
  });
}

function closeServer(server: net.Server): Promise<void> {
  if (server instanceof http.Server) server.closeAllConnections();
  return new Promise((resolve) => {
    server.close(() => resolve());
    // Sockets of a raw server end with the test process.
    if (!(server instanceof http.Server)) resolve();
  });
}
