import type { Packed, SeriesSums } from "../../src/usage/packed-sums.ts";
import { addPacked, packSums, parsePacked, sumsOf } from "../../src/usage/packed-sums.ts";
import type { Granularity, Sums } from "../../src/usage/rollup.ts";
import { GRANULARITY_SECONDS, addSums } from "../../src/usage/rollup.ts";
import type { Segment } from "../../src/usage/segments.ts";
import type { Places, RowStore } from "./placed-rows.ts";
import { LAST_PLACE, addToRows } from "./placed-rows.ts";
import { placesOf } from "./series.ts";

/** Rows of sums: one for some hundred series of a bucket. */

/** 56 KB of the 2 MB that fit into a row, and what a question about one key reads in vain. */
const MOST_SERIES = 512;
const NEW_SERIES = 256;

/** What is added to one bucket. */
export interface Addition {
  readonly sums: SeriesSums;
  /** Of every series in `sums`. */
  readonly places: ReadonlyMap<number, number>;
}

/** Where older versions kept a row for each series of a bucket. Nothing is added to these; they are read until they are swept. */
export const OLD_TABLES: Readonly<Record<Granularity, string>> = {
  minute: "usage_minute",
  hour: "usage_hour",
  day: "usage_day",
};

/** To be called in a transaction. Gives the rows written. */
export function addToBucket(
  sql: SqlStorage,
  grain: Granularity,
  bucket: number,
  { sums: added, places }: Addition,
): number {
  return addToRows(bucketRows(sql, GRANULARITY_SECONDS[grain], bucket), added, (series) => places.get(series) ?? 0);
}

function bucketRows(sql: SqlStorage, seconds: number, bucket: number): RowStore<number, Sums> {
  return {
    bounds: () =>
      sql
        .exec<{ low: number; high: number }>(
          `SELECT low, high FROM usage_pack WHERE grain = ? AND bucket = ? ORDER BY low`,
          seconds,
          bucket,
        )
        .toArray(),
    read: (low) => {
      const { sums } = sql
        .exec<{ sums: string }>(
          `SELECT sums FROM usage_pack WHERE grain = ? AND bucket = ? AND low = ?`,
          seconds,
          bucket,
          low,
        )
        .one();
      const read: SeriesSums = new Map();
      addPacked(read, parsePacked(sums));
      return read;
    },
    write: ({ low, high, things }) =>
      sql.exec(
        `INSERT INTO usage_pack (grain, bucket, low, high, sums) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (grain, bucket, low) DO UPDATE SET high = ?4, sums = ?5`,
        seconds,
        bucket,
        low,
        high,
        packSums(things),
      ).rowsWritten,
    add: (into, series, sums) => addSums(sumsOf(into, series), sums),
    placesOf: (ids) => {
      const places = placesOf(sql, ids);
      return (series) => places.get(series) ?? 0;
    },
    most: MOST_SERIES,
    each: NEW_SERIES,
  };
}

/** Sums of one bucket: all of them, or those of one row. */
export interface BucketPart {
  readonly bucket: number;
  readonly packed: Packed;
}

/**
 * What a part of a range holds; a bucket comes in several parts.
 *
 * @param places only what may hold series at one of these. All, where there are none.
 */
export function* readParts(
  sql: SqlStorage,
  { table, from, to }: Segment,
  places: readonly Places[] = [{ low: 0, high: LAST_PLACE }],
): Generator<BucketPart> {
  for (const row of sql.exec<{ bucket: number; low: number; high: number; sums: string }>(
    `SELECT bucket, low, high, sums FROM usage_pack
     WHERE grain = ? AND bucket >= ? AND bucket < ? AND low <= ? AND high >= ?`,
    GRANULARITY_SECONDS[table],
    from,
    to,
    Math.max(...places.map(({ high }) => high)),
    Math.min(...places.map(({ low }) => low)),
  )) {
    if (!places.some(({ low, high }) => low <= row.high && high >= row.low)) continue;
    yield { bucket: row.bucket, packed: parsePacked(row.sums) };
  }
  yield* readOldParts(sql, { table, from, to });
}

/** The bucket, then in the order of `Packed`. */
const OLD_COLUMNS = ["bucket", "series", "requests", "allowed", "cost", "bytes_in", "bytes_out", "latency_ms"] as const;
type OldColumn = (typeof OLD_COLUMNS)[number];

function* readOldParts(sql: SqlStorage, { table, from, to }: Segment): Generator<BucketPart> {
  // The name of the table is one of the constants above.
  for (const row of sql.exec<Record<OldColumn, number>>(
    `SELECT ${OLD_COLUMNS.join(", ")} FROM ${OLD_TABLES[table]} WHERE bucket >= ? AND bucket < ?`,
    from,
    to,
  )) {
    const [, ...packed] = OLD_COLUMNS.map((column) => row[column]);
    yield { bucket: row.bucket, packed };
  }
}

/** Starts of the coarser buckets in which a part of a range holds anything. */
export function coarserBuckets(sql: SqlStorage, { table, from, to }: Segment, seconds: number): readonly number[] {
  return sql
    .exec<{ start: number }>(
      `SELECT DISTINCT bucket - bucket % ?1 AS start FROM usage_pack WHERE grain = ?2 AND bucket >= ?3 AND bucket < ?4
       UNION SELECT DISTINCT bucket - bucket % ?1 FROM ${OLD_TABLES[table]} WHERE bucket >= ?3 AND bucket < ?4`,
      seconds,
      GRANULARITY_SECONDS[table],
      from,
      to,
    )
    .toArray()
    .map(({ start }) => start);
}
