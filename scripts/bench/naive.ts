import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { bundleEntry, readSettings } from "./bundle.ts";
import type { Candidate } from "./candidate.ts";
import { keyedRequest, newKey } from "./keyed-request.ts";
import { startStores } from "./stores.ts";
import { startWorkerd } from "./workerd.ts";

const ENTRY = path.join(import.meta.dirname, "workers/naive-worker.ts");

/** As FULL_KEY has it, as far as this one goes. */
const RECORD = {
  id: "key_1",
  owner: "acme",
  enabled: true,
  scopes: ["reports:read", "charges:write"],
  limitPerMinute: 100_000_000,
} as const;

export const NAIVE: Candidate = {
  name: "naive",
  about: "what one would write first: a KV read, an object call, a SQLite row and a queue message for every request",
  family: "naive",
  floor: "hono",
  start: async ({ originUrl, directory }) => {
    const settings = readSettings(directory);
    const module = await bundleEntry({ directory, entry: ENTRY, settings });
    const storage = path.join(directory, "objects");
    await mkdir(storage);
    const stores = await startStores();
    const key = newKey();
    stores.putKv(`key:${createHash("sha256").update(key).digest("hex")}`, JSON.stringify(RECORD));
    const server = await startWorkerd({
      directory,
      config: {
        workers: [
          {
            name: "naive",
            module: path.relative(directory, module),
            compatibilityDate: settings.compatibility_date,
            compatibilityFlags: settings.compatibility_flags,
            bindings: [
              { name: "ORIGIN_URL", text: originUrl },
              { name: "KEYS", kvNamespace: "kv" },
              { name: "USAGE", queue: "queue" },
              { name: "LIMITER", objectNamespace: "Limiter" },
            ],
            objectClasses: ["Limiter"],
          },
        ],
        external: { kv: stores.kvAddress, queue: stores.queueAddress },
        sockets: { http: "naive" },
        storage: path.relative(directory, storage),
      },
    }).catch(async (error: unknown) => {
      await stores.close();
      throw error;
    });
    return {
      url: server.urls.get("http") ?? "",
      pids: () => [server.pid],
      requests: [keyedRequest(key)],
      expectedStatus: 200,
      stop: async () => {
        await server.stop();
        await stores.close();
      },
    };
  },
};
