import { fnv1a } from "../platform/fnv.ts";
import type { KeyHour, PlaceCount } from "./rows.ts";
import { HOUR_SECONDS } from "./rows.ts";

/** Where a key was used before: the newest so many countries, providers and networks, each with its first and last hour. */

export const PLACE_LEVELS = ["country", "asn", "network"] as const;
export type PlaceLevel = (typeof PLACE_LEVELS)[number];

/** A key that is seen in more of them is one that goes around: the oldest is forgotten, and that is remembered. */
export const MOST_PLACES: Readonly<Record<PlaceLevel, number>> = { country: 24, asn: 32, network: 64 };

/** Hours since the epoch. */
interface Stay {
  first: number;
  last: number;
}

export interface KnownPlaces {
  /** By hash of the name: 32 bits are enough for a hundred of them, and say nothing. */
  readonly country: Map<number, Stay>;
  readonly asn: Map<number, Stay>;
  readonly network: Map<number, Stay>;
  /** The hour in which one was last forgotten for want of room; `-1`: never. */
  readonly forgot: Record<PlaceLevel, number>;
}

export function noPlaces(): KnownPlaces {
  return { country: new Map(), asn: new Map(), network: new Map(), forgot: { country: -1, asn: -1, network: -1 } };
}

/** `null` where the level of a place is not known. */
export function placeHash(place: PlaceCount, level: PlaceLevel): number | null {
  const name = place[level];
  return name === null ? null : fnv1a(String(name));
}

/** Notes where the requests of an hour came from. In any order, as often as one likes. */
export function absorbPlaces(known: KnownPlaces, row: KeyHour): void {
  const hour = row.hour / HOUR_SECONDS;
  for (const place of row.places) {
    for (const level of PLACE_LEVELS) {
      const hash = placeHash(place, level);
      if (hash !== null) note(known, level, hash, { first: hour, last: hour });
    }
  }
}

function note(known: KnownPlaces, level: PlaceLevel, hash: number, stay: Stay): void {
  add(known[level], hash, stay);
  trim(known, level);
}

function add(stays: Map<number, Stay>, hash: number, stay: Stay): void {
  const before = stays.get(hash);
  if (before === undefined) {
    stays.set(hash, { ...stay });
    return;
  }
  before.first = Math.min(before.first, stay.first);
  before.last = Math.max(before.last, stay.last);
}

/** Those that were not seen for longest make room; of several, the one of the smallest hash, so that order does not matter. */
function trim(known: KnownPlaces, level: PlaceLevel): void {
  const stays = known[level];
  const tooMany = stays.size - MOST_PLACES[level];
  if (tooMany <= 0) return;
  const byAge = [...stays].sort(([a, one], [b, other]) => one.last - other.last || a - b);
  for (const [hash] of byAge.slice(0, tooMany)) stays.delete(hash);
  known.forgot[level] = Math.max(known.forgot[level], byAge.at(-1)?.[1].last ?? -1);
}

/** Whether the key was there before `hour`. */
export function wasThere(known: KnownPlaces, level: PlaceLevel, place: PlaceCount, hour: number): boolean {
  const hash = placeHash(place, level);
  // What nobody knows is not new.
  if (hash === null) return true;
  const stay = known[level].get(hash);
  return stay !== undefined && stay.first < hour;
}

/** How many were met for the first time in `[from, to)`. */
export function newBetween(known: KnownPlaces, level: PlaceLevel, from: number, to: number): number {
  let count = 0;
  for (const { first } of known[level].values()) if (first >= from && first < to) count++;
  return count;
}

export function mergePlaces(a: KnownPlaces, b: KnownPlaces): KnownPlaces {
  const merged = noPlaces();
  for (const level of PLACE_LEVELS) {
    merged.forgot[level] = Math.max(a.forgot[level], b.forgot[level]);
    for (const from of [a, b]) for (const [hash, stay] of from[level]) add(merged[level], hash, stay);
    trim(merged, level);
  }
  return merged;
}
