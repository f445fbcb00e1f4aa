import { acquireFrom, releaseTo } from "../../durable-objects/key-meter/client.ts";
import type { GatewayConfig } from "../config.ts";
import type { Result } from "../result.ts";
import type { CheckParts } from "./check.ts";
import { FailureShield } from "./failure-shield.ts";
import { LeaseBook } from "./lease-book.ts";
import { RecordCache } from "./record-cache.ts";
import { type ConfigError, compileConfig, type RouteTable } from "./routes.ts";

/** What an isolate keeps between requests: the compiled configuration, the record cache, the lease book, the shield. */
export interface Isolate {
  readonly config: GatewayConfig;
  readonly table: RouteTable;
  readonly parts: CheckParts;
}

/** Made once per isolate, from the configuration and the bindings; says what is wrong with the configuration, place by place. */
export function createIsolate(config: GatewayConfig, env: Env): Result<Isolate, readonly ConfigError[]> {
  const compiled = compileConfig(config, { ...env });
  if (!compiled.ok) return compiled;
  const table = compiled.value;
  const parts: CheckParts = {
    book: new LeaseBook(),
    cache: new RecordCache(),
    shield: new FailureShield(env.FAILURE_SHIELD),
    meters: {
      acquire: (meter, request) => acquireFrom(env.KEY_METER, meter, request),
      release: (meter, request) => releaseTo(env.KEY_METER, meter, request),
    },
    store: env.KEYS,
    prefixes: table.prefixes,
    importedKeys: table.importedKeys,
    plans: table.plans,
  };
  return { ok: true, value: { config, table, parts } };
}
