import { createHash } from "node:crypto";
import { fnv1a } from "../../src/platform/fnv.ts";
import { DAY_SECONDS, bucketOf, dimensionsIn } from "../../src/usage/rollup.ts";
import type { Places } from "./placed-rows.ts";

/** Sets of dimensions, each with a number that sums name it by. */

export interface Series {
  readonly id: number;
  /** Where its sums are among those of a bucket: see `placeOf`. */
  readonly place: number;
  /** Epoch seconds, moved by `SEEN_STEP_SECONDS`: it was in use not long before this or later. */
  readonly seen: number;
}

/** Series that this object has seen lately, by their `seriesKey`: a copy of rows. */
export type KnownSeries = Map<string, Series>;

const KNOWN_SERIES_ENTRIES = 50_000;
const DIGEST_CHARACTERS = 22;
/** A statement takes as many names at once; each is one bound text in all. */
const AT_ONCE = 1_000;
/** How often a series that is in use says so: a row each time. */
export const SEEN_STEP_SECONDS = 30 * DAY_SECONDS;

/** Places of one key are neighbours: its first 16 bits are the key's. */
const PLACES_PER_KEY = 0x10000;

/** A question about one key reads rows with these places alone. */
export function placesOfKey(keyId: string | null): Places {
  const low = sixteenBits(keyId ?? "") * PLACES_PER_KEY;
  return { low, high: low + PLACES_PER_KEY - 1 };
}

/** Never changes: part of what is stored. */
function placeOf(keyId: string | null, digest: string): number {
  return placesOfKey(keyId).low + sixteenBits(digest);
}

function sixteenBits(text: string): number {
  const hash = fnv1a(text);
  return ((hash >>> 16) ^ hash) & 0xffff;
}

/** The number of each of these sets of dimensions; made where it is seen for the first time. To be called in a transaction. */
export function resolveSeries(
  sql: SqlStorage,
  seriesKeys: Iterable<string>,
  known: KnownSeries,
  now: number,
): { readonly found: ReadonlyMap<string, Series>; readonly rowsWritten: number } {
  const today = bucketOf(now, DAY_SECONDS);
  const found = new Map<string, Series>();
  const unknown: { readonly seriesKey: string; readonly digest: string }[] = [];
  for (const seriesKey of new Set(seriesKeys)) {
    const series = known.get(seriesKey);
    if (series !== undefined && series.seen + SEEN_STEP_SECONDS > today) found.set(seriesKey, series);
    else unknown.push({ seriesKey, digest: digestOf(seriesKey) });
  }
  let rowsWritten = 0;
  for (let from = 0; from < unknown.length; from += AT_ONCE) {
    const some = unknown.slice(from, from + AT_ONCE);
    const stored = storedSeries(
      sql,
      some.map(({ digest }) => digest),
    );
    for (const { seriesKey, digest } of some) {
      const row = stored.get(digest) ?? insertSeries(sql, { seriesKey, digest, seen: today });
      let { seen } = row;
      if (seen + SEEN_STEP_SECONDS <= today) {
        seen = today;
        rowsWritten += sql.exec(`UPDATE series SET seen = ? WHERE id = ?`, today, row.id).rowsWritten;
      }
      rowsWritten += row.rowsWritten;
      found.set(seriesKey, { id: row.id, place: placeOf(dimensionsIn(seriesKey).keyId, digest), seen });
    }
  }
  remember(known, found);
  return { found, rowsWritten };
}

function digestOf(seriesKey: string): string {
  return createHash("sha256").update(seriesKey).digest("base64url").slice(0, DIGEST_CHARACTERS);
}

interface StoredSeries {
  readonly id: number;
  readonly seen: number;
  readonly rowsWritten: number;
}

function storedSeries(sql: SqlStorage, digests: readonly string[]): ReadonlyMap<string, StoredSeries> {
  const rows = sql.exec<{ id: number; digest: string; seen: number }>(
    `SELECT id, digest, seen FROM series WHERE digest IN (SELECT value FROM json_each(?))`,
    JSON.stringify(digests),
  );
  return new Map(Array.from(rows, ({ digest, id, seen }) => [digest, { id, seen, rowsWritten: 0 }]));
}

function insertSeries(
  sql: SqlStorage,
  { seriesKey, digest, seen }: { readonly seriesKey: string; readonly digest: string; readonly seen: number },
): StoredSeries {
  const of = dimensionsIn(seriesKey);
  const inserted = sql.exec<{ id: number }>(
    `INSERT INTO series (digest, key_id, lineage_id, owner, environment, route, status, code, country, asn, upstream, seen)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
    digest,
    of.keyId,
    of.lineageId,
    of.owner,
    of.environment,
    of.route,
    of.status,
    of.code,
    of.country,
    of.asn,
    of.upstream,
    seen,
  );
  const { id } = inserted.one();
  return { id, seen, rowsWritten: inserted.rowsWritten };
}

function remember(known: KnownSeries, found: ReadonlyMap<string, Series>): void {
  for (const [seriesKey, series] of found) {
    if (known.size >= KNOWN_SERIES_ENTRIES) known.clear();
    known.set(seriesKey, series);
  }
}

/** Places of series by their numbers. */
export function placesOf(sql: SqlStorage, ids: Iterable<number>): ReadonlyMap<number, number> {
  const places = new Map<number, number>();
  const all = [...ids];
  for (let from = 0; from < all.length; from += AT_ONCE) {
    const rows = sql.exec<{ id: number; keyId: string | null; digest: string }>(
      `SELECT id, key_id AS keyId, digest FROM series WHERE id IN (SELECT value FROM json_each(?))`,
      JSON.stringify(all.slice(from, from + AT_ONCE)),
    );
    for (const { id, keyId, digest } of rows) places.set(id, placeOf(keyId, digest));
  }
  return places;
}

export function hasSeries(sql: SqlStorage): boolean {
  return sql.exec(`SELECT 1 FROM series LIMIT 1`).toArray().length > 0;
}
