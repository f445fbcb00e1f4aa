/**
 * Days and months as people count them: those of a time zone, which begin at another moment than those of UTC and are not all of the
 * same length. Pure: where zones stand is data of the runtime (IANA).
 */

export type PeriodUnit = "day" | "month";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Zones are at most 14 hours from UTC. */
const MOST_OFFSET_MS = 15 * HOUR_MS;

/** Making one takes longer than asking it a hundred times. */
const formats = new Map<string, Intl.DateTimeFormat>();
/** There are some 600 names. */
const MOST_FORMATS = 64;

/** Whether `name` is one of the IANA names that the runtime knows, such as `Europe/Berlin`. Offsets such as `+02:00` are not names. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    formatOf(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * The moments at which `[from, to)` is cut into days or months of the zone: `from`, the start of each further one, `to`. Epoch ms.
 * `null`: more than `most` of them.
 */
export function cutIntoPeriods(
  range: { readonly from: number; readonly to: number },
  unit: PeriodUnit,
  timeZone: string,
  most: number,
): readonly number[] | null {
  const cuts = [range.from];
  let date = followingDate(dateAt(range.from, timeZone), unit);
  for (;;) {
    const start = startOf(date, timeZone);
    if (start >= range.to) break;
    if (start > range.from) cuts.push(start);
    if (cuts.length > most) return null;
    date = followingDate(date, unit);
  }
  return [...cuts, range.to];
}

/** Of a month such as `2026-11`, epoch ms: `[from, to)`. */
export function monthIn(month: string, timeZone: string): { readonly from: number; readonly to: number } {
  const [year = 0, of = 1] = month.split("-").map(Number);
  return { from: startOf(Date.UTC(year, of - 1, 1), timeZone), to: startOf(Date.UTC(year, of, 1), timeZone) };
}

/** A calendar date, as the moment at which it begins in UTC. */
type CalendarDate = number;

function followingDate(date: CalendarDate, unit: PeriodUnit): CalendarDate {
  const of = new Date(date);
  return unit === "day"
    ? Date.UTC(of.getUTCFullYear(), of.getUTCMonth(), of.getUTCDate() + 1)
    : Date.UTC(of.getUTCFullYear(), of.getUTCMonth() + 1, 1);
}

/** The first moment of a date. Where clocks skip midnight, the day begins later by them. */
function startOf(date: CalendarDate, timeZone: string): number {
  const guess = date - offsetAt(date - offsetAt(date, timeZone), timeZone);
  if (dateAt(guess, timeZone) === date && dateAt(guess - MINUTE_MS, timeZone) < date) return guess;
  let before = date - MOST_OFFSET_MS;
  let after = date + MOST_OFFSET_MS;
  while (after - before > MINUTE_MS) {
    const middle = before + Math.floor((after - before) / 2 / MINUTE_MS) * MINUTE_MS;
    if (dateAt(middle, timeZone) < date) before = middle;
    else after = middle;
  }
  return after;
}

function dateAt(moment: number, timeZone: string): CalendarDate {
  const local = localTime(moment, timeZone);
  return local - (((local % 86_400_000) + 86_400_000) % 86_400_000);
}

function offsetAt(moment: number, timeZone: string): number {
  return localTime(moment, timeZone) - Math.floor(moment / 1_000) * 1_000;
}

/** What clocks there show, read as if it were UTC. */
function localTime(moment: number, timeZone: string): number {
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(moment)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US-u-ca-iso8601-hc-h23", {
      timeZone,
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    if (formats.size >= MOST_FORMATS) formats.clear();
    formats.set(timeZone, format);
  }
  return format;
}
