import { digestKey } from "../../../src/keys/digest.ts";
import { recordKey } from "../../../src/keys/edge-record.ts";
import { BASE62, checksum } from "../../../src/keys/format.ts";
import type { EdgeRecord, KeyHash } from "../../../src/keys/record.ts";
import type { Limit } from "../../../src/limits/limit.ts";
import type { Random } from "../clock/random.ts";
import type { World } from "../platform/world.ts";

/** Keys of a large scenario: told to their meters and to KV long before the traffic begins, as a registry would have done. */

export interface ScaleKey {
  readonly presentedKey: string;
  readonly hash: KeyHash;
  readonly record: EdgeRecord;
  readonly meter: string;
}

const WORKSPACE = "default";
const RANDOM_CHARACTERS = 32;

export function makeKey(world: World, index: number, limits: readonly Limit[]): ScaleKey {
  const presentedKey = drawKey(world.random);
  const hash = digestKey(presentedKey);
  const id = `key_${String(index).padStart(26, "0")}`;
  const lineageId = `lin_${String(index).padStart(26, "0")}`;
  const record: EdgeRecord = {
    v: 1,
    id,
    lineageId,
    workspace: WORKSPACE,
    owner: "acme",
    environment: "live",
    kind: "secret",
    hint: "",
    scopes: [],
    plan: null,
    limits,
    ownerLimited: false,
    bindings: {},
    policy: {},
    metadata: {},
    state: "active",
    notBefore: null,
    expiresAt: null,
    notAfter: null,
    rotatedAt: null,
    generation: 1,
  };
  const key = { presentedKey, hash, record, meter: `${WORKSPACE}/${lineageId}` };
  world.kv.seed(recordKey(hash), JSON.stringify(record));
  publish(world, key, record);
  return key;
}

/** The registry is at home, so a meter lives there: whoever names an object first decides where it is. */
export function publish(world: World, { meter }: ScaleKey, record: EdgeRecord, onTold?: (at: number) => void): void {
  const control = world.place("control", world.home);
  const { KEY_METER } = world.envFor(control);
  world.time.after(0, control.actor, () => {
    void KEY_METER.getByName(meter)
      .publish([record])
      .then(() => onTold?.(world.time.now));
  });
}

function drawKey(random: Random): string {
  let body = "lk_live_";
  for (let n = 0; n < RANDOM_CHARACTERS; n++) body += BASE62.charAt(Math.floor(random() * BASE62.length));
  return body + checksum(body);
}
