/**
 * The lab's Worker with the shipped configuration and trust rules on top, which a test names in a variable: its issuer is known
 * only once it listens. Entry module of Workers in black-box tests; never deployed.
 */
import { env } from "cloudflare:workers";
import shipped from "../../gateway.config.ts";
import type { TokensConfig } from "../../src/config.ts";
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
const tokens: unknown = Reflect.get(env, "LATCHKEY_LAB_TOKENS");
// Read when the first request comes: the gateway compiles its configuration then. The test wrote it as the type says.
Object.assign(shipped, { tokens: JSON.parse(String(tokens)) as TokensConfig });

export default lab;
