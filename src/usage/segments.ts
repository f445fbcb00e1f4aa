import { USAGE_DAY_RETENTION_MONTHS, USAGE_HOUR_RETENTION_DAYS, USAGE_MINUTE_RETENTION_HOURS } from "../constants.ts";
import type { Result } from "../result.ts";
import { ok } from "../result.ts";
import type { UsageQuery, UsageQueryError } from "./query.ts";
import { refuse } from "./query.ts";
import type { Granularity } from "./rollup.ts";
import { DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, bucketOf } from "./rollup.ts";

/** Which table of the ledger answers which part of a range. Pure: the marks and the clock are arguments. */

const HOUR_MS = HOUR_SECONDS * 1_000;
const DAY_MS = DAY_SECONDS * 1_000;

/** Up to where each table is complete, epoch seconds. */
export interface LedgerMarks {
  /** Hours before this are in the hour table; later ones in the minute table only. */
  readonly hourMark: number;
  readonly dayMark: number;
  /** What is older than these may have been deleted. */
  readonly minuteHorizon: number;
  readonly hourHorizon: number;
  readonly dayHorizon: number;
}

/** Retention: minutes to the hour and hours to the day, so that whole coarser buckets take over. */
export function horizonsAt(now: number): Pick<LedgerMarks, "minuteHorizon" | "hourHorizon" | "dayHorizon"> {
  return {
    minuteHorizon: bucketOf(now - USAGE_MINUTE_RETENTION_HOURS * HOUR_MS, HOUR_SECONDS),
    hourHorizon: bucketOf(now - USAGE_HOUR_RETENTION_DAYS * DAY_MS, DAY_SECONDS),
    dayHorizon: bucketOf(now - USAGE_DAY_RETENTION_MONTHS * 31 * DAY_MS, DAY_SECONDS),
  };
}

/** Rows of `table` with `from <= bucket < to`, epoch seconds. */
export interface Segment {
  readonly table: Granularity;
  readonly from: number;
  readonly to: number;
}

/**
 * Which table answers which part of the range: the coarsest that holds exactly that part. Whole minutes are exact as long as
 * minutes are kept; edges older than that are widened to the hour, and past the hours' retention to the day.
 */
export function planSegments(
  query: Pick<UsageQuery, "from" | "to" | "granularity">,
  marks: LedgerMarks,
): Result<readonly Segment[], UsageQueryError> {
  const { granularity } = query;
  let from = widen(bucketOf(query.from, MINUTE_SECONDS), marks, "down");
  const to = widen(bucketOf(query.to + MINUTE_SECONDS * 1_000 - 1, MINUTE_SECONDS), marks, "up");
  if (granularity === "minute" && from < marks.minuteHorizon) {
    return refuse("from", `minutes are kept for ${USAGE_MINUTE_RETENTION_HOURS} hours; ask for hours or days`);
  }
  if (granularity === "hour" && from < marks.hourHorizon) {
    return refuse("from", `hours are kept for ${USAGE_HOUR_RETENTION_DAYS} days; ask for days`);
  }
  from = Math.max(from, marks.dayHorizon);
  const segments: Segment[] = [];
  for (let at = from; at < to;) {
    const next = nextSegment(at, to, granularity, marks);
    segments.push(next);
    at = next.to;
  }
  return ok(segments);
}

function widen(at: number, marks: LedgerMarks, direction: "down" | "up"): number {
  if (at >= marks.minuteHorizon) return at;
  const seconds = at < marks.hourHorizon ? DAY_SECONDS : HOUR_SECONDS;
  const down = at - (at % seconds);
  return direction === "down" || down === at ? down : down + seconds;
}

function nextSegment(at: number, to: number, granularity: Granularity, marks: LedgerMarks): Segment {
  if (granularity === "day" && fits(at, to, DAY_SECONDS, marks.dayMark)) {
    return { table: "day", from: at, to: Math.min(to - (to % DAY_SECONDS), marks.dayMark) };
  }
  if (granularity !== "minute" && fits(at, to, HOUR_SECONDS, marks.hourMark)) {
    const end = Math.min(to - (to % HOUR_SECONDS), marks.hourMark);
    const day = ceilTo(at + 1, DAY_SECONDS);
    return {
      table: "hour",
      from: at,
      to: granularity === "day" && fits(day, to, DAY_SECONDS, marks.dayMark) ? Math.min(end, day) : end,
    };
  }
  const hour = ceilTo(at + 1, HOUR_SECONDS);
  return {
    table: "minute",
    from: at,
    to: granularity !== "minute" && fits(hour, to, HOUR_SECONDS, marks.hourMark) ? hour : to,
  };
}

/** Whether a whole bucket starts at `at`, ends by `to`, and is rolled up. */
function fits(at: number, to: number, seconds: number, mark: number): boolean {
  return at % seconds === 0 && at + seconds <= to && at < mark;
}

function ceilTo(at: number, seconds: number): number {
  return Math.ceil(at / seconds) * seconds;
}
