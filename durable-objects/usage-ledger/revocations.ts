import type { UsageEvent } from "../../src/usage/event.ts";
import { isAllowed } from "../../src/usage/rollup.ts";
import type { RevocationSeen } from "./api.ts";

/**
 * What was seen of each key that was revoked: when it was first refused for it, and when it was last let in, to the ms. One row a key,
 * written when its first refusal comes and again only while late events change it: a revoked key that is tried a million times is one row.
 */

interface Seen {
  firstRefusal: number;
  /** -1: none is known of. */
  lastAcceptance: number;
}

/** The last admissions of keys, of this and the turn before: what a first refusal is compared with. Lost with the object's memory. */
export interface RevocationMemory {
  recent: Map<string, number>;
  older: Map<string, number>;
  turnedAt: number;
  /** Rows as they are stored; `null`: the key has none. */
  readonly rows: Map<string, Seen | null>;
}

/** An admission stands for 5 s at the most, and events are here within seconds. */
const TURN_MS = 60_000;
/** Rows in memory; what is not there is read. */
const MAX_ROWS_IN_MEMORY = 10_000;
const DAY_MS = 86_400_000;
/** As long as years are compared. */
const KEPT_DAYS = 400;

export function noRevocations(now: number): RevocationMemory {
  return { recent: new Map(), older: new Map(), turnedAt: now, rows: new Map() };
}

/** Takes in events that were not seen before. To be called in a transaction. Gives the rows written. */
export function noteRevocations(
  sql: SqlStorage,
  events: readonly UsageEvent[],
  memory: RevocationMemory,
  now: number,
): number {
  turn(memory, now);
  const changed = new Set<string>();
  for (const { keyId, time, code } of events) {
    if (keyId === null) continue;
    if (isAllowed(code)) {
      const known = memory.recent.get(keyId);
      if (known === undefined || time > known) memory.recent.set(keyId, time);
      // Rows of keys that were refused lately are in memory: what comes later than their first refusal was let in elsewhere.
      const seen = memory.rows.get(keyId) ?? null;
      if (seen !== null && time > seen.lastAcceptance) {
        seen.lastAcceptance = time;
        changed.add(keyId);
      }
    } else if (code === "key_revoked" && noteRefusal(sql, keyId, time, memory)) changed.add(keyId);
  }
  let rowsWritten = 0;
  for (const keyId of changed) {
    const seen = memory.rows.get(keyId) ?? null;
    if (seen === null) continue;
    rowsWritten += sql.exec(
      `INSERT OR REPLACE INTO revocation (key_id, first_refusal, last_acceptance) VALUES (?, ?, ?)`,
      keyId,
      seen.firstRefusal,
      seen.lastAcceptance,
    ).rowsWritten;
  }
  return rowsWritten;
}

/** Whether it says anything new. */
function noteRefusal(sql: SqlStorage, keyId: string, time: number, memory: RevocationMemory): boolean {
  const seen = rowOf(sql, keyId, memory);
  if (seen !== null) {
    if (time >= seen.firstRefusal) return false;
    seen.firstRefusal = time;
    return true;
  }
  const lastAcceptance = memory.recent.get(keyId) ?? memory.older.get(keyId) ?? -1;
  memory.rows.set(keyId, { firstRefusal: time, lastAcceptance });
  return true;
}

function rowOf(sql: SqlStorage, keyId: string, { rows }: RevocationMemory): Seen | null {
  const known = rows.get(keyId);
  if (known !== undefined && known !== null) return known;
  const [row] = readRevocations(sql, [keyId]);
  const seen =
    row === undefined ? null : { firstRefusal: row.firstRefusalAt, lastAcceptance: row.lastAcceptanceAt ?? -1 };
  if (rows.size >= MAX_ROWS_IN_MEMORY) rows.clear();
  if (seen !== null) rows.set(keyId, seen);
  return seen;
}

function turn(memory: RevocationMemory, now: number): void {
  if (now >= memory.turnedAt && now < memory.turnedAt + TURN_MS) return;
  memory.older = memory.recent;
  memory.recent = new Map();
  memory.turnedAt = now;
}

export function readRevocations(sql: SqlStorage, keyIds: readonly string[]): readonly RevocationSeen[] {
  return keyIds.flatMap((keyId) =>
    sql
      .exec<{ first: number; last: number }>(
        `SELECT first_refusal AS first, last_acceptance AS last FROM revocation WHERE key_id = ?`,
        keyId,
      )
      .toArray()
      .map(({ first, last }) => ({ keyId, firstRefusalAt: first, lastAcceptanceAt: last < 0 ? null : last })),
  );
}

/** To be called in a transaction. Gives the rows written. */
export function sweepRevocations(sql: SqlStorage, now: number): number {
  return sql.exec(`DELETE FROM revocation WHERE first_refusal < ?`, now - KEPT_DAYS * DAY_MS).rowsWritten;
}

/** What is still so once the rows were swept: the last admissions must outlive an alarm that comes between one and a refusal. */
export function afterSweep(memory: RevocationMemory, now: number): RevocationMemory {
  for (const [keyId, seen] of memory.rows) {
    if (seen !== null && seen.firstRefusal < now - KEPT_DAYS * DAY_MS) memory.rows.delete(keyId);
  }
  return memory;
}
