import config from "../gateway.config.ts";
import { defineGateway, defineVerifier } from "./define-gateway.ts";

/** Entry points only: what the Worker answers is in `app.ts`, one request's way in `gateway/`. */

export { AlertCenter } from "../durable-objects/alert-center/alert-center.ts";
export { HashClaims } from "../durable-objects/hash-claims/hash-claims.ts";
export { KeyMeter } from "../durable-objects/key-meter/key-meter.ts";
export { KeyRegistry } from "../durable-objects/key-registry/key-registry.ts";
export { LeaseBroker } from "../durable-objects/lease-broker/lease-broker.ts";
export { ReplayGuard } from "../durable-objects/replay-guard/replay-guard.ts";
export { RequestLog } from "../durable-objects/request-log/request-log.ts";
export { SigningKeys } from "../durable-objects/signing-keys/signing-keys.ts";
export { UsageLedger } from "../durable-objects/usage-ledger/usage-ledger.ts";
export { Watch } from "../durable-objects/watch/watch.ts";

export default defineGateway(config);
export const Verifier = defineVerifier(config);
