import { weightOf } from "../../src/usage/distributions.ts";
import type { Packed, SeriesTallies } from "../../src/usage/packed-sums.ts";
import { addPacked, packSeriesDistributions, packSums, parsePacked, tallyOf } from "../../src/usage/packed-sums.ts";
import type { Granularity, Tally } from "../../src/usage/rollup.ts";
import { GRANULARITY_SECONDS, addTally } from "../../src/usage/rollup.ts";
import type { Segment } from "../../src/usage/segments.ts";
import type { Places, RowStore } from "./placed-rows.ts";
import { LAST_PLACE, addToRows } from "./placed-rows.ts";
import { placesOf } from "./series.ts";

/** Rows of sums: one for some hundred series of a bucket. */

/** 56 KB of sums, what a question about one key reads in vain; and some 300 KB of distributions, of the 2 MB that fit into a row. */
const MOST_SERIES = 512;
const NEW_SERIES = 256;
/** A series whose distributions are longer counts as several. */
const NUMBERS_PER_SERIES = 64;

/** What is added to one bucket. */
export interface Addition {
  readonly tallies: SeriesTallies;
  /** Of every series in `tallies`. */
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
  { tallies: added, places }: Addition,
): number {
  return addToRows(bucketRows(sql, GRANULARITY_SECONDS[grain], bucket), added, (series) => places.get(series) ?? 0);
}

function bucketRows(sql: SqlStorage, seconds: number, bucket: number): RowStore<number, Tally> {
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
      const { sums, distributions } = sql
        .exec<{ sums: string; distributions: string }>(
          `SELECT sums, distributions FROM usage_pack WHERE grain = ? AND bucket = ? AND low = ?`,
          seconds,
          bucket,
          low,
        )
        .one();
      const read: SeriesTallies = new Map();
      addPacked(read, parsePacked(sums), distributions);
      return read;
    },
    write: ({ low, high, things }) =>
      sql.exec(
        `INSERT INTO usage_pack (grain, bucket, low, high, sums, distributions) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (grain, bucket, low) DO UPDATE SET high = ?4, sums = ?5, distributions = ?6`,
        seconds,
        bucket,
        low,
        high,
        packSums(things),
        packSeriesDistributions(things),
      ).rowsWritten,
    add: (into, series, tally) => addTally(tallyOf(into, series), tally),
    weigh: ({ distributions }) => Math.max(1, weightOf(distributions) / NUMBERS_PER_SERIES),
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
  /** As `packSeriesDistributions` wrote it; "[]" where nobody asks for it. */
  readonly distributions: string;
}

/** What of a range is read. */
export interface Reading {
  /** Only what may hold series at one of these. Default: all. */
  readonly places?: readonly Places[] | undefined;
  /** Default: not. */
  readonly distributions?: boolean;
}

/** What a part of a range holds; a bucket comes in several parts. */
export function* readParts(
  sql: SqlStorage,
  { table, from, to }: Segment,
  { places = [{ low: 0, high: LAST_PLACE }], distributions = false }: Reading = {},
): Generator<BucketPart> {
  for (const row of sql.exec<{ bucket: number; low: number; high: number; sums: string; distributions: string }>(
    `SELECT bucket, low, high, sums, ${distributions ? "distributions" : "'[]' AS distributions"} FROM usage_pack
     WHERE grain = ? AND bucket >= ? AND bucket < ? AND low <= ? AND high >= ?`,
    GRANULARITY_SECONDS[table],
    from,
    to,
    Math.max(...places.map(({ high }) => high)),
    Math.min(...places.map(({ low }) => low)),
  )) {
    if (!places.some(({ low, high }) => low <= row.high && high >= row.low)) continue;
    yield { bucket: row.bucket, packed: parsePacked(row.sums), distributions: row.distributions };
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
    yield { bucket: row.bucket, packed, distributions: "[]" };
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
