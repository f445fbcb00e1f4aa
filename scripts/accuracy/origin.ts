import http from "node:http";
import type { AddressInfo } from "node:net";

/** When the origin had the request, epoch ms: it was admitted before. By the clock of this process, as every other time here. */
export const ARRIVED_AT = "x-arrived-at";

export interface Origin {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Answers every request at once and says when it came. */
export async function startOrigin(): Promise<Origin> {
  const server = http.createServer((request, response) => {
    const arrivedAt = Date.now();
    request.resume();
    response.writeHead(200, { [ARRIVED_AT]: arrivedAt, "content-length": 0 }).end();
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  // A listening TCP server has an AddressInfo, never a path.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
