import type { EpochMs } from "../../src/keys/record.ts";
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS } from "./bounds.ts";

/**
 * What is still to be told to meters and KV. One row a key (or owner), with the newest generation: a later change of the
 * same key replaces the earlier one, and what is sent is read at the moment of sending. A row goes when both have it.
 */

/**
 * 0: stops or shortens one key, or is an owner's limits. 1: one of the many keys of an owner that is stopped; behind 0, so that a
 * single revocation that has to be tried again does not wait for all of them. 2: all else, and what only KV still has to hear.
 */
export type Priority = 0 | 1 | 2;
const PRIORITIES = [0, 1, 2] as const satisfies readonly Priority[];

export const OWNER_TARGET = "owner:";

/** With an owner's name, in a write's list of meters: stands for those of all the owner's keys, however many there are. */
export const ALL_KEYS_OF = "keys-of/";

export type OutboxRow = {
  /** A key's id, or `owner:<owner>`. */
  readonly target: string;
  /** The meter's name after the workspace: a lineage id, or `owner/<owner>`. */
  readonly meter: string;
  readonly generation: number;
  /** The newest generation that the meter, and KV, acknowledged since this row is there. */
  readonly meter_generation: number;
  readonly kv_generation: number;
  readonly priority: number;
  readonly since: number;
  readonly revoked_at: number | null;
  readonly attempts: number;
  readonly next_at: number;
};

export interface OutboxEntry {
  readonly target: string;
  readonly meter: string;
  readonly generation: number;
  readonly priority: Priority;
  /** The moment of the commit, when the change is a revocation. */
  readonly revokedAt: EpochMs | null;
  /** When the alarm takes over. */
  readonly nextAt: EpochMs;
}

export class Outbox {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  put(entry: OutboxEntry, now: EpochMs): void {
    this.#sql.exec(
      `INSERT INTO outbox (target, meter, generation, priority, since, revoked_at, next_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (target) DO UPDATE SET generation = excluded.generation,
         priority = min(priority, excluded.priority), revoked_at = coalesce(revoked_at, excluded.revoked_at),
         attempts = 0, next_at = excluded.next_at`,
      entry.target,
      entry.meter,
      entry.generation,
      entry.priority,
      now,
      entry.revokedAt,
      entry.nextAt,
    );
  }

  /** Every key of the owner that is not revoked, in one statement: an owner may have 100,000. Answers the first lineages. */
  putKeysOfOwner(owner: string, priority: Priority, now: EpochMs, lineages: number): string[] {
    this.#sql.exec(
      `INSERT INTO outbox (target, meter, generation, priority, since, next_at)
       SELECT id, lineage_id, generation, ?, ?, ? FROM keys INDEXED BY keys_by_owner
       WHERE owner = ? AND state <> 'revoked'
       ON CONFLICT (target) DO UPDATE SET generation = excluded.generation,
         priority = min(priority, excluded.priority), attempts = 0, next_at = excluded.next_at`,
      priority,
      now,
      now,
      owner,
    );
    return this.#sql
      .exec<{ lineage_id: string }>(
        `SELECT lineage_id FROM keys INDEXED BY keys_by_owner WHERE owner = ? AND state <> 'revoked'
         ORDER BY seq DESC LIMIT ?`,
        owner,
        lineages,
      )
      .toArray()
      .map((row) => row.lineage_id);
  }

  ofMeter(meter: string): OutboxRow[] {
    return this.#sql.exec<OutboxRow>("SELECT * FROM outbox WHERE meter = ?", meter).toArray();
  }

  /** Meters whose turn it is: what stops keys first, then the longest due. `at`: `Infinity` for all of them. */
  metersDue(at: EpochMs, limit: number): string[] {
    const meters = new Set<string>();
    for (const priority of PRIORITIES) {
      const rows = this.#sql.exec<{ meter: string }>(
        `SELECT meter FROM outbox INDEXED BY outbox_by_turn
         WHERE priority = ? AND next_at <= ? ORDER BY next_at LIMIT ?`,
        priority,
        Math.min(at, Number.MAX_SAFE_INTEGER),
        Math.max(limit - meters.size, 0),
      );
      for (const row of rows) meters.add(row.meter);
    }
    return [...meters];
  }

  /** When the next row is due; `null` when there is none. */
  nextTurn(): EpochMs | null {
    return this.#sql
      .exec<{ at: number | null }>(
        `SELECT min(at) AS at FROM (
           SELECT min(next_at) AS at FROM outbox INDEXED BY outbox_by_turn WHERE priority = 0
           UNION ALL SELECT min(next_at) FROM outbox INDEXED BY outbox_by_turn WHERE priority = 1
           UNION ALL SELECT min(next_at) FROM outbox INDEXED BY outbox_by_turn WHERE priority = 2)`,
      )
      .one().at;
  }

  /** Whether a meter is still to hear, now, of something that stops a key. */
  hasStopsDue(at: EpochMs): boolean {
    const rows = this.#sql.exec(
      `SELECT 1 FROM outbox INDEXED BY outbox_by_turn
       WHERE priority IN (0, 1) AND next_at <= ? AND meter_generation < generation LIMIT 1`,
      at,
    );
    return rows.toArray().length > 0;
  }

  /** Meters of the owner's keys that have something to hear. Walks the outbox, which is short but after a change to very many keys. */
  untoldMetersOfOwner(owner: string, limit: number): string[] {
    return this.#sql
      .exec<{ meter: string }>(
        `SELECT DISTINCT o.meter FROM outbox o CROSS JOIN keys k ON k.id = o.target
         WHERE o.meter_generation < o.generation AND k.owner = ? LIMIT ?`,
        owner,
        limit,
      )
      .toArray()
      .map((row) => row.meter);
  }

  /** `meter`: also `ALL_KEYS_OF` an owner. */
  isMeterTold(meter: string): boolean {
    if (meter.startsWith(ALL_KEYS_OF)) return this.untoldMetersOfOwner(meter.slice(ALL_KEYS_OF.length), 1).length === 0;
    return this.ofMeter(meter).every((row) => row.meter_generation >= row.generation);
  }

  /** What the authority has heard is no longer urgent. The priority is indexed, so it is only set where it changes. */
  acknowledgeMeter({ target, generation, priority }: Pick<OutboxRow, "target" | "generation" | "priority">): void {
    this.#sql.exec(
      "UPDATE outbox SET meter_generation = max(meter_generation, ?) WHERE target = ?",
      generation,
      target,
    );
    if (priority === 2) return;
    this.#sql.exec("UPDATE outbox SET priority = 2 WHERE target = ? AND generation <= ?", target, generation);
  }

  acknowledgeKv(target: string, generation: number): void {
    this.#sql.exec("UPDATE outbox SET kv_generation = max(kv_generation, ?) WHERE target = ?", generation, target);
  }

  /** What is to be told is newer than it was thought to be. */
  raiseGeneration(target: string, generation: number): void {
    this.#sql.exec("UPDATE outbox SET generation = max(generation, ?) WHERE target = ?", generation, target);
  }

  /** Takes away what is done everywhere. */
  settle(meter: string): void {
    this.#sql.exec(
      "DELETE FROM outbox WHERE meter = ? AND meter_generation >= generation AND kv_generation >= generation",
      meter,
    );
  }

  /** After a failed try: exponential back-off with jitter for all that the meter's group still has. */
  postpone(meter: string, now: EpochMs, random: () => number): void {
    for (const row of this.ofMeter(meter)) {
      this.#sql.exec(
        "UPDATE outbox SET attempts = attempts + 1, next_at = ? WHERE target = ?",
        now + backoffMs(row.attempts, random()),
        row.target,
      );
    }
  }

  pending(now: EpochMs): { readonly count: number; readonly oldestSeconds: number } {
    const row = this.#sql
      .exec<{ n: number; since: number | null }>("SELECT count(*) AS n, min(since) AS since FROM outbox")
      .one();
    return { count: row.n, oldestSeconds: row.since === null ? 0 : Math.max(0, (now - row.since) / 1_000) };
  }
}

/** 1 s, 2 s, 4 s … 60 s, times a factor of a half to one. `random`: 0 to 1. */
export function backoffMs(attempts: number, random: number): number {
  const full = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(attempts, 16), BACKOFF_MAX_MS);
  return Math.max(BACKOFF_FIRST_MS, Math.round(full * (0.5 + random / 2)));
}
