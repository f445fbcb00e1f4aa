/**
 * A Worker as someone writes it who takes Latchkey as a library: what docs/using-as-library.md shows, with a configuration of
 * its own. Entry module of the Workers in `startLibrary`; never deployed. Two paths more let a test look inside.
 */
import { env as ownEnv } from "cloudflare:workers";
import { defineGateway, defineVerifier } from "../../src/define-gateway.ts";
import { reconcileHour } from "../../src/usage/reconcile-run.ts";
import { LIBRARY_CONFIGS } from "./library-config.ts";

export { AlertCenter } from "../../durable-objects/alert-center/alert-center.ts";
export { HashClaims } from "../../durable-objects/hash-claims/hash-claims.ts";
export { KeyMeter } from "../../durable-objects/key-meter/key-meter.ts";
export { KeyRegistry } from "../../durable-objects/key-registry/key-registry.ts";
export { LeaseBroker } from "../../durable-objects/lease-broker/lease-broker.ts";
export { ReplayGuard } from "../../durable-objects/replay-guard/replay-guard.ts";
export { RequestLog } from "../../durable-objects/request-log/request-log.ts";
export { Watch } from "../../durable-objects/watch/watch.ts";
export { SigningKeys } from "../../durable-objects/signing-keys/signing-keys.ts";
export { UsageLedger } from "../../durable-objects/usage-ledger/usage-ledger.ts";

const config = LIBRARY_CONFIGS[String(Reflect.get(ownEnv, "LAB_CONFIG"))];
if (config === undefined) throw new Error("LAB_CONFIG names no configuration");

const gateway = defineGateway(config);
export const Verifier = defineVerifier(config);

export default {
  ...gateway,
  async fetch(request, env, ctx) {
    // The present hour, which the cron does not compare yet.
    if (new URL(request.url).pathname === "/__lab/reconcile") {
      return Response.json(await reconcileHour(env, "default", Date.now()));
    }
    return await gateway.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
