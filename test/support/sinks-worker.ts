/**
 * The lab's Worker with the shipped configuration and `sinks` on top, which a test names in a variable. Entry module of Workers in
 * black-box tests; never deployed.
 */
import { env } from "cloudflare:workers";
import shipped from "../../gateway.config.ts";
import type { Sinks } from "../../src/sinks/config.ts";
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
const sinks: unknown = Reflect.get(env, "LATCHKEY_LAB_SINKS");
// Read when the first request comes: the gateway compiles its configuration then. The test wrote it as the type says.
Object.assign(shipped, { sinks: JSON.parse(String(sinks)) as Sinks });

export default lab;
