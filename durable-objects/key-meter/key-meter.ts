import { DurableObject } from "cloudflare:workers";
import type { HeldRecord } from "../key-registry/api.ts";
import type { EdgeRecord, KeyId } from "../../src/keys/record.ts";
import { endOf } from "../../src/keys/status.ts";
import type { AcquireAnswer, AcquireRequest, RefusalCode, ReleaseRequest } from "../../src/limits/acquire.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide, type MeterCheckpoint, type MeterState, newMeterState, settle } from "../../src/limits/meter.ts";
import { dueAfterCall, dueAfterWake, type MeterDue, noteWritten } from "../../src/limits/meter-writes.ts";
import type { MeterStanding } from "../../src/usage/limit-reports.ts";
import { migrate } from "../migrate.ts";
import { MIGRATIONS } from "./migrations.ts";

/** A lineage has a record for each of its rotations; the last ones are the newest. */
const MAX_STANDING_RECORDS = 50;
const NOTHING_GRANTED = { violated: [], retryAfterMs: 0, grants: [] } as const;

/**
 * The authority for "still valid" and "units left": one object per lineage (and per owner with shared limits), named
 * `<workspace>/<lineageId>` or `<workspace>/owner/<owner>`. Memory is a cache of storage: what it grants is written
 * ahead (`reserved`), so that after a crash everything that may have been granted counts as used.
 */
export class KeyMeter extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #state: MeterState;
  /** Parsed rows of `records`, by key id. */
  readonly #records = new Map<KeyId, EdgeRecord>();
  #ownerLimits: { readonly generation: number; readonly limits: readonly Limit[] };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    migrate(ctx.storage, MIGRATIONS);
    this.#state = newMeterState(this.#read<MeterCheckpoint>("checkpoint"));
    this.#ownerLimits = this.#read("owner_limits") ?? { generation: 0, limits: [] };
  }

  /** Grants, refuses, or says that the caller's record is old. Never exceeds a limit. */
  acquire(request: AcquireRequest): AcquireAnswer {
    const now = Date.now();
    const standing = request.keyId === null ? Infinity : this.#standingOf(request.keyId, request.generation, now);
    if (typeof standing !== "number") {
      // What the caller reports is true whatever the key's state.
      settle(this.#state, request.returned, standing.outcome === "stale" ? [] : request.spent);
      this.#keep(dueAfterCall(this.#state, now), now);
      return standing;
    }
    const decision = decide(this.#state, request.limits ?? this.#ownerLimits.limits, request, now);
    this.#keep(dueAfterCall(this.#state, now), now);
    if (decision.code !== null) {
      const { code, violated, retryAfterMs, askAgainInMs, grants } = decision;
      return { outcome: "refused", code, violated, retryAfterMs, askAgainInMs, grants };
    }
    return { outcome: "granted", validForMs: Math.min(request.ttlMs, standing - now), grants: decision.grants };
  }

  /** Takes back what an idle caller no longer needs. */
  release(request: ReleaseRequest): void {
    const now = Date.now();
    settle(this.#state, request.returned, request.spent);
    this.#keep(dueAfterCall(this.#state, now), now);
  }

  /** Set during bursts only: writes what is in memory alone, when the burst is over. */
  override alarm(): void {
    const now = Date.now();
    this.#keep(dueAfterWake(this.#state, now), now);
  }

  /**
   * From the registry, before anyone else hears of the change. An older generation than the one held is not taken, so that
   * a delivery that comes late undoes nothing; the answer names what is held instead.
   */
  publish(records: readonly EdgeRecord[]): HeldRecord[] {
    const ahead: HeldRecord[] = [];
    this.ctx.storage.transactionSync(() => {
      for (const record of records) {
        const held = this.#recordOf(record.id);
        if (held !== null && held.generation >= record.generation) {
          if (JSON.stringify(held) !== JSON.stringify(record))
            ahead.push({ keyId: held.id, generation: held.generation });
          continue;
        }
        this.#sql.exec(
          "INSERT OR REPLACE INTO records (key_id, record) VALUES (?, ?)",
          record.id,
          JSON.stringify(record),
        );
      }
    });
    // Read back on next use, so that memory never runs ahead of storage.
    this.#records.clear();
    return ahead;
  }

  /** At an owner's meter: the limits that all of the owner's keys share. */
  setOwnerLimits(generation: number, limits: readonly Limit[]): number {
    if (generation > this.#ownerLimits.generation) {
      this.#write("owner_limits", { generation, limits });
      this.#ownerLimits = { generation, limits };
    }
    return this.#ownerLimits.generation;
  }

  /** Cost admitted by clock hour in `[from, to)`, epoch ms: for reconciliation with the usage ledger. */
  spentByHour(from: number, to: number): { readonly hour: number; readonly spent: number }[] {
    return [...this.#state.spent]
      .filter(([hour]) => hour >= from && hour < to)
      .map(([hour, spent]) => ({ hour, spent }))
      .sort((a, b) => a.hour - b.hour);
  }

  /** For near-limit notices: what is known of keys, and used of counters. Changes nothing. */
  standing(): MeterStanding {
    const records = this.#sql
      .exec<{ record: string }>("SELECT record FROM records ORDER BY key_id DESC LIMIT ?", MAX_STANDING_RECORDS)
      .toArray()
      // As in `#recordOf`.
      .map(({ record }) => JSON.parse(record) as EdgeRecord);
    const counters = [...this.#state.counters].map(([name, { windowStart, used }]) => ({ name, windowStart, used }));
    return { records, counters, ownerLimits: this.#ownerLimits.limits };
  }

  /** For readiness checks. */
  ping(): "pong" {
    return "pong";
  }

  /** When the key stops by itself if it stands now; otherwise the answer to give. */
  #standingOf(keyId: KeyId, generation: number, now: number): number | Exclude<AcquireAnswer, { outcome: "granted" }> {
    const record = this.#recordOf(keyId);
    if (record === null) return refuseKey("key_invalid");
    if (generation < record.generation) return { outcome: "stale", record };
    if (record.state === "revoked") return refuseKey("key_revoked");
    const end = endOf(record);
    if (end <= now) return refuseKey("key_expired");
    if (record.state === "disabled") return refuseKey("key_disabled");
    if (record.notBefore !== null && record.notBefore > now) return refuseKey("key_not_yet_valid");
    return end;
  }

  #recordOf(keyId: KeyId): EdgeRecord | null {
    const cached = this.#records.get(keyId);
    if (cached !== undefined) return cached;
    const row = this.#sql.exec<{ record: string }>("SELECT record FROM records WHERE key_id = ?", keyId).toArray()[0];
    // Written by `publish` from this very type, so its shape is known.
    const record = row === undefined ? null : (JSON.parse(row.record) as EdgeRecord);
    // Only known ids are remembered: guesses must not fill the memory.
    if (record !== null) this.#records.set(keyId, record);
    return record;
  }

  /** Nothing is awaited: the output gate holds the answer back until all of it is durable. */
  #keep({ checkpoint, wakeAt }: MeterDue, now: number): void {
    if (wakeAt !== null) void this.ctx.storage.setAlarm(wakeAt);
    if (checkpoint === null) return;
    this.#write("checkpoint", checkpoint);
    noteWritten(this.#state, now);
  }

  #read<T>(name: string): T | null {
    const row = this.#sql.exec<{ value: string }>("SELECT value FROM state WHERE name = ?", name).toArray()[0];
    // Written by `#write` under the same name, so its shape is known.
    return row === undefined ? null : (JSON.parse(row.value) as T);
  }

  #write(name: string, value: unknown): void {
    this.#sql.exec("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", name, JSON.stringify(value));
  }
}

function refuseKey(code: RefusalCode): AcquireAnswer & { outcome: "refused" } {
  return { outcome: "refused", code, ...NOTHING_GRANTED };
}
