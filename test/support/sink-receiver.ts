import http from "node:http";
import type { AddressInfo } from "node:net";

/** A server that keeps events as Elasticsearch does (`create` by id) and answers as it does, and takes whatever is posted elsewhere. */

interface Taken {
  readonly path: string;
  readonly authorization: string;
  readonly contentType: string;
  readonly body: string;
}

export interface SinkReceiver {
  readonly url: string;
  readonly posted: readonly Taken[];
  /** What the index holds, by id. */
  readonly documents: ReadonlyMap<string, Record<string, unknown>>;
  /** `create`s of ids that were there already. */
  readonly conflicts: () => number;
  /** Path → what is answered there in place of 200. */
  readonly answers: Map<string, number>;
  /** Id → the status of its next `create`s, so many of them. */
  readonly faults: Map<string, { readonly status: number; times: number }>;
  readonly stop: () => Promise<void>;
}

export async function startSinkReceiver(): Promise<SinkReceiver> {
  const posted: Taken[] = [];
  const documents = new Map<string, Record<string, unknown>>();
  const answers = new Map<string, number>();
  const faults: SinkReceiver["faults"] = new Map();
  let conflicts = 0;
  const create = (id: string, document: Record<string, unknown>): object => {
    const fault = faults.get(id);
    if (fault !== undefined && fault.times > 0) {
      fault.times -= 1;
      const type = fault.status === 400 ? "document_parsing_exception" : "es_rejected_execution_exception";
      return { create: { _id: id, status: fault.status, error: { type } } };
    }
    if (documents.has(id)) {
      conflicts += 1;
      return { create: { _id: id, status: 409, error: { type: "version_conflict_engine_exception" } } };
    }
    documents.set(id, document);
    return { create: { _id: id, status: 201 } };
  };
  const bulk = (body: string): string => {
    const lines = body.trimEnd().split("\n");
    const items: object[] = [];
    for (let at = 0; at < lines.length; at += 2) {
      // What the sink writes is for assertions to say.
      const action = JSON.parse(lines[at] ?? "") as { readonly create: { readonly _id: string } };
      const { _id: id } = action.create;
      items.push(create(id, JSON.parse(lines[at + 1] ?? "") as Record<string, unknown>));
    }
    return JSON.stringify({ items });
  };
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      const { pathname } = new URL(request.url ?? "/", "http://receiver");
      const { authorization = "", "content-type": contentType = "" } = request.headers;
      posted.push({ path: pathname, authorization, contentType, body });
      const status = answers.get(pathname) ?? 200;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(status === 200 && pathname === "/_bulk" ? bulk(body) : "{}");
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    // It listens on TCP.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    posted,
    documents,
    conflicts: () => conflicts,
    answers,
    faults,
    stop: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
