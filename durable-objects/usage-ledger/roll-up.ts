import type { SeriesTallies } from "../../src/usage/packed-sums.ts";
import { addPacked } from "../../src/usage/packed-sums.ts";
import type { Granularity } from "../../src/usage/rollup.ts";
import { DAY_SECONDS, GRANULARITY_SECONDS, HOUR_SECONDS, bucketOf } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import { sweepBatchIds } from "./batch-ids.ts";
import { sweepHealth } from "./health.ts";
import { OLD_TABLES, addToBucket, coarserBuckets, readParts } from "./packs.ts";
import { SEEN_STEP_SECONDS, placesOf } from "./series.ts";
import { readHorizons, readState, writeState } from "./state.ts";
import { sweepRevocations } from "./revocations.ts";
import { sweepUses } from "./uses.ts";

/**
 * Hours are summed from minutes once they are over, days from hours. An ingest then writes one row for each group, not three;
 * what comes late, for an hour that is already summed, is added to that hour as well.
 */

/** An hour is summed this long after its end, when most late events have come: each later one costs a row more. */
const ROLL_UP_SLACK_MS = 120_000;

const GRAINS = ["minute", "hour", "day"] as const;

/** Up to where each table is complete. */
export function readMarks(sql: SqlStorage, now: number): LedgerMarks {
  return {
    hourMark: readState(sql, "hour_mark"),
    dayMark: readState(sql, "day_mark"),
    ...readHorizons(sql, now),
  };
}

/** Whether there is an hour or a day to sum. */
export function isRollUpDue(sql: SqlStorage, now: number): boolean {
  return readState(sql, "hour_mark") < bucketOf(now - ROLL_UP_SLACK_MS, HOUR_SECONDS);
}

/** Sums what is over. To be called in a transaction; a second call finds nothing to do. Gives the rows written. */
export function rollUp(sql: SqlStorage, now: number): number {
  return (
    sumUp(sql, {
      from: "minute",
      into: "hour",
      mark: "hour_mark",
      until: bucketOf(now - ROLL_UP_SLACK_MS, HOUR_SECONDS),
    }) +
    sumUp(sql, {
      from: "hour",
      into: "day",
      mark: "day_mark",
      until: bucketOf(readState(sql, "hour_mark") * 1_000, DAY_SECONDS),
    })
  );
}

interface Step {
  readonly from: "minute" | "hour";
  readonly into: "hour" | "day";
  readonly mark: "hour_mark" | "day_mark";
  readonly until: number;
}

function sumUp(sql: SqlStorage, { from: table, into, mark, until }: Step): number {
  const from = readState(sql, mark);
  if (from >= until) return 0;
  const seconds = GRANULARITY_SECONDS[into];
  let rowsWritten = 0;
  for (const bucket of coarserBuckets(sql, { table, from, to: until }, seconds)) {
    const tallies: SeriesTallies = new Map();
    const segment = { table, from: bucket, to: bucket + seconds };
    for (const { packed, distributions } of readParts(sql, segment, { distributions: true })) {
      addPacked(tallies, packed, distributions);
    }
    rowsWritten += addToBucket(sql, into, bucket, { tallies, places: placesOf(sql, [...tallies.keys()]) });
  }
  return rowsWritten + writeState(sql, mark, until);
}

/** Deletes what is past its retention. To be called in a transaction; a second call finds nothing to do. */
export function sweep(sql: SqlStorage, now: number): number {
  const { minuteHorizon, hourHorizon, dayHorizon } = readHorizons(sql, now);
  let rows = sweepSums(sql, "minute", minuteHorizon) + sweepSums(sql, "hour", hourHorizon);
  const days = sweepSums(sql, "day", dayHorizon);
  rows += days;
  if (days > 0 || !hasSums(sql)) {
    // The names behind the numbers go after the last of them. Reads whole tables, once a day at most.
    rows += sql.exec(`DELETE FROM series WHERE seen < ?`, dayHorizon - SEEN_STEP_SECONDS - DAY_SECONDS).rowsWritten;
    rows += sweepUses(sql, dayHorizon * 1_000);
  }
  rows += sweepBatchIds(sql, now) + sweepRevocations(sql, now) + sweepHealth(sql, now);
  rows += sql.exec(`DELETE FROM reconciliation WHERE hour < ?`, hourHorizon).rowsWritten;
  rows += sql.exec(`DELETE FROM reconciled_hour WHERE hour < ?`, hourHorizon).rowsWritten;
  return rows;
}

function sweepSums(sql: SqlStorage, grain: Granularity, before: number): number {
  return (
    sql.exec(`DELETE FROM usage_pack WHERE grain = ? AND bucket < ?`, GRANULARITY_SECONDS[grain], before).rowsWritten +
    sql.exec(`DELETE FROM ${OLD_TABLES[grain]} WHERE bucket < ?`, before).rowsWritten
  );
}

function hasSums(sql: SqlStorage): boolean {
  return GRAINS.some((grain) => isKept(sql, grain));
}

/** Whether any sums by minute (hour, day) are kept. */
export function isKept(sql: SqlStorage, grain: Granularity): boolean {
  const { kept } = sql
    .exec<{ kept: number }>(
      `SELECT EXISTS (SELECT 1 FROM usage_pack WHERE grain = ?) OR EXISTS (SELECT 1 FROM ${OLD_TABLES[grain]}) AS kept`,
      GRANULARITY_SECONDS[grain],
    )
    .one();
  return kept === 1;
}
