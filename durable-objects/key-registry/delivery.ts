import type { EpochMs, KeyId } from "../../src/keys/record.ts";
import { within } from "../../src/platform/clock.ts";
import { DELIVERY_CONCURRENCY, KV_PUT_SETTLE_MS, KV_PUT_TIMEOUT_MS, PUBLISH_TIMEOUT_MS } from "./bounds.ts";
import { toEdgeRecord } from "./edge-record.ts";
import type { EdgeSink } from "./edge-sink.ts";
import type { KeysTable } from "./keys-table.ts";
import { OWNER_TARGET } from "./outbox.ts";
import type { Outbox, OutboxRow } from "./outbox.ts";
import type { OwnersTable } from "./owners-table.ts";
import { runBounded } from "./run-bounded.ts";

export interface DeliveryParts {
  readonly outbox: Outbox;
  readonly keys: KeysTable;
  readonly owners: OwnersTable;
  /** Asked for at each use, so that it always stands on the object's present bindings. */
  readonly sink: () => EdgeSink;
  /** A revocation reached its meter. */
  readonly onRevocationTold: (lagMs: number) => void;
}

/**
 * Tells meters and KV what the outbox holds. The rows of one meter are one group: told to the meter in one call, then
 * each key to KV. Of each step one try per group runs at a time, and a KV write is not begun while an earlier one of the
 * same key is unsettled, so that nothing old can land after something new. The steps have turns of their own: a revocation
 * does not wait for the KV write of an earlier change.
 *
 * Every failure is the same to it: the group is postponed. Nothing is thrown.
 */
export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #meterTurns: Turns = new Map();
  readonly #kvTurns: Turns = new Map();
  readonly #unsettledPuts = new Map<KeyId, EpochMs>();

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** Owners' limits first: a key that says its owner has limits must find them there. */
  async deliver(meters: readonly string[]): Promise<void> {
    await this.#tellKvs(await this.#tellMeters(meters));
  }

  /**
   * As `deliver`, but while there are more stops than one run holds, KV waits for all of their meters: no decision is taken on KV's
   * word, and its writes are by far the slower.
   */
  async deliverStopsFirst(meters: readonly string[]): Promise<void> {
    const told = await this.#tellMeters(meters);
    if (!this.#parts.outbox.hasStopsDue(Date.now())) await this.#tellKvs(told);
  }

  /** Answers those that have nothing more to hear. All of them before KV, so that a slow KV holds up no stop. */
  async #tellMeters(meters: readonly string[]): Promise<readonly string[]> {
    const isOwner = (meter: string): boolean => meter.startsWith(OWNER_METER);
    const told: string[] = [];
    for (const group of [meters.filter(isOwner), meters.filter((meter) => !isOwner(meter))]) {
      await runBounded(group, DELIVERY_CONCURRENCY, async (meter) => {
        const turn = inTurn(this.#meterTurns, meter, () => this.#tellMeter(meter));
        if (await this.#isDone(meter, turn)) told.push(meter);
      });
    }
    return told;
  }

  async #tellKvs(meters: readonly string[]): Promise<void> {
    await runBounded(meters, DELIVERY_CONCURRENCY, async (meter) => {
      const turn = inTurn(this.#kvTurns, meter, () => this.#tellKv(meter));
      if (await this.#isDone(meter, turn)) this.#parts.outbox.settle(meter);
    });
  }

  async #isDone(meter: string, step: Promise<void>): Promise<boolean> {
    const { outbox } = this.#parts;
    try {
      await step;
      return true;
    } catch {
      // Whatever it was, the row is still there. What it was about shows in `status()`.
      outbox.settle(meter);
      outbox.postpone(meter, Date.now(), Math.random);
      return false;
    }
  }

  async #tellMeter(meter: string): Promise<void> {
    const rows = this.#parts.outbox.ofMeter(meter).filter((row) => row.meter_generation < row.generation);
    if (rows.length === 0) return;
    const publication = meter.startsWith(OWNER_METER) ? this.#publishOwner(meter) : this.#publishKeys(meter, rows);
    await within(publication, PUBLISH_TIMEOUT_MS, "the meter");
    const now = Date.now();
    for (const row of rows) {
      this.#parts.outbox.acknowledgeMeter(row);
      if (row.revoked_at !== null) this.#parts.onRevocationTold(now - row.revoked_at);
    }
  }

  async #publishKeys(lineageId: string, rows: readonly OutboxRow[]): Promise<void> {
    const keys = rows.flatMap((row) => this.#parts.keys.byId(row.target) ?? []);
    const ahead = await this.#parts.sink().publish(lineageId, keys.map(toEdgeRecord));
    if (ahead.length === 0) return;
    // This registry was restored from a backup: it is the system of record all the same, and must be the newer one.
    const sent = new Map(keys.map((key) => [key.id, key.generation]));
    for (const { keyId, generation } of ahead) {
      // An answer that comes late, when the key has changed and the meter has heard of it, says nothing of a restore.
      if (this.#parts.keys.byId(keyId)?.generation !== sent.get(keyId)) continue;
      this.#parts.keys.raiseGeneration(keyId, generation + 1);
      this.#parts.outbox.raiseGeneration(keyId, generation + 1);
    }
    throw new Error("the meter held newer records; they are sent again as newer ones");
  }

  async #publishOwner(meter: string): Promise<void> {
    const owner = this.#parts.owners.byId(meter.slice(OWNER_METER.length));
    if (owner === null) return;
    const held = await this.#parts.sink().setOwnerLimits(meter, owner.generation, owner.limits);
    if (held > owner.generation) {
      this.#parts.owners.raiseGeneration(owner.id, held + 1);
      this.#parts.outbox.raiseGeneration(OWNER_TARGET + owner.id, held + 1);
      throw new Error("the meter held newer limits; they are sent again as newer ones");
    }
    // An owner's limits are not in KV.
    this.#parts.outbox.acknowledgeKv(OWNER_TARGET + owner.id, owner.generation);
  }

  /** Only what the meter has: a change that came in between waits for its own turn. */
  async #tellKv(meter: string): Promise<void> {
    const rows = this.#parts.outbox.ofMeter(meter).filter((row) => row.kv_generation < row.generation);
    const ready = rows.filter((row) => row.meter_generation >= row.generation);
    const results = await Promise.allSettled(ready.map((row) => this.#putRecord(row)));
    if (results.some((result) => result.status === "rejected")) throw new Error("KV did not take a record");
  }

  async #putRecord(row: OutboxRow): Promise<void> {
    const key = this.#parts.keys.byId(row.target);
    if (key === null) return;
    const begun = this.#unsettledPuts.get(key.id);
    if (begun !== undefined && Date.now() - begun < KV_PUT_SETTLE_MS) throw new Error("a KV write is unsettled");
    this.#unsettledPuts.set(key.id, Date.now());
    const put = this.#parts.sink().putRecord(key.hash, toEdgeRecord(key));
    const settled = (): void => void this.#unsettledPuts.delete(key.id);
    put.then(settled, settled);
    await within(put, KV_PUT_TIMEOUT_MS, "KV");
    this.#parts.outbox.acknowledgeKv(row.target, key.generation);
  }
}

export const OWNER_METER = "owner/";

/** What is under way, by name. The promises never reject. */
type Turns = Map<string, Promise<unknown>>;

/** Does `work` when none of the same name is under way any more. */
async function inTurn(turns: Turns, name: string, work: () => Promise<void>): Promise<void> {
  for (let running = turns.get(name); running !== undefined; running = turns.get(name)) await running;
  const turn = work();
  turns.set(name, Promise.allSettled([turn]));
  try {
    await turn;
  } finally {
    turns.delete(name);
  }
}
