export { HashClaims } from "../durable-objects/hash-claims/hash-claims.ts";
export { KeyMeter } from "../durable-objects/key-meter/key-meter.ts";
import { DurableObject } from "cloudflare:workers";
export class KeyRegistry extends DurableObject {}
export class UsageLedger extends DurableObject {}
export default {
  async fetch(): Promise<Response> {
    return new Response("not yet");
  },
} satisfies ExportedHandler<Env>;
