import type { KeyHour } from "./rows.ts";
import { DAY_HOURS, HOUR_SECONDS, WEEK_HOURS } from "./rows.ts";
import { toByte, toShort } from "./small-number.ts";

/**
 * What is kept of a key's past: its last six weeks, hour by hour, in two bytes or one for each sum. Everything that detectors compare
 * with is read from it, so that there is nothing that could drift. Writing an hour again changes nothing; a late hour takes its place.
 */

export const HISTORY_WEEKS = 6;
export const HISTORY_HOURS = HISTORY_WEEKS * WEEK_HOURS;

/** A key that came back after it was silent for at least this long. */
const SILENCE_HOURS = 2 * DAY_HOURS;

export interface KeyHistory {
  /** Hours since the epoch: the first one that is known, and the last. Hours between them without a row were empty. `-1`: none. */
  since: number;
  through: number;
  /** The last hour with a request; `-1`: none. */
  lastUsed: number;
  /** When it last woke after a silence, how long that was, and the longest silence before. Hours. */
  wokeAt: number;
  silence: number;
  longestSilence: number;
  /** Requests of the largest hour ever, and of the largest one before it last woke. */
  largest: number;
  largestBefore: number;
  /** By hour modulo `HISTORY_HOURS`, in the codes of `small-number.ts`. */
  readonly requests: Uint16Array;
  readonly cost: Uint16Array;
  readonly failures: Uint8Array;
  readonly errors: Uint8Array;
  /** 1: flat and near the limit. */
  readonly flat: Uint8Array;
}

export function emptyHistory(): KeyHistory {
  return {
    since: -1,
    through: -1,
    lastUsed: -1,
    wokeAt: -1,
    silence: 0,
    longestSilence: 0,
    largest: 0,
    largestBefore: 0,
    requests: new Uint16Array(HISTORY_HOURS),
    cost: new Uint16Array(HISTORY_HOURS),
    failures: new Uint8Array(HISTORY_HOURS),
    errors: new Uint8Array(HISTORY_HOURS),
    flat: new Uint8Array(HISTORY_HOURS),
  };
}

/** The first hour of which something is kept; later than `through` when nothing is. */
export function firstHour(history: KeyHistory): number {
  return history.since < 0 ? 0 : Math.max(history.since, history.through - HISTORY_HOURS + 1);
}

/** How many hours are kept. */
export function hoursKnown(history: KeyHistory): number {
  return history.since < 0 ? 0 : history.through - firstHour(history) + 1;
}

/**
 * Notes an hour that is over. In any order and as often as one likes; what is more than six weeks older than the newest is too late.
 * An hour that comes a second time takes the place of the first: give its whole sums, not what was added.
 */
export function absorbHour(history: KeyHistory, row: KeyHour): void {
  const hour = row.hour / HOUR_SECONDS;
  if (history.since < 0) {
    history.since = hour;
    history.through = hour - 1;
  }
  if (hour <= history.through - HISTORY_HOURS) return;
  if (hour > history.through) passTo(history, hour);
  history.since = Math.min(history.since, hour);
  const at = hour % HISTORY_HOURS;
  history.requests[at] = toShort(row.requests);
  history.cost[at] = toShort(row.cost);
  history.failures[at] = toByte(row.failures);
  history.errors[at] = toByte(row.errors);
  history.flat[at] = row.flatNearLimit ? 1 : 0;
  if (row.requests > 0) noteUse(history, hour);
  history.largest = Math.max(history.largest, row.requests);
}

/** Hours went by without a row: they were empty. */
export function passTo(history: KeyHistory, hour: number): void {
  if (history.since < 0 || hour <= history.through) return;
  const empty = Math.min(hour - history.through, HISTORY_HOURS);
  for (let back = 0; back < empty; back++) clear(history, (hour - back) % HISTORY_HOURS);
  history.through = hour;
}

function clear(history: KeyHistory, at: number): void {
  history.requests[at] = 0;
  history.cost[at] = 0;
  history.failures[at] = 0;
  history.errors[at] = 0;
  history.flat[at] = 0;
}

function noteUse(history: KeyHistory, hour: number): void {
  if (hour <= history.lastUsed) return;
  const silence = hour - history.lastUsed;
  if (history.lastUsed >= 0 && silence >= SILENCE_HOURS) {
    history.longestSilence = Math.max(history.longestSilence, history.silence);
    history.silence = silence;
    history.wokeAt = hour;
    history.largestBefore = history.largest;
  }
  history.lastUsed = hour;
}

/**
 * Both of two histories of one key: hours that both know count as the larger, since a sum only grows. Which comes first does not
 * matter, nor how often.
 */
export function mergeHistories(a: KeyHistory, b: KeyHistory): KeyHistory {
  if (a.since < 0 || b.since < 0) return copyOf(a.since < 0 ? b : a);
  const merged = emptyHistory();
  merged.since = Math.min(a.since, b.since);
  merged.through = Math.max(a.through, b.through);
  merged.lastUsed = Math.max(a.lastUsed, b.lastUsed);
  merged.largest = Math.max(a.largest, b.largest);
  const [older, newer] = a.wokeAt <= b.wokeAt ? [a, b] : [b, a];
  merged.wokeAt = newer.wokeAt;
  merged.largestBefore = a.wokeAt === b.wokeAt ? Math.min(a.largestBefore, b.largestBefore) : newer.largestBefore;
  merged.silence = a.wokeAt === b.wokeAt ? Math.min(a.silence, b.silence) : newer.silence;
  merged.longestSilence = Math.max(a.longestSilence, b.longestSilence, a.wokeAt === b.wokeAt ? 0 : older.silence);
  for (const from of [a, b]) {
    for (let hour = Math.max(firstHour(from), firstHour(merged)); hour <= from.through; hour++) {
      const at = hour % HISTORY_HOURS;
      for (const name of ["requests", "cost", "failures", "errors", "flat"] as const) {
        merged[name][at] = Math.max(merged[name][at] ?? 0, from[name][at] ?? 0);
      }
    }
  }
  return merged;
}

function copyOf(history: KeyHistory): KeyHistory {
  return {
    ...history,
    requests: history.requests.slice(),
    cost: history.cost.slice(),
    failures: history.failures.slice(),
    errors: history.errors.slice(),
    flat: history.flat.slice(),
  };
}
