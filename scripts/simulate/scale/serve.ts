import { LEASE_RENEW_AHEAD_MS } from "../../../src/constants.ts";
import type { EdgeRecord } from "../../../src/keys/record.ts";
import { covers, type Lease, refusedUntil, renewalDue, spend } from "../../../src/limits/lease.ts";
import type { SimulatedIsolate } from "../platform/isolate.ts";
import type { World } from "../platform/world.ts";
import type { ScaleKey } from "./keys.ts";
import type { Tally } from "./tally.ts";

/**
 * One request of cost 1 in a large scenario. Where an isolate's lease stands, covers the request and needs nobody's
 * attention, it is spent here by the product's own functions, without the rest of the check around them; everything else goes
 * through the whole check. So a million requests a second can be followed one by one.
 */

/** What an isolate knows of one key. */
export interface Known {
  readonly isolate: SimulatedIsolate;
  readonly record: EdgeRecord;
  readonly lease: Lease;
}

export interface Serving {
  readonly world: World;
  readonly tally: Tally;
}

/** Serves at once where it can. Returns what the isolate knows of the key, for the next request. */
export function serve(
  { world, tally }: Serving,
  isolate: SimulatedIsolate,
  key: ScaleKey,
  known: Known | null,
): Known | null {
  const { time } = world;
  const now = Math.floor(time.now);
  const current = known !== null && known.isolate === isolate ? known : look(isolate, key, now);
  if (current !== null) {
    const { lease, record } = current;
    if (record.state === "revoked") {
      if (tally.isCounting) tally.refused++;
      return current;
    }
    if (lease.validUntil > now && lease.generation === record.generation) {
      if (covers(lease, record.limits, 1, now)) {
        const ahead = Math.min(LEASE_RENEW_AHEAD_MS, lease.spanMs / 3);
        if (lease.releaseBy > now && !renewalDue(lease, record.limits, ahead, now)) {
          spend(lease, record.limits, 1, now);
          tally.admit(now);
          if (tally.isCounting) tally.served.warm++;
          return current;
        }
      }
    }
    if (refusedUntil(lease, record.limits, 1, now) !== null && !covers(lease, record.limits, 1, now)) {
      if (tally.isCounting) tally.refused++;
      return current;
    }
  }
  // A happening of its own: what the check plans belongs to this isolate.
  time.after(0, isolate.place.actor, () => checkWhole({ world, tally }, isolate, key));
  return null;
}

function look(isolate: SimulatedIsolate, key: ScaleKey, now: number): Known | null {
  const { cache, book } = isolate.isolate.parts;
  const record = cache.get(key.hash, now);
  return record === null ? null : { isolate, record, lease: book.of(record.id) };
}

function checkWhole({ world, tally }: Serving, isolate: SimulatedIsolate, key: ScaleKey): void {
  const startedAt = world.time.now;
  const isCold = isolate.isolate.parts.cache.get(key.hash, Date.now()) === null;
  void isolate.check({ presentedKey: key.presentedKey, cost: 1 }).then((outcome) => {
    const ms = world.time.now - startedAt;
    if (outcome.ok) tally.admit(world.time.now);
    if (!tally.isCounting) return;
    if (!outcome.ok) {
      if (outcome.refusal.code === "verification_unavailable") tally.unavailable++;
      else tally.refused++;
      return;
    }
    if (ms === 0) tally.served.warm++;
    else tally.wait(isCold ? "cold" : "asked", ms);
  });
}
