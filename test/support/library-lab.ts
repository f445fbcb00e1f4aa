import { mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";
import type { V4WorkerOptions } from "miniflare";
import { startDemoOrigin } from "../../scripts/demo-origin.ts";
import { bundleWorker } from "../../scripts/local/bundle.ts";
import { readWorkerOptions } from "../../scripts/local/worker-options.ts";

/**
 * Latchkey as other people deploy it: `library-worker.ts` with their configurations, beside a Worker that calls its `Verifier`
 * and one that is an upstream. One workerd, real sockets, one set of objects and one KV for all.
 */

/** Workers that serve the gateway; the first hosts the objects and consumes the queue. */
export type GatewayName = "full" | "sampled" | "broken" | "unbound";

export interface Ask {
  readonly method?: string;
  /** The `Host`, which decides the upstream. Default `api.lab.test`. */
  readonly host?: string;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** What the platform says of the connection: `request.cf`. */
  readonly cf?: Readonly<Record<string, unknown>>;
}

export interface Told {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** Throws when the body is no JSON. */
  readonly json: () => Record<string, unknown>;
}

export interface Library {
  readonly rootToken: string;
  /** Without a path; `control({ url, rootToken })` works. */
  readonly url: (gateway?: GatewayName) => string;
  /** Fires the cron trigger of `full` once. */
  readonly runScheduled: () => Promise<void>;
  readonly ask: (path: string, options?: Ask, gateway?: GatewayName) => Promise<Told>;
  /**
   * `Verifier.verify(input)` of the Worker `full`, called by another Worker through its binding: `LATCHKEY` has no props,
   * `LATCHKEY_OTHER` has `workspace: "other"`, `LATCHKEY_BROKEN` leads to the Worker `broken`.
   */
  readonly verify: (input: unknown, binding?: CallerBinding) => Promise<Record<string, unknown>>;
  /** Lines that any Worker logged, oldest first. */
  readonly logs: () => readonly string[];
  /** How often the upstream Worker was called. */
  readonly billingCalls: () => Promise<number>;
  readonly stop: () => Promise<void>;
}

export type CallerBinding = "LATCHKEY" | "LATCHKEY_OTHER" | "LATCHKEY_BROKEN";

/** The one host that serves the control API of the Worker `sampled`. */
export const CONTROL_HOST = "control.lab.test";

const HOME = "latchkey";
const ENTRY = path.join(import.meta.dirname, "library-worker.ts");
const SOCKET = { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] };

/** Another team's Worker. What it is given comes from the test. */
const CALLER = `export default {
  async fetch(request, env) {
    const { binding, input } = await request.json();
    try {
      return Response.json(await env[binding].verify(input));
    } catch (error) {
      return Response.json({ thrown: error.message });
    }
  },
};`;

/** An upstream that is a Worker: says what it was sent. */
const BILLING = `let calls = 0;
export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/__calls") return Response.json(calls);
    calls++;
    const headers = Object.fromEntries(request.headers);
    return Response.json({ billing: true, method: request.method, url: request.url, headers, body: await request.text() });
  },
};`;

export async function startLibrary(): Promise<Library> {
  const storage = await mkdtemp(path.join(tmpdir(), "latchkey-library-"));
  const bundle = await bundleWorker(storage, ENTRY);
  const origin = await startDemoOrigin();
  const rootToken = `lkroot_${"t".repeat(43)}`;
  const logs: string[] = [];
  const variables = {
    LATCHKEY_ROOT_TOKEN: rootToken,
    LATCHKEY_TOKEN_SECRET: "s".repeat(43),
    LATCHKEY_UPSTREAM_URL: origin.url,
  };
  const contents = await readFile(bundle.main, "utf8");
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.NONE),
      handleStructuredLogs: ({ message }) => void logs.push(message),
      resourcePersistencePath: path.join(storage, "data"),
      workers: planWorkers({ storage, contents, main: bundle.main, variables }),
    }),
  );
  await miniflare.ready;
  const urls = new Map<string, string>();
  for (const name of [HOME, "sampled", "broken", "unbound", "caller", "billing"])
    urls.set(name, (await miniflare.unsafeGetDirectURL(name)).origin);
  const url = (gateway: GatewayName = "full"): string => urls.get(gateway === "full" ? HOME : gateway) ?? "";
  return {
    rootToken,
    url,
    runScheduled: async () => void (await (await miniflare.getWorker(HOME)).scheduled({ cron: "* * * * *" })),
    ask: (target, options = {}, gateway = "full") => askOver(url(gateway), target, options),
    verify: async (input, binding = "LATCHKEY") => {
      const body = JSON.stringify({ binding, input });
      const response = await fetch(urls.get("caller") ?? "", { method: "POST", body });
      return (await response.json()) as Record<string, unknown>; // CALLER answers with an object
    },
    logs: () => logs,
    billingCalls: async () => Number(await (await fetch(`${urls.get("billing")}/__calls`)).text()),
    stop: async () => {
      await miniflare.dispose();
      await origin.close();
      await rm(storage, { recursive: true, force: true });
    },
  };
}

interface Plan {
  readonly storage: string;
  readonly contents: string;
  readonly main: string;
  readonly variables: Readonly<Record<string, string>>;
}

function planWorkers({ storage, contents, main, variables }: Plan): V4WorkerOptions[] {
  const { config, workerOptions } = readWorkerOptions(storage);
  const dated = {
    compatibilityDate: config.compatibility_date ?? "",
    compatibilityFlags: config.compatibility_flags,
  };
  const gateway = (labConfig: string): V4WorkerOptions => ({
    ...workerOptions,
    ...SOCKET,
    name: labConfig,
    rootPath: path.dirname(main),
    modules: [{ type: "ESModule", path: main, contents }],
    bindings: { ...config.vars, ...variables, LAB_CONFIG: labConfig },
    serviceBindings: { BILLING: "billing" },
    stripCfConnectingIp: false,
  });
  // wrangler's types leave this shape open; it is that of wrangler.toml.
  const objects = workerOptions["durableObjects"] as Readonly<
    Record<string, { className: string; useSQLite: boolean }>
  >;
  const elsewhere = Object.fromEntries(
    Object.entries(objects).map(([binding, object]) => [binding, { ...object, scriptName: HOME }]),
  );
  const guest = { queueConsumers: {}, cronTriggers: [], durableObjects: elsewhere };
  return [
    { ...gateway("full"), name: HOME },
    {
      ...gateway("sampled"),
      ...guest,
      bindings: { ...gateway("sampled").bindings, LATCHKEY_CONTROL_HOST: CONTROL_HOST },
    },
    { ...gateway("broken"), ...guest },
    { ...gateway("sampled"), ...guest, name: "unbound", kvNamespaces: {}, queueProducers: {} },
    {
      ...dated,
      ...SOCKET,
      name: "caller",
      modules: true,
      script: CALLER,
      serviceBindings: {
        LATCHKEY: { name: HOME, entrypoint: "Verifier" },
        LATCHKEY_OTHER: { name: HOME, entrypoint: "Verifier", props: { workspace: "other" } },
        LATCHKEY_BROKEN: { name: "broken", entrypoint: "Verifier" },
      },
    },
    { ...dated, ...SOCKET, name: "billing", modules: true, script: BILLING },
  ];
}

/** Node's `fetch` sets no `Host` and tidies up paths; `http` does as it is told. */
function askOver(base: string, target: string, options: Ask): Promise<Told> {
  const headers: Record<string, string> = {
    host: options.host ?? "api.lab.test",
    "cf-connecting-ip": "192.0.2.1",
    ...(options.key === undefined ? {} : { authorization: `Bearer ${options.key}` }),
    ...(options.cf === undefined ? {} : { "mf-cf-blob": JSON.stringify(options.cf) }),
    ...options.headers,
  };
  if (options.body !== undefined) headers["content-length"] = String(Buffer.byteLength(options.body));
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(base);
    const request = http.request(
      { host: hostname, port, path: target, method: options.method ?? "GET", headers, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => {
          const names = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(names) as Record<string, string>, // pairs of strings
            text,
            json: () => JSON.parse(text) as Record<string, unknown>, // what it holds is for assertions to say
          });
        });
      },
    );
    request.on("error", reject);
    request.end(options.body);
  });
}
