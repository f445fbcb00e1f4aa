/**
 * The lab's Worker with the shipped configuration and what a test says of pages and self-service on top. Entry module of Workers in
 * black-box tests; never deployed.
 */
import { env } from "cloudflare:workers";
import shipped from "../../gateway.config.ts";
import type { GatewayConfig } from "../../src/config.ts";
import lab from "../../scripts/lab/faulty-worker.ts";

export {
  AlertCenter,
  HashClaims,
  KeyMeter,
  KeyRegistry,
  LeaseBroker,
  ReplayGuard,
  RequestLog,
  SigningKeys,
  UsageLedger,
  Verifier,
  Watch,
} from "../../scripts/lab/faulty-worker.ts";

/** A variable that no shipped Worker has. */
const pages: unknown = Reflect.get(env, "LATCHKEY_LAB_PAGES");
// Read when the first request comes: the gateway compiles its configuration then. The test wrote it as the type says.
Object.assign(shipped, JSON.parse(String(pages)) as Pick<GatewayConfig, "dashboard" | "selfService">);

export default lab;
