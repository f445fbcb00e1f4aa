import { SIGNING_HOME_TIMEOUT_MS, SIGNING_REPLICA_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import type { Result } from "../../src/result.ts";
import type {
  KeySetCopy,
  RotateCall,
  Rotated,
  RotateRefusal,
  SigningHealth,
  SigningPolicy,
  SigningStatus,
} from "./api.ts";

/** How others talk to the signing keys' objects. Each call throws when it is not answered in time; none is repeated. */

type Objects = Env["SIGNING_KEYS"];

/** The authority's name. */
export const HOME = "home";

export function replicaName(location: string): string {
  return `at/${location === "" ? "any" : location}`;
}

/** `null`: the replica is well, and cannot reach home. */
export async function copyFromReplica(
  objects: Objects,
  location: string,
  policy: SigningPolicy,
  fresh: boolean,
): Promise<KeySetCopy | null> {
  const asked = objects.getByName(replicaName(location)).copy(policy, fresh);
  return await within<KeySetCopy | null>(asked, SIGNING_REPLICA_TIMEOUT_MS, "the signing keys nearby");
}

export async function copyFromHome(objects: Objects, policy: SigningPolicy): Promise<KeySetCopy> {
  const asked = objects.getByName(HOME).copy(policy, true);
  const copy = await within<KeySetCopy | null>(asked, SIGNING_HOME_TIMEOUT_MS, "the signing keys");
  if (copy === null) throw new Error("the signing keys' home answered as a replica");
  return copy;
}

export async function signingStatus(objects: Objects, policy: SigningPolicy): Promise<SigningStatus> {
  const asked = objects.getByName(HOME).status(policy);
  return await within<SigningStatus>(asked, SIGNING_HOME_TIMEOUT_MS, "the signing keys");
}

export async function signingHealth(objects: Objects): Promise<SigningHealth> {
  return await within<SigningHealth>(objects.getByName(HOME).health(), SIGNING_HOME_TIMEOUT_MS, "the signing keys");
}

/** May have been done when it fails: ask again with the same idempotency key. */
export async function rotateSigningKeys(objects: Objects, call: RotateCall): Promise<Result<Rotated, RotateRefusal>> {
  const asked = objects.getByName(HOME).rotate(call);
  return await within<Result<Rotated, RotateRefusal>>(asked, SIGNING_HOME_TIMEOUT_MS, "the signing keys");
}
