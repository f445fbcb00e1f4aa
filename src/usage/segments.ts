import type { Result } from "../result.ts";
import { ok } from "../result.ts";
import type { UsageQuery, UsageQueryError } from "./query.ts";
import { refuse } from "./query.ts";
import type { Retention } from "./retention.ts";
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
  /** What they follow from, for messages. */
  readonly retention: Retention;
}

export type Horizons = Pick<LedgerMarks, "minuteHorizon" | "hourHorizon" | "dayHorizon" | "retention">;

/** Minutes are kept to the hour and hours to the day, so that whole coarser buckets take over. */
export function horizonsAt(now: number, retention: Retention): Horizons {
  const { minuteHours, hourDays, dayMonths } = retention;
  return {
    minuteHorizon: bucketOf(now - minuteHours * HOUR_MS, HOUR_SECONDS),
    hourHorizon: bucketOf(now - hourDays * DAY_MS, DAY_SECONDS),
    dayHorizon: bucketOf(now - dayMonths * 31 * DAY_MS, DAY_SECONDS),
    retention,
  };
}

/** Rows of `table` with `from <= bucket < to`, epoch seconds. */
export interface Segment {
  readonly table: Granularity;
  readonly from: number;
  readonly to: number;
}

/** A segment whose rows belong to the period that begins at `start`, epoch seconds; `null`: each to its bucket of the granularity. */
export interface PlannedSegment extends Segment {
  readonly start: number | null;
}

/**
 * Which table answers which part of the range: the coarsest that holds exactly that part. Whole minutes are exact as long as
 * minutes are kept; edges older than that are widened to the hour, and past the hours' retention to the day. Where a period ends
 * within the range nothing is widened: what cannot be told apart any more is refused.
 */
export function planSegments(
  query: Pick<UsageQuery, "from" | "to" | "granularity" | "periods" | "timeZone">,
  marks: LedgerMarks,
): Result<readonly PlannedSegment[], UsageQueryError> {
  const { granularity, periods } = query;
  const from = widen(bucketOf(query.from, MINUTE_SECONDS), marks, "down");
  const to = widen(bucketOf(query.to + MINUTE_SECONDS * 1_000 - 1, MINUTE_SECONDS), marks, "up");
  const { minuteHours, hourDays } = marks.retention;
  if (granularity === "minute" && from < marks.minuteHorizon) {
    return refuse("from", `minutes are kept for ${minuteHours} hours; ask for hours or days`);
  }
  if (granularity === "hour" && from < marks.hourHorizon) {
    return refuse("from", `hours are kept for ${hourDays} days; ask for days`);
  }
  const grain = granularity === "month" ? "day" : granularity;
  if (periods === undefined) return ok(planPart({ from, to, start: null }, grain, marks));
  const inner = periods.slice(1, -1).map((at) => at / 1_000);
  for (const at of inner) {
    if (at >= from && widen(at, marks, "down") !== at) return tooCoarse(at, query.timeZone ?? "UTC", marks);
  }
  const cuts = [from, ...inner, to];
  return ok(
    cuts.slice(1).flatMap((end, index) => {
      const start = cuts[index] ?? from;
      return planPart({ from: start, to: end, start }, "day", marks);
    }),
  );
}

function tooCoarse(at: number, timeZone: string, { hourHorizon, retention }: LedgerMarks) {
  const { minuteHours, hourDays } = retention;
  return at < hourHorizon
    ? refuse("timeZone", `${timeZone}: days that are not those of UTC are kept for ${hourDays} days; take a later from`)
    : refuse(
        "timeZone",
        `${timeZone}: its days do not begin on the hour of UTC, and finer than hours is kept for ${minuteHours} hours; take a later from`,
      );
}

function planPart(
  { from, to, start }: Pick<PlannedSegment, "from" | "to" | "start">,
  granularity: Granularity,
  marks: LedgerMarks,
): readonly PlannedSegment[] {
  const segments: PlannedSegment[] = [];
  for (let at = Math.max(from, marks.dayHorizon); at < to;) {
    const next = nextSegment(at, to, granularity, marks);
    segments.push({ ...next, start });
    at = next.to;
  }
  return segments;
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
