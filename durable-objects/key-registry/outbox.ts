import type { EpochMs } from "../../src/keys/record.ts";
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS } from "./bounds.ts";

/**
 * What is still to be told to meters and KV. One row a key (or owner), with the newest generation: a later change of the
 * same key replaces the earlier one, and what is sent is read at the moment of sending. A row goes when both have it.
 */

/** What stops a key, and what owners' limits need, goes before everything else. */
export type Priority = 0 | 1;

export const OWNER_TARGET = "owner:";

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
  putKeysOfOwner(owner: string, now: EpochMs, lineages: number): string[] {
    this.#sql.exec(
      `INSERT INTO outbox (target, meter, generation, priority, since, next_at)
       SELECT id, lineage_id, generation, 1, ?, ? FROM keys INDEXED BY keys_by_owner
       WHERE owner = ? AND state <> 'revoked'
       ON CONFLICT (target) DO UPDATE SET generation = excluded.generation, attempts = 0, next_at = excluded.next_at`,
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
    for (const priority of [0, 1] satisfies Priority[]) {
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
           UNION ALL SELECT min(next_at) FROM outbox INDEXED BY outbox_by_turn WHERE priority = 1)`,
      )
      .one().at;
  }

  isMeterTold(meter: string): boolean {
    return this.ofMeter(meter).every((row) => row.meter_generation >= row.generation);
  }

  acknowledgeMeter(target: string, generation: number): void {
    this.#sql.exec(
      "UPDATE outbox SET meter_generation = max(meter_generation, ?) WHERE target = ?",
      generation,
      target,
    );
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
