import path from "node:path";
import { bundleEntry, readSettings } from "./bundle.ts";
import { COMMON_HEADERS, REQUEST_PATH } from "./candidate.ts";
import type { Candidate } from "./candidate.ts";
import { startWorkerd } from "./workerd.ts";

/** Proxies that check nothing: what the others are measured against. */

/** Carried and ignored, so that every candidate reads and sends the same bytes: as long as one of Latchkey's keys. */
const SOME_CREDENTIAL = `Bearer ${"x".repeat(46)}`;

function proxy(name: string, about: string, entry: string): Candidate {
  return {
    name,
    about,
    family: "floor",
    floor: null,
    start: async ({ originUrl, directory }) => {
      const settings = readSettings(directory);
      const module = await bundleEntry({ directory, entry: path.join(import.meta.dirname, entry), settings });
      const server = await startWorkerd({
        directory,
        config: {
          workers: [
            {
              name,
              module: path.relative(directory, module),
              compatibilityDate: settings.compatibility_date,
              compatibilityFlags: settings.compatibility_flags,
              bindings: [{ name: "ORIGIN_URL", text: originUrl }],
              objectClasses: [],
            },
          ],
          external: {},
          sockets: { http: name },
          storage: null,
        },
      });
      return {
        url: server.urls.get("http") ?? "",
        pids: () => [server.pid],
        requests: [
          { method: "GET", path: REQUEST_PATH, headers: { ...COMMON_HEADERS, authorization: SOME_CREDENTIAL } },
        ],
        expectedStatus: 200,
        stop: server.stop,
      };
    },
  };
}

export const FLOOR = proxy("floor", "a bare fetch proxy Worker: no check at all", "workers/floor-worker.ts");
export const HONO = proxy("hono", "the same proxy through Hono", "workers/hono-worker.ts");
export const PROMISES = proxy(
  "promises",
  "no check: the fields, deadline and abort alone that the contract promises of a forwarded request",
  "workers/promises-worker.ts",
);
