import type { Finding } from "./finding.ts";
import type { KeyHistory } from "./key-history.ts";
import { HISTORY_HOURS, firstHour } from "./key-history.ts";
import type { Profile } from "./profile.ts";
import { DAY_HOURS, HOUR_SECONDS, WEEK_HOURS } from "./rows.ts";
import { fromShort } from "./small-number.ts";
import { median, quantile, robustSpread } from "./statistics.ts";
import type { KeyView } from "./view.ts";
import { findingOf } from "./view.ts";

/**
 * The spend of the key's own quiet hours rose, while that of its busy hours did not as much: +20 % by default. Growth and deploys raise
 * both. Reads the history, so that it is asked once a day, at any hour, after the last one is noted.
 */
export function detectOddHours(view: KeyView): Finding | null {
  const { history, profile, facts } = view;
  const wanted = view.thresholds.oddHours;
  if (profile.historyHours < wanted.historyHours) return null;
  const odd = oddHoursOf(profile);
  if (odd === null) return null;
  const days = daysOf(history, profile, odd);
  const [last, before] = days;
  if (last === undefined || before === undefined) return null;
  const past = days.slice(2).map(({ rise }) => rise);
  const usual = median(past);
  const spread = Math.max(LEAST_SPREAD, robustSpread(past, usual));
  const most = Math.max(...past);
  const lastRise = last.rise - usual;
  const both = (lastRise + before.rise - usual) / (Math.SQRT2 * spread);
  const isAtOnce = lastRise >= Math.log(1 + wanted.riseAtOnce) && lastRise >= wanted.deviationsAtOnce * spread;
  const isTwice =
    Math.min(lastRise, before.rise - usual) >= Math.log(1 + wanted.rise) &&
    both >= wanted.deviations &&
    before.extra >= wanted.leastUnits;
  if (
    (!isAtOnce && !isTwice) ||
    last.extra < wanted.leastUnits ||
    Math.min(last.rise, isTwice ? before.rise : last.rise) <= most
  )
    return null;
  return findingOf("odd_hours_spend", facts, {
    severity: "ticket",
    evidence: {
      rise: Math.exp(lastRise) - 1,
      units: last.odd,
      usualUnits: Math.round(last.oddUsual),
      hours: last.hours,
      deviations: isTwice ? both : lastRise / spread,
      largestRiseBefore: Math.exp(most - usual) - 1,
    },
    since: (history.through + 1 - (isTwice ? 2 : 1) * DAY_HOURS) * HOUR_SECONDS,
    until: (history.through + 1) * HOUR_SECONDS,
  });
}

/** Nights of machines can be alike to a tenth of a percent; a bar that low would be crossed by anything. */
const LEAST_SPREAD = 0.03;
/** Quiet is what has less than half of a busy hour. */
const QUIET_SHARE = 0.5;
/** Units that are added to both sides, so that nearly empty nights have no rise. */
const BALLAST_UNITS = 20;

/** By hour of the week; `null` for a key whose hours are all alike, or nearly all quiet. */
export function oddHoursOf({ cost }: Profile): readonly boolean[] | null {
  const busy = quantile([...cost], 0.9);
  const odd = Array.from(cost, (usual) => usual < QUIET_SHARE * busy);
  const count = odd.filter(Boolean).length;
  return busy > 0 && count >= WEEK_HOURS / 6 && count <= (WEEK_HOURS * 5) / 6 ? odd : null;
}

interface Day {
  /** Logarithm: of the odd hours' rise, less that of the others where they rose too. */
  readonly rise: number;
  readonly odd: number;
  readonly oddUsual: number;
  readonly extra: number;
  readonly hours: number;
}

/** The last days, each of 24 hours and ending with the last hour that is known; the newest first. Days with too few odd hours are left out. */
function daysOf(history: KeyHistory, profile: Profile, odd: readonly boolean[]): readonly Day[] {
  const days: Day[] = [];
  const first = firstHour(history);
  for (let end = history.through; end - DAY_HOURS + 1 >= first; end -= DAY_HOURS) {
    const sums = { odd: 0, oddUsual: 0, busy: 0, busyUsual: 0 };
    let hours = 0;
    for (let hour = end - DAY_HOURS + 1; hour <= end; hour++) {
      const cost = fromShort(history.cost[hour % HISTORY_HOURS] ?? 0);
      const usual = profile.cost[hour % WEEK_HOURS] ?? 0;
      if (odd[hour % WEEK_HOURS] === true) {
        sums.odd += cost;
        sums.oddUsual += usual;
        hours++;
      } else {
        sums.busy += cost;
        sums.busyUsual += usual;
      }
    }
    if (hours < DAY_HOURS / 6) continue;
    const busyRise = Math.log((sums.busy + BALLAST_UNITS) / (sums.busyUsual + BALLAST_UNITS));
    const rise = Math.log((sums.odd + BALLAST_UNITS) / (sums.oddUsual + BALLAST_UNITS)) - Math.max(0, busyRise);
    days.push({
      rise,
      odd: sums.odd,
      oddUsual: sums.oddUsual,
      extra: sums.odd - sums.oddUsual * Math.exp(Math.max(0, busyRise)),
      hours,
    });
  }
  return days;
}
