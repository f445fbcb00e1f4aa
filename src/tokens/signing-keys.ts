import type { SigningPolicy } from "../../durable-objects/signing-keys/api.ts";
import { copyFromHome, copyFromReplica } from "../../durable-objects/signing-keys/client.ts";
import type { GatewayConfig } from "../config.ts";
import { DEFAULT_ROTATION_DAYS } from "../constants.ts";
import { logError } from "../platform/log.ts";
import { KeySet } from "./key-set.ts";
import type { TokenKeys } from "./token-keys.ts";

export function signingPolicyOf({ tokens }: Pick<GatewayConfig, "tokens">): SigningPolicy {
  return { algorithm: tokens?.algorithm ?? "ES256", rotationDays: tokens?.rotationDays ?? DEFAULT_ROTATION_DAYS };
}

/** The signing keys of one isolate, over the objects. `location`: `null` while no request has told; home is asked until then. */
export function createTokenKeys(
  config: Pick<GatewayConfig, "tokens">,
  objects: Env["SIGNING_KEYS"],
  location: () => string | null,
): TokenKeys {
  return new KeySet(async (policy, fresh) => {
    const near = location();
    if (near !== null) {
      try {
        const copy = await copyFromReplica(objects, near, policy, fresh);
        if (copy !== null) return copy;
      } catch (error) {
        logError(error, { part: "signing-keys" });
      }
    }
    return await copyFromHome(objects, policy);
  }, signingPolicyOf(config));
}
