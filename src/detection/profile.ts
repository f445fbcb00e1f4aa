import type { KeyHistory } from "./key-history.ts";
import { HISTORY_HOURS, firstHour, hoursKnown } from "./key-history.ts";
import { WEEK_HOURS } from "./rows.ts";
import { fromByte, fromShort } from "./small-number.ts";
import { median, quantile } from "./statistics.ts";

/** What is usual for a key, read from its history. It changes slowly: once a day is often enough. */
export interface Profile {
  /** Hours of history that it was read from. */
  readonly historyHours: number;
  /** Of them, those with requests. */
  readonly activeHours: number;
  /** The usual of its busiest hour of the week. */
  readonly busiest: number;
  /** Median over the weeks, by hour of the week (hours since the epoch modulo 168). */
  readonly requests: Float64Array;
  readonly cost: Float64Array;
  /** The last two days against these: a deploy that doubled the rate for good gives 2. */
  readonly level: number;
  /** Requests of the largest hour in memory, the last day's left out. */
  readonly largest: number;
  /** The most unusual two hours in a row in memory, the last day's left out: times their usual, the lesser of the two. */
  readonly worstRatio: number;
  /** What an hour in twenty exceeds. */
  readonly failuresPerHour: number;
  /** Share of errors that an hour in ten exceeds. */
  readonly errorShare: number;
  /** Share of hours that were flat and near the limit, the last three days left out. */
  readonly flatShare: number;
}

/** Below this many requests an hour is nearly empty, and a ratio to it says nothing. */
export const LEAST_USUAL = 10;
/** An hour with fewer requests has no share of errors. */
const LEAST_FOR_SHARE = 20;
const LEVEL_HOURS = 48;
const LATELY_HOURS = 24;
const HABIT_HOURS = 72;

export function readProfile(history: KeyHistory): Profile {
  const requests = usualWeek(history, history.requests);
  return {
    historyHours: hoursKnown(history),
    busiest: Math.max(...requests),
    requests,
    cost: usualWeek(history, history.cost),
    level: levelOf(history, requests),
    ...worstOf(history, requests),
    ...sharesOf(history),
  };
}

/** At the level of these days, and as much as in the busiest of this hour and its neighbours: jobs do not start to the minute. */
export function usualRequests({ requests, level }: Profile, hour: number): number {
  return usualAround(requests, hour) * Math.max(1, level);
}

function usualAround(week: Float64Array, hour: number): number {
  const at = hour % WEEK_HOURS;
  return Math.max(week[at] ?? 0, week[(at + 1) % WEEK_HOURS] ?? 0, week[(at + WEEK_HOURS - 1) % WEEK_HOURS] ?? 0);
}

function usualWeek(history: KeyHistory, codes: Uint16Array): Float64Array {
  const week = new Float64Array(WEEK_HOURS);
  const first = firstHour(history);
  for (let back = 0; back < WEEK_HOURS; back++) {
    const newest = history.through - back;
    if (newest < first) break;
    const values: number[] = [];
    for (let hour = newest; hour >= first; hour -= WEEK_HOURS) values.push(fromShort(codes[hour % HISTORY_HOURS] ?? 0));
    week[newest % WEEK_HOURS] = median(values);
  }
  return week;
}

function levelOf(history: KeyHistory, week: Float64Array): number {
  const ratios: number[] = [];
  for (let hour = Math.max(firstHour(history), history.through - LEVEL_HOURS + 1); hour <= history.through; hour++) {
    const usual = week[hour % WEEK_HOURS] ?? 0;
    if (usual >= LEAST_USUAL) ratios.push(fromShort(history.requests[hour % HISTORY_HOURS] ?? 0) / usual);
  }
  return ratios.length < LATELY_HOURS / 4 ? 1 : median(ratios);
}

function worstOf(history: KeyHistory, week: Float64Array): Pick<Profile, "largest" | "worstRatio"> {
  let largest = 0;
  let worstRatio = 1;
  let before = 0;
  for (let hour = firstHour(history); hour <= history.through - LATELY_HOURS; hour++) {
    const requests = fromShort(history.requests[hour % HISTORY_HOURS] ?? 0);
    largest = Math.max(largest, requests);
    const ratio = requests / Math.max(LEAST_USUAL, usualAround(week, hour));
    worstRatio = Math.max(worstRatio, Math.min(ratio, before));
    before = ratio;
  }
  return { largest, worstRatio };
}

function sharesOf(history: KeyHistory): Pick<Profile, "activeHours" | "failuresPerHour" | "errorShare" | "flatShare"> {
  const failures: number[] = [];
  const shares: number[] = [];
  let flat = 0;
  let activeHours = 0;
  let all = 0;
  for (let hour = firstHour(history); hour <= history.through; hour++) {
    const at = hour % HISTORY_HOURS;
    failures.push(fromByte(history.failures[at] ?? 0));
    const requests = fromShort(history.requests[at] ?? 0);
    if (requests > 0) activeHours++;
    if (requests >= LEAST_FOR_SHARE) shares.push(fromByte(history.errors[at] ?? 0) / requests);
    if (hour > history.through - HABIT_HOURS) continue;
    flat += history.flat[at] ?? 0;
    all++;
  }
  return {
    activeHours,
    failuresPerHour: failures.length === 0 ? 0 : quantile(failures, 0.95),
    errorShare: shares.length === 0 ? 0 : quantile(shares, 0.9),
    flatShare: all === 0 ? 0 : flat / all,
  };
}
