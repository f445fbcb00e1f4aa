export { HashClaims } from "../durable-objects/hash-claims/hash-claims.ts";
export { KeyMeter } from "../durable-objects/key-meter/key-meter.ts";
export { KeyRegistry } from "../durable-objects/key-registry/key-registry.ts";
export { UsageLedger } from "../durable-objects/usage-ledger/usage-ledger.ts";
export default {
  fetch: () => new Response("not yet"),
} satisfies ExportedHandler<Env>;
