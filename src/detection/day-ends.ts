import type { KeyHour } from "./rows.ts";
import { DAY_HOURS, HOUR_SECONDS } from "./rows.ts";

/**
 * The same hours with an empty one at the end of each day in which there was a request: a day is judged with its last hour, whether
 * the key was used in that or not.
 */
export function* withDayEnds(rows: Iterable<KeyHour>): Generator<KeyHour> {
  let due: number | null = null;
  for (const row of rows) {
    if (due !== null && row.hour > due) yield emptyHour(due);
    yield row;
    const last = lastHourOfDay(row.hour);
    due = row.hour === last ? null : last;
  }
  if (due !== null) yield emptyHour(due);
}

export function isLastHourOfDay(hour: number): boolean {
  return lastHourOfDay(hour) === hour;
}

function lastHourOfDay(hour: number): number {
  const day = DAY_HOURS * HOUR_SECONDS;
  return hour - (hour % day) + day - HOUR_SECONDS;
}

export function emptyHour(hour: number): KeyHour {
  return {
    hour,
    requests: 0,
    cost: 0,
    limited: 0,
    failures: 0,
    errors: 0,
    testContext: 0,
    places: [],
    flatNearLimit: false,
  };
}
