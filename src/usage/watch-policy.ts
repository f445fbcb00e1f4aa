import type { GatewayConfig } from "../config.ts";
import type { WatchPolicy } from "../detection/policy.ts";

export function watchPolicyOf({ detection = [], plans = {} }: GatewayConfig): WatchPolicy {
  return { rules: detection, plans };
}
