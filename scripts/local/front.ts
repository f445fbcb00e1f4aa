import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/**
 * What Cloudflare's edge does in front of a Worker, for local running: it alone says who the client is. Miniflare's own
 * entry keeps a `CF-Connecting-IP` that the client sent and rewrites `Accept-Encoding`; this one passes everything as it came.
 */

/** Where the Worker listens. A promise while it starts, so that early requests wait instead of failing. */
export type Target = () => Promise<URL>;

export interface Front {
  readonly port: number;
  /** When the last request ended or came in, epoch ms; 0 if none did. */
  readonly lastUseTime: () => number;
  /** Stops listening and cuts every connection. */
  readonly close: () => Promise<void>;
}

/** The Worker refuses headers of more than 64 KB with a problem document; what it is to refuse must reach it. */
const MAX_HEADER_BYTES = 256 * 1_024;

/** workerd drops an idle connection after 5 s; ours goes first, so that no request meets a dead one. */
const IDLE_CONNECTION_MS = 3_000;

/** A smaller body fits into the socket's buffers, whether it is read or not. */
const LARGE_BODY_BYTES = 64 * 1_024;

const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-connection", "expect"]);

/** Only the edge says these. `mf-` steers Miniflare. */
const EDGE_ONLY = /^(?:cf-|mf-|x-forwarded-for$|x-real-ip$|true-client-ip$)/i;

/** IPv4 in IPv6 clothes is IPv4. */
function plainAddress(address: string | undefined): string {
  return (address ?? "127.0.0.1").replace(/^::ffff:(?=\d+\.)/i, "");
}

/** The client's headers, pairs flat, order and duplicates kept, as the edge would hand them on. */
function requestHeaders(request: IncomingMessage, country: string): string[] {
  const named = new Set((request.headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  const upgrade = request.headers.upgrade?.toLowerCase() === "websocket";
  const headers: string[] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] ?? "";
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || EDGE_ONLY.test(lower)) continue;
    if (named.has(lower) || lower === "upgrade") continue;
    headers.push(name, request.rawHeaders[index + 1] ?? "");
  }
  if (upgrade) headers.push("Connection", "Upgrade", "Upgrade", "websocket");
  else headers.push("Connection", "keep-alive");
  if (waitsForWord(request)) headers.push("Expect", "100-continue");
  headers.push("CF-Connecting-IP", plainAddress(request.socket.remoteAddress));
  headers.push("MF-CF-Blob", JSON.stringify({ country, colo: "LOCAL", httpProtocol: `HTTP/${request.httpVersion}` }));
  return headers;
}

/**
 * Whether the body stays here until the Worker begins to read it. A Worker that refuses a request unread closes the
 * connection, and its answer would be lost among the octets of a large body.
 */
function waitsForWord(request: IncomingMessage): boolean {
  return (
    Number(request.headers["content-length"] ?? 0) > LARGE_BODY_BYTES ||
    request.headers["transfer-encoding"] !== undefined
  );
}

function responseHeaders(response: IncomingMessage): string[] {
  const headers: string[] = [];
  for (let index = 0; index + 1 < response.rawHeaders.length; index += 2) {
    const name = response.rawHeaders[index] ?? "";
    const lower = name.toLowerCase();
    if (lower === "connection" || lower === "keep-alive" || lower === "transfer-encoding") continue;
    headers.push(name, response.rawHeaders[index + 1] ?? "");
  }
  return headers;
}

/** `GET http://host/path` is allowed to clients of proxies; the Worker takes `/path`. */
function originForm(url: string): string {
  if (url.startsWith("/") || url === "*") return url;
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  return path.startsWith("/") ? path : `/${path}`;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly target: URL;
  readonly agent: http.Agent;
  readonly country: string;
}

function openUpstream({ request, target, agent, country }: Exchange): http.ClientRequest {
  return http.request({
    agent,
    host: target.hostname,
    port: target.port,
    method: request.method,
    path: originForm(request.url ?? "/"),
    headers: requestHeaders(request, country),
    setHost: false,
  });
}

/** A request without a body that met a connection closed in the same moment may go again: the Worker never saw it. */
function mayRepeat(request: IncomingMessage, upstream: http.ClientRequest, error: NodeJS.ErrnoException): boolean {
  const bodyless =
    request.headers["content-length"] === undefined && request.headers["transfer-encoding"] === undefined;
  return upstream.reusedSocket && bodyless && error.code === "ECONNRESET";
}

function pass(exchange: Exchange, response: ServerResponse): void {
  const { request } = exchange;
  const upstream = openUpstream(exchange);
  let answered = false;
  upstream.on("response", (answer) => {
    answered = true;
    // The Worker may answer before it has read the whole body: the rest is read and dropped, so that the client gets its answer.
    answer.on("end", () => {
      request.unpipe(upstream);
      request.resume();
    });
    answer.on("error", () => response.destroy());
    answer.on("aborted", () => response.destroy());
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, responseHeaders(answer));
    response.flushHeaders();
    answer.pipe(response);
  });
  upstream.on("error", (error: NodeJS.ErrnoException) => {
    if (answered || response.destroyed) return;
    if (mayRepeat(request, upstream, error)) return pass(exchange, response);
    request.resume();
    response.writeHead(503, { "content-type": "text/plain", "retry-after": "1" });
    response.end("The Worker is not running right now.\n");
  });
  response.on("close", () => {
    if (response.writableFinished) return;
    // A reset, and not a mere FIN: the Worker's server takes that one for a client that sends no more and still waits.
    upstream.socket?.resetAndDestroy();
    upstream.destroy();
  });
  if (!waitsForWord(request)) return void request.pipe(upstream);
  upstream.on("continue", () => request.pipe(upstream));
  upstream.flushHeaders();
}

function passUpgrade(exchange: Exchange, socket: Duplex, head: Buffer): void {
  const upstream = openUpstream(exchange);
  upstream.on("upgrade", (answer, upstreamSocket, upstreamHead) => {
    const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
    for (let index = 0; index + 1 < answer.rawHeaders.length; index += 2)
      lines.push(`${answer.rawHeaders[index]}: ${answer.rawHeaders[index + 1]}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
    socket.write(upstreamHead);
    upstreamSocket.write(head);
    upstreamSocket.pipe(socket).pipe(upstreamSocket);
    upstreamSocket.on("error", () => socket.destroy());
    upstreamSocket.on("close", () => socket.destroy());
    socket.on("close", () => upstreamSocket.destroy());
  });
  // A refusal is an ordinary answer.
  upstream.on("response", (answer) => {
    const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
    const headers = responseHeaders(answer);
    for (let index = 0; index + 1 < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
    socket.write(`${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`, "latin1");
    answer.pipe(socket);
  });
  upstream.on("error", () => socket.destroy());
  socket.on("error", () => upstream.destroy());
  upstream.end();
}

function listen(server: http.Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host }, () => {
      server.off("error", reject);
      // A listening TCP server has an AddressInfo, never a path.
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/**
 * Listens on loopback, IPv4 and, where there is one, IPv6, and passes each request to the Worker.
 * `port` 0 takes a free one. Rejects with `EADDRINUSE` when the port is taken. `country` stands in `request.cf`.
 */
export async function startFront(port: number, target: Target, country: string): Promise<Front> {
  const agent = new http.Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS, maxSockets: Infinity });
  let lastUseTime = 0;
  const make = (): http.Server => {
    const server = http.createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      // Slow uploads are the Worker's business.
      requestTimeout: 0,
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === "websocket",
    });
    server.on("request", (request, response) => {
      lastUseTime = Date.now();
      request.on("error", () => response.destroy());
      response.on("close", () => (lastUseTime = Date.now()));
      void target().then(
        (url) => pass({ request, target: url, agent, country }, response),
        () => response.destroy(),
      );
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      lastUseTime = Date.now();
      socket.on("error", () => socket.destroy());
      void target().then(
        (url) => passUpgrade({ request, target: url, agent, country }, socket, head),
        () => socket.destroy(),
      );
    });
    return server;
  };
  const v4 = make();
  const servers = [v4];
  const bound = await listen(v4, port, "127.0.0.1");
  const v6 = make();
  try {
    await listen(v6, bound, "::1");
    servers.push(v6);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code; // listen() rejects with system errors only
    if (code === "EADDRINUSE") {
      v4.close();
      // A free port was asked for and the other family's is taken: another one will do.
      if (port === 0) return startFront(0, target, country);
      throw error;
    }
    // No IPv6 on this machine.
  }
  return {
    port: bound,
    lastUseTime: () => lastUseTime,
    close: async () => {
      await Promise.all(
        servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => resolve());
              server.closeAllConnections();
            }),
        ),
      );
      agent.destroy();
    },
  };
}
