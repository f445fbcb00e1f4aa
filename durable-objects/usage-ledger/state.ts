import { DEFAULT_RETENTION, type Retention } from "../../src/usage/retention.ts";
import { DAY_SECONDS, HOUR_SECONDS, bucketOf } from "../../src/usage/rollup.ts";
import { type Horizons, horizonsAt } from "../../src/usage/segments.ts";

/**
 * Names in `state`. Epoch seconds: up to where hours and days are summed, and the hour in which the ledger began.
 * Epoch ms: `alarm_at`, so that an object that wakes for each batch does not set (and pay for) its alarm each time.
 * `journal_round`: which slots of the journal count. `minute_hours`, `hour_days`, `day_months`: the retention.
 * `…_floor`, epoch seconds: what was past the retention when that was last changed, and does not come back.
 */
type StateName =
  | "hour_mark"
  | "day_mark"
  | "first_hour"
  | "alarm_at"
  | "journal_round"
  | "minute_hours"
  | "hour_days"
  | "day_months"
  | "minute_floor"
  | "hour_floor"
  | "day_floor";

/** The marks of a new ledger. What comes late for an earlier hour is written to that hour directly. */
export function beginState(sql: SqlStorage, now: number): void {
  const hour = bucketOf(now, HOUR_SECONDS);
  sql.exec(
    `INSERT OR IGNORE INTO state (name, value)
     VALUES ('hour_mark', ?), ('day_mark', ?), ('first_hour', ?), ('alarm_at', 0), ('journal_round', 1),
       ('minute_hours', ?), ('hour_days', ?), ('day_months', ?), ('minute_floor', 0), ('hour_floor', 0), ('day_floor', 0)`,
    hour,
    bucketOf(now, DAY_SECONDS),
    hour,
    DEFAULT_RETENTION.minuteHours,
    DEFAULT_RETENTION.hourDays,
    DEFAULT_RETENTION.dayMonths,
  );
}

function readRetention(sql: SqlStorage): Retention {
  return {
    minuteHours: readState(sql, "minute_hours"),
    hourDays: readState(sql, "hour_days"),
    dayMonths: readState(sql, "day_months"),
  };
}

/** From when on there is something of each grain. */
export function readHorizons(sql: SqlStorage, now: number): Horizons {
  const at = horizonsAt(now, readRetention(sql));
  return {
    minuteHorizon: Math.max(at.minuteHorizon, readState(sql, "minute_floor")),
    hourHorizon: Math.max(at.hourHorizon, readState(sql, "hour_floor")),
    dayHorizon: Math.max(at.dayHorizon, readState(sql, "day_floor")),
    retention: at.retention,
  };
}

/** Gives the rows written: none where nothing changes. */
export function writeRetention(sql: SqlStorage, wanted: Retention, now: number): number {
  const before = readHorizons(sql, now);
  const { minuteHours, hourDays, dayMonths } = before.retention;
  if (minuteHours === wanted.minuteHours && hourDays === wanted.hourDays && dayMonths === wanted.dayMonths) return 0;
  return (
    writeState(sql, "minute_floor", before.minuteHorizon) +
    writeState(sql, "hour_floor", before.hourHorizon) +
    writeState(sql, "day_floor", before.dayHorizon) +
    writeState(sql, "minute_hours", wanted.minuteHours) +
    writeState(sql, "hour_days", wanted.hourDays) +
    writeState(sql, "day_months", wanted.dayMonths)
  );
}

export function readState(sql: SqlStorage, name: StateName): number {
  return sql.exec<{ value: number }>(`SELECT value FROM state WHERE name = ?`, name).one().value;
}

/** Gives the rows written. */
export function writeState(sql: SqlStorage, name: StateName, value: number): number {
  return sql.exec(`UPDATE state SET value = ? WHERE name = ?`, value, name).rowsWritten;
}
