import { mkdir } from "node:fs/promises";
import path from "node:path";
import { ROOT } from "../local/bundle.ts";
import { bundleEntry, readSettings } from "./bundle.ts";
import type { Settings } from "./bundle.ts";
import type { Binding, WorkerService } from "./capnp.ts";
import { startStores } from "./stores.ts";
import type { Stores } from "./stores.ts";
import { startWorkerd } from "./workerd.ts";
import type { Workerd } from "./workerd.ts";

/** The shipped Worker under `workerd serve`: its objects in the same process on SQLite files, KV and queue outside. */

export interface GatewayOptions {
  readonly originUrl: string;
  readonly directory: string;
  /** Default: the shipped `src/index.ts`. */
  readonly entry?: string;
  /** Default: as in wrangler.toml. */
  readonly minify?: boolean;
  readonly inspector?: boolean;
  readonly keepMessages?: boolean;
  /** A Worker beside it, on a socket of its own. */
  readonly beside?: (directory: string, settings: Settings) => Promise<WorkerService>;
}

export interface Gateway {
  readonly url: string;
  /** Where the Worker beside it listens. */
  readonly besideUrl: string;
  readonly rootToken: string;
  readonly stores: Stores;
  readonly server: () => Workerd;
  /** Ends the process and starts another on the same storage: a new isolate, objects without memory. The URLs change. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export const GATEWAY_SERVICE = "latchkey";
const SHIPPED = path.join(ROOT, "src/index.ts");

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { directory, originUrl, entry = SHIPPED } = options;
  const settings = readSettings(directory);
  const storage = path.join(directory, "objects");
  await mkdir(storage, { recursive: true });
  const { minify } = options;
  const module = await bundleEntry({ directory, entry, settings, ...(minify === undefined ? {} : { minify }) });
  const beside = await options.beside?.(directory, settings);
  const stores = await startStores(options.keepMessages);
  const rootToken = `lkroot_${"b".repeat(43)}`;
  const gateway: WorkerService = {
    name: GATEWAY_SERVICE,
    module: path.relative(directory, module),
    compatibilityDate: settings.compatibility_date,
    compatibilityFlags: settings.compatibility_flags,
    bindings: gatewayBindings(settings, {
      LATCHKEY_UPSTREAM_URL: originUrl,
      LATCHKEY_ROOT_TOKEN: rootToken,
      LATCHKEY_TOKEN_SECRET: "b".repeat(43),
    }),
    objectClasses: settings.migrations.flatMap(({ new_sqlite_classes: classes }) => classes ?? []),
  };
  const start = (): Promise<Workerd> =>
    startWorkerd({
      directory,
      inspector: options.inspector ?? false,
      config: {
        workers: beside === undefined ? [gateway] : [gateway, beside],
        external: { [KV_SERVICE]: stores.kvAddress, [QUEUE_SERVICE]: stores.queueAddress },
        sockets: { http: GATEWAY_SERVICE, ...(beside === undefined ? {} : { beside: beside.name }) },
        storage: path.relative(directory, storage),
      },
    });
  let server: Workerd;
  try {
    server = await start();
  } catch (error) {
    await stores.close();
    throw error;
  }
  return {
    get url() {
      return server.urls.get("http") ?? "";
    },
    get besideUrl() {
      return server.urls.get("beside") ?? "";
    },
    rootToken,
    stores,
    server: () => server,
    restart: async () => {
      await server.stop();
      server = await start();
    },
    stop: async () => {
      await server.stop();
      await stores.close();
    },
  };
}

const KV_SERVICE = "kv";
const QUEUE_SERVICE = "queue";

/** What wrangler.toml binds, as workerd knows it. Its cron and queue consumer are other invocations than a request's. */
function gatewayBindings(settings: Settings, variables: Readonly<Record<string, string>>): Binding[] {
  const texts = { ...settings.vars, ...variables };
  return [
    ...Object.entries(texts).map(([name, value]) => ({ name, text: String(value) })),
    ...settings.kv_namespaces.map(({ binding }) => ({ name: binding, kvNamespace: KV_SERVICE })),
    ...settings.durable_objects.bindings.map(({ name, class_name }) => ({ name, objectNamespace: class_name })),
    ...(settings.queues.producers ?? []).map(({ binding }) => ({ name: binding, queue: QUEUE_SERVICE })),
    ...settings.ratelimits.map(({ name }) => ({ name, rateLimit: true as const })),
  ];
}
