import type { Finding } from "./finding.ts";
import type { KeyHistory } from "./key-history.ts";
import { HISTORY_HOURS, firstHour } from "./key-history.ts";
import type { Profile } from "./profile.ts";
import { DAY_HOURS, HOUR_SECONDS, WEEK_HOURS } from "./rows.ts";
import { fromShort } from "./small-number.ts";
import { median, robustSpread } from "./statistics.ts";
import type { OddHoursThresholds } from "./thresholds.ts";
import type { KeyView } from "./view.ts";
import { findingOf } from "./view.ts";

/**
 * The spend of the key's own quiet hours rose, while that of its busy hours did not as much: +20 % by default. Growth and deploys raise
 * both. Reads the history, so that it is asked once a day, at any hour, after the last one is noted.
 */
export function detectOddHours(view: KeyView): Finding | null {
  const { history, profile } = view;
  const wanted = view.thresholds.oddHours;
  if (profile.historyHours < wanted.historyHours) return null;
  if (profile.activeHours < wanted.activeShare * profile.historyHours) return null;
  const odd = oddHoursOf(profile);
  const days = daysOf(history, profile, odd);
  for (const nights of wanted.nights) {
    const finding = riseOver(view, days, nights);
    if (finding !== null) return finding;
  }
  return null;
}

type Nights = OddHoursThresholds["nights"][number];

function riseOver(
  { history, facts, thresholds }: KeyView,
  days: readonly Day[],
  { of: nights, least }: Nights,
): Finding | null {
  const wanted = thresholds.oddHours;
  const past = days.slice(NOT_YET_PAST_NIGHTS).map(({ rise }) => rise);
  const [last] = days;
  if (last === undefined || past.length < LEAST_NIGHTS) return null;
  const usual = median(past);
  const spread = Math.max(LEAST_SPREAD, robustSpread(past, usual));
  const rise = riseOfMost(days.slice(0, nights), least) - usual;
  let most = 0;
  for (let at = NOT_YET_PAST_NIGHTS; at + nights <= days.length; at++) {
    most = Math.max(most, riseOfMost(days.slice(at, at + nights), least) - usual);
  }
  const deviations = rise / spread;
  if (rise < Math.log(1 + wanted.rise) || rise < wanted.overOwnMost * most || deviations < wanted.deviations)
    return null;
  const extra = median(days.slice(0, nights).map((day) => day.extra));
  if (
    extra < wanted.leastUnits ||
    extra < wanted.leastShare * median(days.slice(0, nights).map(({ usual: ofDay }) => ofDay))
  )
    return null;
  return findingOf("odd_hours_spend", facts, {
    severity: "ticket",
    evidence: {
      nights,
      nightsRisen: least,
      rise: Math.exp(rise) - 1,
      unitsMore: Math.round(extra),
      hours: last.hours,
      deviations,
      largestRiseBefore: Math.exp(most) - 1,
    },
    since: (history.through + 1 - nights * DAY_HOURS) * HOUR_SECONDS,
    until: (history.through + 1) * HOUR_SECONDS,
  });
}

/** The rise that at least so many of these nights had. */
function riseOfMost(days: readonly Day[], least: number): number {
  return days.map(({ rise }) => rise).sort((a, b) => b - a)[least - 1] ?? 0;
}

/** Nights of machines can be alike to a tenth of a percent; a bar that low would be crossed by anything. */
const LEAST_SPREAD = 0.03;
/** What began a week ago may be what is looked for: it is no past to compare with. */
const NOT_YET_PAST_NIGHTS = 7;
/** Fewer nights have no usual. */
const LEAST_NIGHTS = 15;
/** A day of rest lowers the busy hours; the jobs of its night may go on. So much of a fall is taken for the whole key's. */
const MOST_FALL = 0.25;
/** The quietest hours of each day of the week … */
const ODD_HOURS_A_DAY = 8;
/** … where they have less than half of what the others have. */
const QUIET_SHARE = 0.5;
const NEIGHBOUR_HOURS = 2;
const LEAST_ODD_HOURS = 4;
/** Units that are added to both sides, so that nearly empty nights have no rise. */
const BALLAST_UNITS = 20;

/** By hour of the week (hours since the epoch modulo 168): whether it is one of the quietest of its day. Days without quiet hours have none. */
export function oddHoursOf(profile: Profile): readonly boolean[] {
  // A job that ends an hour later than usual must not end in a quiet hour.
  const { cost } = profile;
  const around = cost.map((_usual, hour) => mostAround(cost, hour));
  const odd = Array.from(cost, () => false);
  for (let day = 0; day < WEEK_HOURS; day += DAY_HOURS) {
    const hours = Array.from({ length: DAY_HOURS }, (_none, at) => day + at);
    hours.sort((a, b) => (around[a] ?? 0) - (around[b] ?? 0));
    const sum = (of: readonly number[]): number => of.reduce((total, hour) => total + (cost[hour] ?? 0), 0);
    const quiet = hours.slice(0, ODD_HOURS_A_DAY);
    const others = hours.slice(ODD_HOURS_A_DAY);
    if (sum(quiet) / quiet.length >= (QUIET_SHARE * sum(others)) / others.length) continue;
    for (const hour of quiet) odd[hour] = true;
  }
  return odd;
}

function mostAround(week: Float64Array, hour: number): number {
  let most = 0;
  for (let away = -NEIGHBOUR_HOURS; away <= NEIGHBOUR_HOURS; away++) {
    most = Math.max(most, week[(hour + away + WEEK_HOURS) % WEEK_HOURS] ?? 0);
  }
  return most;
}

interface Day {
  /** Logarithm: of the odd hours' rise, less that of the others. */
  readonly rise: number;
  readonly odd: number;
  /** Units above the usual, at the busy hours' level. */
  readonly extra: number;
  /** Of the whole day. */
  readonly usual: number;
  readonly hours: number;
}

interface DaySums {
  odd: number;
  oddUsual: number;
  oddHours: number;
  busy: number;
  busyUsual: number;
}

/** The last days, each of 24 hours and ending with the last hour that is known; the newest first. Days with few odd hours are left out. */
export function daysOf(history: KeyHistory, profile: Profile, odd: readonly boolean[]): readonly Day[] {
  const sums: DaySums[] = [];
  const first = firstHour(history);
  for (let end = history.through; end - DAY_HOURS + 1 >= first; end -= DAY_HOURS) {
    sums.push(sumDay(history, profile, odd, end));
  }
  return sums.flatMap((day) => {
    if (day.oddHours < LEAST_ODD_HOURS) return [];
    const busy = Math.max(-MOST_FALL, riseOf(day.busy, day.busyUsual));
    const rise = riseOf(day.odd, day.oddUsual) - busy;
    return [
      {
        rise,
        odd: day.odd,
        extra: day.odd - day.oddUsual * Math.exp(busy),
        usual: day.oddUsual + day.busyUsual,
        hours: day.oddHours,
      },
    ];
  });
}

function sumDay(history: KeyHistory, profile: Profile, odd: readonly boolean[], end: number): DaySums {
  const sums: DaySums = { odd: 0, oddUsual: 0, oddHours: 0, busy: 0, busyUsual: 0 };
  for (let hour = end - DAY_HOURS + 1; hour <= end; hour++) {
    const cost = fromShort(history.cost[hour % HISTORY_HOURS] ?? 0);
    const usual = profile.cost[hour % WEEK_HOURS] ?? 0;
    if (odd[hour % WEEK_HOURS] === true) {
      sums.odd += cost;
      sums.oddUsual += usual;
      sums.oddHours++;
    } else {
      sums.busy += cost;
      sums.busyUsual += usual;
    }
  }
  return sums;
}

function riseOf(units: number, usual: number): number {
  return Math.log((units + BALLAST_UNITS) / (usual + BALLAST_UNITS));
}
