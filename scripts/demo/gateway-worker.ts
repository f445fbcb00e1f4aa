/** What `npm run demo` serves: the gateway as shipped, in front of the demo's API. */
import { defineGateway, defineVerifier } from "../../src/define-gateway.ts";
import config from "./gateway.config.ts";

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
  Watch,
} from "../../src/index.ts";

export default defineGateway(config);
export const Verifier = defineVerifier(config);
