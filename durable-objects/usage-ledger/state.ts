import { DAY_SECONDS, HOUR_SECONDS, bucketOf } from "../../src/usage/rollup.ts";

/**
 * Names in `state`. Epoch seconds: up to where hours and days are summed, and the hour in which the ledger began.
 * Epoch ms: `alarm_at`, so that an object that wakes for each batch does not set (and pay for) its alarm each time.
 * `journal_round`: which slots of the journal count.
 */
type StateName = "hour_mark" | "day_mark" | "first_hour" | "alarm_at" | "journal_round";

/** The marks of a new ledger. What comes late for an earlier hour is written to that hour directly. */
export function beginState(sql: SqlStorage, now: number): void {
  const hour = bucketOf(now, HOUR_SECONDS);
  sql.exec(
    `INSERT OR IGNORE INTO state (name, value)
     VALUES ('hour_mark', ?), ('day_mark', ?), ('first_hour', ?), ('alarm_at', 0), ('journal_round', 1)`,
    hour,
    bucketOf(now, DAY_SECONDS),
    hour,
  );
}

export function readState(sql: SqlStorage, name: StateName): number {
  return sql.exec<{ value: number }>(`SELECT value FROM state WHERE name = ?`, name).one().value;
}

/** Gives the rows written. */
export function writeState(sql: SqlStorage, name: StateName, value: number): number {
  return sql.exec(`UPDATE state SET value = ? WHERE name = ?`, value, name).rowsWritten;
}
