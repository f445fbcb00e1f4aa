import { BATCH_MEMORY_DAYS } from "../../src/constants.ts";
import { idFloor } from "../../src/platform/ids.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";
import { DAY_SECONDS, HOUR_SECONDS, bucketOf } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import { horizonsAt } from "../../src/usage/segments.ts";
import { readState, writeState } from "./state.ts";

/**
 * Hours are summed from minutes once they are over, days from hours. An ingest then writes one row for each group, not three;
 * what comes late, for an hour that is already summed, is added to that hour as well.
 */

/** An hour is summed this long after its end, when most late events have come: each later one costs a row more. */
const ROLL_UP_SLACK_MS = 120_000;
const DAY_MS = 86_400_000;

const ADDED = `SUM(requests), SUM(allowed), SUM(refused), SUM(cost), SUM(bytes_in), SUM(bytes_out), SUM(latency_ms)`;

/** Up to where each table is complete. */
export function readMarks(sql: SqlStorage, now: number): LedgerMarks {
  return { hourMark: readState(sql, "hour_mark"), dayMark: readState(sql, "day_mark"), ...horizonsAt(now) };
}

/** Whether there is an hour or a day to sum. */
export function isRollUpDue(sql: SqlStorage, now: number): boolean {
  return readState(sql, "hour_mark") < bucketOf(now - ROLL_UP_SLACK_MS, HOUR_SECONDS);
}

/** Sums what is over. To be called in a transaction; a second call finds nothing to do. Gives the rows written. */
export function rollUp(sql: SqlStorage, now: number): number {
  return (
    sumUp(sql, {
      from: "usage_minute",
      into: "usage_hour",
      mark: "hour_mark",
      seconds: HOUR_SECONDS,
      until: bucketOf(now - ROLL_UP_SLACK_MS, HOUR_SECONDS),
    }) +
    sumUp(sql, {
      from: "usage_hour",
      into: "usage_day",
      mark: "day_mark",
      seconds: DAY_SECONDS,
      until: bucketOf(readState(sql, "hour_mark") * 1_000, DAY_SECONDS),
    })
  );
}

interface Step {
  readonly from: "usage_minute" | "usage_hour";
  readonly into: "usage_hour" | "usage_day";
  readonly mark: "hour_mark" | "day_mark";
  readonly seconds: number;
  readonly until: number;
}

function sumUp(sql: SqlStorage, step: Step): number {
  const mark = readState(sql, step.mark);
  if (mark >= step.until) return 0;
  const { rowsWritten } = sql.exec(
    `INSERT INTO ${step.into} SELECT bucket - bucket % ${step.seconds}, series, ${ADDED}
     FROM ${step.from} WHERE bucket >= ? AND bucket < ? GROUP BY bucket - bucket % ${step.seconds}, series`,
    mark,
    step.until,
  );
  return rowsWritten + writeState(sql, step.mark, step.until);
}

/** Deletes what is past its retention. To be called in a transaction; a second call finds nothing to do. */
export function sweep(sql: SqlStorage, now: number): number {
  const horizons = horizonsAt(now);
  let rows = 0;
  rows += sql.exec(`DELETE FROM usage_minute WHERE bucket < ?`, horizons.minuteHorizon).rowsWritten;
  rows += sql.exec(`DELETE FROM usage_hour WHERE bucket < ?`, horizons.hourHorizon).rowsWritten;
  const days = sql.exec(`DELETE FROM usage_day WHERE bucket < ?`, horizons.dayHorizon).rowsWritten;
  rows += days;
  if (days > 0) {
    // The names behind the numbers go with the last of them. Reads whole tables, once a day at most.
    rows += sql.exec(
      `DELETE FROM series WHERE id NOT IN (
         SELECT series FROM usage_day UNION SELECT series FROM usage_hour UNION SELECT series FROM usage_minute)`,
    ).rowsWritten;
    rows += sql.exec(`DELETE FROM key_use WHERE last_used < ?`, horizons.dayHorizon * 1_000).rowsWritten;
  }
  rows += sql.exec(
    `DELETE FROM batch WHERE batch_id < ?`,
    idFloor(BATCH_ID_PREFIX, Math.max(0, now - BATCH_MEMORY_DAYS * DAY_MS)),
  ).rowsWritten;
  rows += sql.exec(`DELETE FROM reconciliation WHERE hour < ?`, horizons.hourHorizon).rowsWritten;
  rows += sql.exec(`DELETE FROM reconciled_hour WHERE hour < ?`, horizons.hourHorizon).rowsWritten;
  return rows;
}
