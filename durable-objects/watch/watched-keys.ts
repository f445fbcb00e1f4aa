import { decodeState, encodeState } from "../../src/detection/state.ts";
import { VIEW_HOURS } from "../../src/detection/view.ts";
import { newWatch, type Watch } from "../../src/detection/watch.ts";
import { packHours, unpackHours } from "./packed-hours.ts";

/** The past of each key, and its last two days. One row a key, written once an hour. */

/** Whose past is in memory: some 20 KB each. */
const MOST_IN_MEMORY = 500;

export interface WatchedKey {
  readonly keyId: string;
  readonly watch: Watch;
}

export class WatchedKeys {
  readonly #sql: SqlStorage;
  readonly #inMemory = new Map<string, WatchedKey>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** What is kept of a key; a new one where nothing is. */
  open(keyId: string): WatchedKey {
    const known = this.#inMemory.get(keyId) ?? this.#read(keyId) ?? { keyId, watch: newWatch() };
    this.#inMemory.delete(keyId);
    this.#inMemory.set(keyId, known);
    const oldest = this.#inMemory.keys().next();
    if (this.#inMemory.size > MOST_IN_MEMORY && oldest.done !== true) this.#inMemory.delete(oldest.value);
    return known;
  }

  #read(keyId: string): WatchedKey | null {
    const row = this.#sql
      .exec<{ recent: string; state: ArrayBuffer }>(`SELECT recent, state FROM watched_key WHERE key_id = ?`, keyId)
      .toArray()[0];
    const state = row === undefined ? null : decodeState(new Uint8Array(row.state));
    if (row === undefined || state === null) return null;
    return { keyId, watch: { ...newWatch(), ...state, recent: unpackHours(row.recent) } };
  }

  /** @param hour epoch seconds: the last one with a request; 0: not this one. Gives the rows written. */
  save({ keyId, watch }: WatchedKey, hour: number): number {
    return this.#sql.exec(
      `INSERT INTO watched_key (key_id, last_hour, recent, state) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (key_id) DO UPDATE SET last_hour = MAX(last_hour, ?2), recent = ?3, state = ?4`,
      keyId,
      hour,
      packHours(watch.recent.slice(-VIEW_HOURS)),
      encodeState(watch.history, watch.places),
    ).rowsWritten;
  }

  /** Keys with a request since `hour`, after `cursor`, in order of their ids. */
  usedSince(hour: number, cursor: string, limit: number): readonly string[] {
    return this.#sql
      .exec<{ keyId: string }>(
        `SELECT key_id AS keyId FROM watched_key WHERE last_hour >= ? AND key_id > ? ORDER BY key_id LIMIT ?`,
        hour,
        cursor,
        limit,
      )
      .toArray()
      .map(({ keyId }) => keyId);
  }

  count(): number {
    return this.#sql.exec<{ count: number }>(`SELECT COUNT(*) AS count FROM watched_key`).one().count;
  }

  hasUsedSince(hour: number): boolean {
    return this.#sql.exec(`SELECT 1 FROM watched_key WHERE last_hour >= ? LIMIT 1`, hour).toArray().length > 0;
  }
}
