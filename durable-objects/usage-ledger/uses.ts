import { LAST_USE_STEP_MS } from "../../src/constants.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import type { KeyUse } from "./api.ts";
import { addToRows, rowOf } from "./placed-rows.ts";
import type { Places, RowStore } from "./placed-rows.ts";

/**
 * When each key was used last, and what the registry has confirmed of it. Some hundred keys share a row. A use that moves a key's
 * time stands in the journal until it is folded; a confirmation stands in memory until then: if it is lost, the registry is told
 * again, which changes nothing there.
 */

interface LastUse {
  /** Epoch ms; 0: never. */
  used: number;
  told: number;
}

export interface LastUses {
  /** A copy of what is stored, the journal's included, and of what was confirmed since. */
  readonly known: Map<string, LastUse>;
  /** Keys with a confirmation that is not stored. */
  readonly confirmed: Map<string, number>;
  /** Epoch ms: since when this copy is kept. */
  readonly since: number;
}

/** A key with its last use, epoch ms. */
export type Move = readonly [keyId: string, time: number];

/** About 25 MB. */
const KNOWN_ENTRIES = 200_000;
/** About 30 KB a row. */
const MOST_KEYS = 512;
const NEW_KEYS = 256;
/** An object that was started this lately may not be there for long: confirmations are stored at once. */
const YOUNG_MS = 60_000;

export function noUses(now: number): LastUses {
  return { known: new Map(), confirmed: new Map(), since: now };
}

/**
 * Notes the latest use of each of these keys. `moved` must be put into the journal in the same transaction; `untold` are those of
 * which the registry has not confirmed the last use.
 *
 * @param unfolded the uses that the journal holds.
 */
export function noteUses(
  sql: SqlStorage,
  latest: ReadonlyMap<string, number>,
  memory: LastUses,
  unfolded: () => Iterable<Move>,
): { readonly moved: readonly Move[]; readonly untold: readonly KeyUse[] } {
  const moved: Move[] = [];
  const untold: KeyUse[] = [];
  for (const [keyId, use] of usesOf(sql, [...latest.keys()], memory, unfolded)) {
    const time = latest.get(keyId) ?? 0;
    if (use.used === 0 || time >= use.used + LAST_USE_STEP_MS) {
      use.used = time;
      moved.push([keyId, time]);
    }
    if (use.told < use.used) untold.push({ keyId, time: use.used });
  }
  return { moved, untold };
}

/** From memory, else from storage. */
function usesOf(
  sql: SqlStorage,
  keyIds: readonly string[],
  memory: LastUses,
  unfolded: () => Iterable<Move>,
): ReadonlyMap<string, LastUse> {
  const uses = new Map<string, LastUse>();
  const missing: string[] = [];
  for (const keyId of keyIds) {
    const use = memory.known.get(keyId);
    if (use === undefined) missing.push(keyId);
    else uses.set(keyId, use);
  }
  if (missing.length === 0) return uses;
  const stored = storedUses(sql, missing);
  for (const keyId of missing) if (!stored.has(keyId)) stored.set(keyId, { used: 0, told: 0 });
  for (const [keyId, time] of unfolded()) {
    const use = stored.get(keyId);
    if (use !== undefined) use.used = Math.max(use.used, time);
  }
  for (const [keyId, use] of stored) {
    // What is not stored yet is known better here; neighbours come along with those that are asked for.
    const known = memory.known.get(keyId) ?? use;
    if (known === use) remember(memory, keyId, use);
  }
  for (const keyId of missing) uses.set(keyId, memory.known.get(keyId) ?? { used: 0, told: 0 });
  return uses;
}

/** All keys of the rows in which these are, or would be. */
function storedUses(sql: SqlStorage, keyIds: readonly string[]): Map<string, LastUse> {
  const store = useRows(sql);
  const bounds = store.bounds();
  const rows = new Set(bounds.length === 0 ? [] : keyIds.map((keyId) => rowOf(bounds, placeOf(keyId))));
  const uses = new Map<string, LastUse>();
  for (const index of rows) {
    for (const [keyId, use] of store.read(bounds[index]?.low ?? 0)) uses.set(keyId, use);
  }
  return uses;
}

function remember(memory: LastUses, keyId: string, use: LastUse): void {
  if (memory.known.size >= KNOWN_ENTRIES) memory.known.clear();
  const told = memory.confirmed.get(keyId);
  if (told !== undefined) use.told = Math.max(use.told, told);
  memory.known.set(keyId, use);
}

/** The registry has these. An older time than the one it confirmed before changes nothing. Gives the rows written. */
export function confirmUses(sql: SqlStorage, uses: readonly KeyUse[], memory: LastUses, now: number): number {
  for (const { keyId, time } of uses) {
    memory.confirmed.set(keyId, Math.max(time, memory.confirmed.get(keyId) ?? 0));
    const use = memory.known.get(keyId);
    if (use !== undefined) use.told = Math.max(use.told, time);
  }
  const isYoung = Math.abs(now - memory.since) < YOUNG_MS;
  return isYoung || memory.confirmed.size >= KNOWN_ENTRIES ? storeUses(sql, [], memory) : 0;
}

/** Stores what the journal held, and what was confirmed. To be called in a transaction. Gives the rows written. */
export function storeUses(sql: SqlStorage, moves: readonly Move[], memory: LastUses): number {
  const changed = new Map<string, LastUse>();
  for (const [keyId, time] of moves) addUse(changed, keyId, { used: time, told: 0 });
  for (const [keyId, told] of memory.confirmed) addUse(changed, keyId, { used: 0, told });
  memory.confirmed.clear();
  return addToRows(useRows(sql), changed, placeOf);
}

function addUse(into: Map<string, LastUse>, keyId: string, { used, told }: LastUse): void {
  const use = into.get(keyId);
  if (use === undefined) {
    into.set(keyId, { used, told });
    return;
  }
  use.used = Math.max(use.used, used);
  use.told = Math.max(use.told, told);
}

/** What nobody confirmed. All must be stored. */
export function pendingUses(sql: SqlStorage, limit: number): readonly KeyUse[] {
  const pending: KeyUse[] = [];
  const store = useRows(sql);
  for (const { low } of store.bounds()) {
    for (const [keyId, { used, told }] of store.read(low)) {
      if (pending.length === limit) return pending;
      if (told < used) pending.push({ keyId, time: used });
    }
  }
  return pending;
}

/** Lets go of keys that were not used since. All must be stored. To be called in a transaction. Gives the rows written. */
export function sweepUses(sql: SqlStorage, before: number): number {
  const store = useRows(sql);
  let rowsWritten = 0;
  for (const { low, high } of store.bounds()) {
    const uses = store.read(low);
    const things = new Map(Array.from(uses).filter(([, { used }]) => used >= before));
    if (things.size < uses.size) rowsWritten += store.write({ low, high, things });
  }
  return rowsWritten;
}

/** So many at once: all keys of a large workspace may be too many to hold. */
const OLD_USES_AT_ONCE = 50_000;

/** Older versions kept a row for each key. To be called in a transaction; a second call finds nothing to do. */
export function moveOldUses(sql: SqlStorage): void {
  for (;;) {
    const rows = sql
      .exec<{ keyId: string; used: number; told: number }>(
        `SELECT key_id AS keyId, last_used AS used, told FROM key_use ORDER BY key_id LIMIT ?`,
        OLD_USES_AT_ONCE,
      )
      .toArray();
    const last = rows.at(-1);
    if (last === undefined) return;
    addToRows(useRows(sql), new Map(rows.map(({ keyId, used, told }) => [keyId, { used, told }])), placeOf);
    sql.exec(`DELETE FROM key_use WHERE key_id <= ?`, last.keyId);
  }
}

/** Never changes: part of what is stored. */
const placeOf = fnv1a;

type StoredUse = readonly [keyId: string, used: number, told: number];

function useRows(sql: SqlStorage): RowStore<string, LastUse> {
  return {
    bounds: () => sql.exec<Places & Record<string, number>>(`SELECT low, high FROM use_pack ORDER BY low`).toArray(),
    read: (low) => {
      const { uses } = sql.exec<{ uses: string }>(`SELECT uses FROM use_pack WHERE low = ?`, low).one();
      // Written below, so its shape is known.
      const stored = JSON.parse(uses) as readonly StoredUse[];
      return new Map(stored.map(([keyId, used, told]) => [keyId, { used, told }]));
    },
    write: ({ low, high, things }) => {
      const stored = Array.from(things, ([keyId, { used, told }]): StoredUse => [keyId, used, told]);
      return sql.exec(
        `INSERT INTO use_pack (low, high, uses) VALUES (?1, ?2, ?3)
         ON CONFLICT (low) DO UPDATE SET high = ?2, uses = ?3`,
        low,
        high,
        JSON.stringify(stored),
      ).rowsWritten;
    },
    add: addUse,
    placesOf: () => placeOf,
    most: MOST_KEYS,
    each: NEW_KEYS,
  };
}
