/** The origin behind every candidate, in a process of its own: answers everything at once with about 1 KB of JSON. */
import http from "node:http";
import type { AddressInfo } from "node:net";

const BODY = Buffer.from(
  JSON.stringify({
    data: Array.from({ length: 12 }, (_, index) => ({
      id: `rep_${1_000 + index}`,
      title: "A report of today",
      pages: index,
    })),
    nextCursor: "eyJwYWdlIjoyfQ",
    total: 4_711,
  }),
);

/** What an API usually says. */
const HEADERS = {
  "content-type": "application/json; charset=utf-8",
  "content-length": String(BODY.length),
  "cache-control": "private, max-age=0",
  etag: '"5f2c1a"',
  vary: "Accept-Encoding",
  "x-content-type-options": "nosniff",
} as const;

const server = http.createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  request.resume();
  response.writeHead(200, HEADERS).end(BODY);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo; // it listens on TCP
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});

// Its standard input ends with the benchmark.
process.stdin.resume().on("end", () => process.exit(0));
process.on("SIGINT", () => undefined);
