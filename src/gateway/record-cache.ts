import { RECORD_CACHE_ENTRIES, RECORD_MISS_TTL_MS, RECORD_TTL_MS } from "../constants.ts";
import type { EdgeRecord, RecordRef } from "../keys/record.ts";

interface CachedRecord {
  record: EdgeRecord;
  freshUntil: number;
}

/** Since somebody who knows said that it is the newest, ms. */
export function ageOf({ freshUntil }: Readonly<CachedRecord>, now: number): number {
  return now - (freshUntil - RECORD_TTL_MS);
}

/**
 * What this isolate knows of keys, by hash: facts, never decisions. A lease confirms the record's generation, so a
 * record in use stays without further reads. Misses are kept apart, so that guesses cannot push out records.
 */
export class RecordCache {
  readonly #records = new Map<RecordRef, CachedRecord>();
  readonly #misses = new Map<RecordRef, number>();
  readonly #capacity: number;

  constructor(capacity: number = RECORD_CACHE_ENTRIES) {
    this.#capacity = capacity;
  }

  /** The entry while it is fresh at that moment; at 0, however old. For who wants to know how old: `ageOf`. */
  entryOf(ref: RecordRef, now: number): Readonly<CachedRecord> | null {
    const cached = this.#records.get(ref);
    return cached !== undefined && cached.freshUntil > now ? cached : null;
  }

  /** The record while it is fresh. */
  get(ref: RecordRef, now: number): EdgeRecord | null {
    const cached = this.#records.get(ref);
    return cached !== undefined && cached.freshUntil > now ? cached.record : null;
  }

  /** The record however old, for when the store cannot be read: the meter still has the last word. */
  getStale(ref: RecordRef): EdgeRecord | null {
    return this.#records.get(ref)?.record ?? null;
  }

  /** Remembers a record, unless a newer generation is known already. Confirms it when it is the same. */
  put(ref: RecordRef, record: EdgeRecord, now: number): EdgeRecord {
    this.#misses.delete(ref);
    const cached = this.#records.get(ref);
    const freshUntil = now + RECORD_TTL_MS;
    if (cached !== undefined) {
      if (cached.record.generation < record.generation || cached.record.id !== record.id) cached.record = record;
      cached.freshUntil = freshUntil;
      return cached.record;
    }
    dropOldestAt(this.#records, this.#capacity);
    this.#records.set(ref, { record, freshUntil });
    return record;
  }

  /** A lease was granted on this record: it is the newest. */
  confirm(ref: RecordRef, now: number): void {
    const cached = this.#records.get(ref);
    if (cached === undefined) return;
    cached.freshUntil = now + RECORD_TTL_MS;
    // In the order of last confirmation, so that what goes first is what has been idle longest.
    this.#records.delete(ref);
    this.#records.set(ref, cached);
  }

  isMiss(ref: RecordRef, now: number): boolean {
    return this.missLeft(ref, now) > 0;
  }

  /** How long the hash is still taken for unknown, ms; 0 when it is not. */
  missLeft(ref: RecordRef, now: number): number {
    return Math.max(0, (this.#misses.get(ref) ?? 0) - now);
  }

  putMiss(ref: RecordRef, now: number, forMs: number = RECORD_MISS_TTL_MS): void {
    this.#misses.delete(ref);
    dropOldestAt(this.#misses, this.#capacity);
    this.#misses.set(ref, now + forMs);
  }
}

/** Makes room for one more: the first in the map goes. */
export function dropOldestAt<K>(map: Map<K, unknown>, capacity: number): void {
  if (map.size < capacity) return;
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
