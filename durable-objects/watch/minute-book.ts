import { addPlaces } from "../../src/detection/places-seen.ts";
import { HOUR_SECONDS, type KeyHour, type KeyMinute, type PlaceCount } from "../../src/detection/rows.ts";
import type { KeySighting } from "../../src/usage/sightings.ts";

/**
 * What keys did in each minute of the hours that are not judged yet, and of the last one. In memory, and from minute to minute in rows:
 * what an object that dies has not written is at most a minute of what is watched.
 */

/** Keys of one hour that are watched: at most two hours of them are in memory, some 8 KB a key and hour, and an object has 128 MB. */
export const MOST_KEYS = 4_000;
/** Keys to a row: a row holds 2 MB, and a key with eight places some 700 bytes. */
const KEYS_PER_ROW = 1_500;
const MINUTE_SECONDS = 60;

/** What an hour holds of a key beside its minutes. */
interface InHour {
  readonly environment: "live" | "test";
  testContext: number;
  places: readonly PlaceCount[];
}

/** As it is stored, in the order of `pack`. */
type PackedSighting = readonly [
  keyId: string,
  environment: "live" | "test",
  requests: number,
  cost: number,
  limited: number,
  failures: number,
  errors: number,
  testContext: number,
  places: readonly (readonly [PlaceCount["country"], PlaceCount["asn"], PlaceCount["network"], number])[],
];

export class MinuteBook {
  readonly #minutes = new Map<number, Map<string, KeyMinute>>();
  readonly #hours = new Map<number, Map<string, InHour>>();
  readonly #unwritten = new Map<number, Map<string, KeySighting>>();
  /** Requests of keys that found no room. */
  unwatched = 0;

  constructor(sql: SqlStorage) {
    for (const { minute, rows } of sql.exec<{ minute: number; rows: string }>(`SELECT minute, rows FROM minute`)) {
      // Written by `write`, so its shape is known.
      for (const packed of JSON.parse(rows) as readonly PackedSighting[]) this.#count(unpack(minute, packed));
    }
  }

  add(sighting: KeySighting): void {
    if (!this.#count(sighting)) {
      this.unwatched += sighting.requests;
      return;
    }
    const unwritten = inMap(this.#unwritten, sighting.minute);
    const before = unwritten.get(sighting.keyId);
    unwritten.set(sighting.keyId, before === undefined ? sighting : sumOf(before, sighting));
  }

  /** Gives whether there was room. */
  #count(sighting: KeySighting): boolean {
    const { keyId, minute, environment, testContext, places } = sighting;
    const hours = inMap(this.#hours, minute - (minute % HOUR_SECONDS));
    let inHour = hours.get(keyId);
    if (inHour === undefined) {
      if (hours.size >= MOST_KEYS) return false;
      hours.set(keyId, (inHour = { environment, testContext: 0, places: [] }));
    }
    inHour.testContext += testContext;
    inHour.places = addPlaces(inHour.places, places);
    const keys = inMap(this.#minutes, minute);
    keys.set(keyId, addMinute(keys.get(keyId) ?? emptyMinute(minute), sighting));
    return true;
  }

  /** Gives the rows written: one for each minute with something new, unless there are very many keys. */
  write(sql: SqlStorage): number {
    let written = 0;
    for (const [minute, sightings] of this.#unwritten) {
      const all = Array.from(sightings.values(), pack);
      for (let from = 0; from < all.length; from += KEYS_PER_ROW) {
        written += sql.exec(
          `INSERT INTO minute (minute, part, rows)
           VALUES (?1, (SELECT COALESCE(MAX(part), 0) + 1 FROM minute WHERE minute = ?1), ?2)`,
          minute,
          JSON.stringify(all.slice(from, from + KEYS_PER_ROW)),
        ).rowsWritten;
      }
    }
    this.#unwritten.clear();
    return written;
  }

  /** @param minute epoch seconds: an hour that began before it is forgotten whole once it is over. */
  forgetBefore(sql: SqlStorage, minute: number): number {
    for (const known of this.#minutes.keys()) if (known < minute) this.#minutes.delete(known);
    for (const known of this.#hours.keys()) if (known + HOUR_SECONDS <= minute) this.#hours.delete(known);
    return sql.exec(`DELETE FROM minute WHERE minute < ?`, minute).rowsWritten;
  }

  /** Of one key in `[from, to)`, epoch seconds, in order of time; minutes without a request are left out. */
  minutesOf(keyId: string, from: number, to: number): readonly KeyMinute[] {
    const found: KeyMinute[] = [];
    for (let minute = from - (from % MINUTE_SECONDS); minute < to; minute += MINUTE_SECONDS) {
      const row = this.#minutes.get(minute)?.get(keyId);
      if (row !== undefined) found.push(row);
    }
    return found;
  }

  keysInMinute(minute: number): ReadonlyMap<string, KeyMinute> {
    return this.#minutes.get(minute) ?? new Map();
  }

  keysInHour(hour: number): Iterable<string> {
    return this.#hours.get(hour)?.keys() ?? [];
  }

  hasSince(minute: number): boolean {
    return Array.from(this.#minutes).some(([known, keys]) => known >= minute && keys.size > 0);
  }

  inHour(keyId: string, hour: number): Readonly<InHour> | null {
    return this.#hours.get(hour)?.get(keyId) ?? null;
  }

  /** The sums of an hour of one key, with the mark of `flatNearLimit` left to whoever knows its limit; `null`: no request. */
  hourOf(keyId: string, hour: number): (KeyHour & { readonly minutes: readonly KeyMinute[] }) | null {
    const inHour = this.inHour(keyId, hour);
    if (inHour === null) return null;
    const minutes = this.minutesOf(keyId, hour, hour + HOUR_SECONDS);
    const { requests, cost, limited, failures, errors } = minutes.reduce(addMinute, emptyMinute(hour));
    const { testContext, places } = inHour;
    return { hour, requests, cost, limited, failures, errors, testContext, places, flatNearLimit: false, minutes };
  }
}

function inMap<V>(map: Map<number, Map<string, V>>, at: number): Map<string, V> {
  let inner = map.get(at);
  if (inner === undefined) map.set(at, (inner = new Map()));
  return inner;
}

export function emptyMinute(minute: number): KeyMinute {
  return { minute, requests: 0, cost: 0, limited: 0, failures: 0, errors: 0 };
}

function addMinute(sum: KeyMinute, added: KeyMinute): KeyMinute {
  return {
    minute: sum.minute,
    requests: sum.requests + added.requests,
    cost: sum.cost + added.cost,
    limited: sum.limited + added.limited,
    failures: sum.failures + added.failures,
    errors: sum.errors + added.errors,
  };
}

function sumOf(a: KeySighting, b: KeySighting): KeySighting {
  return {
    ...addMinute(a, b),
    keyId: a.keyId,
    environment: a.environment,
    testContext: a.testContext + b.testContext,
    places: addPlaces(a.places, b.places),
  };
}

function pack(of: KeySighting): PackedSighting {
  const places = of.places.map(({ country, asn, network, requests }) => [country, asn, network, requests] as const);
  return [of.keyId, of.environment, of.requests, of.cost, of.limited, of.failures, of.errors, of.testContext, places];
}

function unpack(minute: number, packed: PackedSighting): KeySighting {
  const [keyId, environment, requests, cost, limited, failures, errors, testContext, places] = packed;
  return {
    keyId,
    environment,
    minute,
    requests,
    cost,
    limited,
    failures,
    errors,
    testContext,
    places: places.map(([country, asn, network, count]) => ({ country, asn, network, requests: count })),
  };
}
