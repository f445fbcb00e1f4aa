import { Buffer } from "node:buffer";
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * KV and a queue as services outside the candidate's process: a KV or queue binding of workerd is an HTTP client, and this is
 * its server. It runs in the benchmark's own process, so that its time is nobody's, and it counts every operation.
 */

export interface StoreCounts {
  kvReads: number;
  kvWrites: number;
  /** Messages put on the queue; a batch of several counts each. */
  queueMessages: number;
  queueBytes: number;
}

export interface Stores {
  /** `127.0.0.1:PORT`, for an `external` service. */
  readonly kvAddress: string;
  readonly queueAddress: string;
  /** Puts a value into KV without counting it. */
  readonly putKv: (key: string, value: string) => void;
  readonly counts: () => Readonly<StoreCounts>;
  /** Bodies of the messages since the last call, where they are kept. */
  readonly takeMessages: () => readonly Buffer[];
  readonly close: () => Promise<void>;
}

/** `keepMessages`: for looking at them; a benchmark's millions of events would only fill the memory. */
export async function startStores(keepMessages = false): Promise<Stores> {
  const counts: StoreCounts = { kvReads: 0, kvWrites: 0, queueMessages: 0, queueBytes: 0 };
  let messages: Buffer[] = [];
  const kept = new Map<string, Buffer>();
  const kv = await serve((request, body) => answerKv(request, body, { kept, counts }));
  const queue = await serve((request, body) => {
    if (request.method !== "POST") return NO_BACKLOG;
    const sent = request.url === "/batch" ? batchSize(body) : 1;
    counts.queueMessages += sent;
    counts.queueBytes += body.length;
    if (keepMessages) messages.push(body);
    return NO_BACKLOG;
  });
  return {
    kvAddress: kv.address,
    queueAddress: queue.address,
    putKv: (key, value) => void kept.set(key, Buffer.from(value)),
    counts: () => ({ ...counts }),
    takeMessages: () => {
      const taken = messages;
      messages = [];
      return taken;
    },
    close: async () => {
      await Promise.all([kv.close(), queue.close()]);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly body: string | Buffer;
}

/** What a queue says of itself, also after a message was taken. */
const NO_BACKLOG: Answer = {
  status: 200,
  body: JSON.stringify({ metadata: { metrics: { backlogCount: 0, backlogBytes: 0, oldestMessageTimestamp: 0 } } }),
};

interface KvState {
  readonly kept: Map<string, Buffer>;
  readonly counts: StoreCounts;
}

/** `GET|PUT|DELETE /<key, percent-encoded>?urlencoded=true&…`; 404 for a key that is not there. No expiry, no metadata, no lists. */
function answerKv(request: IncomingMessage, body: Buffer, { kept, counts }: KvState): Answer {
  const key = decodeURIComponent((request.url ?? "/").slice(1).split("?")[0] ?? "");
  switch (request.method) {
    case "GET": {
      counts.kvReads += 1;
      const value = kept.get(key);
      return value === undefined ? { status: 404, body: "" } : { status: 200, body: value };
    }
    case "PUT":
      counts.kvWrites += 1;
      kept.set(key, body);
      return { status: 200, body: "" };
    case "DELETE":
      counts.kvWrites += 1;
      kept.delete(key);
      return { status: 200, body: "" };
    default:
      return { status: 405, body: "" };
  }
}

/** `sendBatch`: `{ messages: [{ body: base64, … }] }`. */
function batchSize(body: Buffer): number {
  const { messages } = JSON.parse(body.toString()) as { messages: readonly unknown[] }; // workerd's own format
  return messages.length;
}

type Answering = (request: IncomingMessage, body: Buffer) => Answer;

async function serve(answer: Answering): Promise<{ readonly address: string; readonly close: () => Promise<void> }> {
  const server = http.createServer(
    { keepAliveTimeout: 600_000 },
    (request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("error", () => response.destroy());
      request.on("end", () => {
        const { status, body } = answer(request, Buffer.concat(chunks));
        response.writeHead(status, { "content-length": Buffer.byteLength(body) }).end(body);
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    address: `127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
