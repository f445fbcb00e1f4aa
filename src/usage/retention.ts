/** How long sums are kept. Raw events go to sinks; these are what `GET /usage` can tell. */
export interface Retention {
  readonly minuteHours: number;
  readonly hourDays: number;
  readonly dayMonths: number;
}

export const DEFAULT_RETENTION: Retention = { minuteHours: 48, hourDays: 90, dayMonths: 25 };

/**
 * What a policy may say. Minutes: events may come hours late, and a week of them is much to read. Hours: what is compared with the
 * meters a day later must be there, and months of time zones are made of them. Months: a ledger has 10 GB.
 */
export const RETENTION_BOUNDS: Readonly<Record<keyof Retention, readonly [least: number, most: number]>> = {
  minuteHours: [24, 168],
  hourDays: [7, 400],
  dayMonths: [1, 120],
};
