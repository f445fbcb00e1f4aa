import { type Health, sumHealth } from "../../src/usage/health.ts";
import { HOUR_SECONDS } from "../../src/usage/rollup.ts";

/** How well checks went: a row for each hour, with its minutes. Small enough to be read whole each minute. */

/** The longest window of a burn rate, and some hours for who comes late. */
const KEPT_SECONDS = 76 * HOUR_SECONDS;
/** Windows of up to six hours want minutes; longer ones have enough in hours. */
const BY_MINUTE_SECONDS = 7 * HOUR_SECONDS;

/** As it is stored: [start, requests, undecided, slow, degraded]. */
export type PackedHealth = readonly [number, number, number, number, number];

export function packHealth({ start, requests, undecided, slow, degraded }: Health): PackedHealth {
  return [start, requests, undecided, slow, degraded];
}

export function unpackHealth([start, requests, undecided, slow, degraded]: PackedHealth): Health {
  return { start, requests, undecided, slow, degraded };
}

/** To be called in a transaction. Gives the rows written. */
export function addHealth(sql: SqlStorage, minutes: readonly Health[], now: number): number {
  const byHour = new Map<number, Health[]>();
  for (const minute of minutes) {
    const hour = hourOf(minute);
    // What is past its time would only be swept.
    if (hour < now / 1_000 - KEPT_SECONDS) continue;
    const of = byHour.get(hour) ?? [];
    byHour.set(hour, of);
    of.push(minute);
  }
  let rowsWritten = 0;
  for (const [hour, added] of byHour) {
    const sums = sumHealth([...readHour(sql, hour), ...added]);
    rowsWritten += sql.exec(
      `INSERT OR REPLACE INTO health (hour, minutes) VALUES (?, ?)`,
      hour,
      JSON.stringify(sums.map(packHealth)),
    ).rowsWritten;
  }
  return rowsWritten;
}

/** Minutes of the last hours, hours before that; `unfolded`: minutes that are not in rows yet. */
export function readHealth(sql: SqlStorage, unfolded: readonly Health[], now: number): readonly Health[] {
  const seconds = Math.floor(now / 1_000);
  const rows = sql.exec<{ minutes: string }>(`SELECT minutes FROM health WHERE hour >= ?`, seconds - KEPT_SECONDS);
  const minutes = [...Array.from(rows, ({ minutes: packed }) => parse(packed)).flat(), ...unfolded];
  const since = hourOf({ start: seconds - BY_MINUTE_SECONDS });
  return sumHealth(minutes.map((minute) => (minute.start < since ? { ...minute, start: hourOf(minute) } : minute)));
}

/** To be called in a transaction. Gives the rows written. */
export function sweepHealth(sql: SqlStorage, now: number): number {
  return sql.exec(`DELETE FROM health WHERE hour < ?`, Math.floor(now / 1_000) - KEPT_SECONDS).rowsWritten;
}

function readHour(sql: SqlStorage, hour: number): readonly Health[] {
  const [row] = sql.exec<{ minutes: string }>(`SELECT minutes FROM health WHERE hour = ?`, hour).toArray();
  return row === undefined ? [] : parse(row.minutes);
}

function parse(minutes: string): readonly Health[] {
  // Written by `addHealth`, so its shape is known.
  return (JSON.parse(minutes) as readonly PackedHealth[]).map(unpackHealth);
}

function hourOf({ start }: Pick<Health, "start">): number {
  return start - (start % HOUR_SECONDS);
}
