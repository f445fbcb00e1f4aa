import path from "node:path";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";
import { WRANGLER_CONFIG } from "./bundle.ts";

/**
 * What wrangler.toml asks of the runtime: its bindings for Miniflare, and the configuration itself. No `.dev.vars` or `.env`
 * is read, as wrangler would by itself: which variables count is decided in `secrets.ts` and by tests.
 */
export function readWorkerOptions(emptyDirectory: string) {
  process.env["CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV"] = "false";
  const config = unstable_readConfig({ config: WRANGLER_CONFIG });
  // wrangler looks beside this path.
  const userConfigPath = path.join(emptyDirectory, "wrangler.toml");
  const { workerOptions } = unstable_getMiniflareWorkerOptions({ ...config, userConfigPath });
  return { config, workerOptions };
}
