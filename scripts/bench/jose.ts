import path from "node:path";
import { bundleEntry, readSettings } from "./bundle.ts";
import { COMMON_HEADERS } from "./candidate.ts";
import type { Candidate } from "./candidate.ts";
import { startWorkerd } from "./workerd.ts";

/** jose by itself, in a Worker that does nothing else: what signing and verifying cost at least. */

function jose(name: string, about: string, work: "sign" | "verify"): Candidate {
  return {
    name,
    about,
    family: "floor",
    floor: null,
    start: async ({ directory }) => {
      const settings = readSettings(directory);
      const entry = path.join(import.meta.dirname, "workers/jose-worker.ts");
      const module = await bundleEntry({ directory, entry, settings });
      const worker = {
        name,
        module: path.relative(directory, module),
        compatibilityDate: settings.compatibility_date,
        compatibilityFlags: settings.compatibility_flags,
        bindings: [],
        objectClasses: [],
      };
      const config = { workers: [worker], external: {}, sockets: { http: name }, storage: null };
      const server = await startWorkerd({ directory, config });
      return {
        url: server.urls.get("http") ?? "",
        pids: () => [server.pid],
        requests: [{ method: "GET", path: `/${work}`, headers: COMMON_HEADERS }],
        expectedStatus: 200,
        stop: server.stop,
      };
    },
  };
}

export const JOSE_SIGN = jose("jose-sign", "jose alone signs a token (ES256) and answers with it", "sign");
export const JOSE_VERIFY = jose("jose-verify", "jose alone verifies a token (ES256), each time anew", "verify");
