import type { Finding } from "./finding.ts";
import type { PlaceLevel } from "./known-places.ts";
import { PLACE_LEVELS, newBetween } from "./known-places.ts";
import { LEAST_USUAL } from "./profile.ts";
import type { KeyHour, PlaceCount } from "./rows.ts";
import { DAY_HOURS, HOUR_SECONDS, WEEK_HOURS } from "./rows.ts";
import type { NewPlaceThresholds } from "./thresholds.ts";
import type { KeyView } from "./view.ts";
import { findingOf, isNewPlace, lastHours, presentOf } from "./view.ts";

/**
 * A country, a provider or a network from which the key was never used, while it goes on being used where it always was: two places at
 * once. A key that moved, or whose owner travels, leaves the old place; a key that meets new places all the time is not judged.
 */
export function detectNewPlace(view: KeyView): Finding | null {
  const present = presentOf(view);
  const wanted = view.thresholds.newPlace;
  if (present === null || view.profile.historyHours < wanted.historyHours) return null;
  if (
    view.profile.activeHours < wanted.activeHours ||
    !present.row.places.some((place) => isNewPlace(view, place, present.hour, "network"))
  )
    return null;
  const rows = lastHours(view, DAY_HOURS);
  for (const level of PLACE_LEVELS) {
    if (goesAround(view, level, present.hour)) continue;
    // One more machine that works off a backlog: `quiet_thief` has an eye on that.
    if (level === "network" && present.row.flatNearLimit) continue;
    const seen = seenAt(view, rows, level);
    if (seen.place !== null && isEnough(seen, level, wanted) && usualGoesOn(view, seen, level)) {
      return findingOf("new_place", view.facts, {
        severity: level === "network" ? "notice" : "ticket",
        evidence: {
          level: PLACE_LEVELS.indexOf(level),
          requests: seen.fromNew,
          hours: seen.hours,
          fromKnown: seen.fromKnown,
          usual: Math.round(seen.usual),
        },
        place: seen.place,
        since: seen.since,
        until: present.row.hour + HOUR_SECONDS,
      });
    }
  }
  return null;
}

/** Whether the key met more new ones lately than a key that stays where it is, after the first three weeks in which all are new. */
export function goesAround({ history, places, thresholds }: KeyView, level: PlaceLevel, hour: number): boolean {
  const lately = hour - 4 * WEEK_HOURS;
  if (places.forgot[level] >= lately) return true;
  const from = Math.max(lately, history.since + 2 * WEEK_HOURS);
  return newBetween(places, level, from, hour - DAY_HOURS + 1) > thresholds.newPlace.mostNewBefore;
}

interface Seen {
  readonly place: PlaceCount | null;
  readonly fromNew: number;
  readonly fromKnown: number;
  /** Of the hours since the place appeared. */
  readonly usual: number;
  /** The last two of them alone. */
  readonly lately: number;
  readonly latelyUsual: number;
  readonly hours: number;
  /** Epoch seconds. */
  readonly since: number;
}

const NOTHING_SEEN: Seen = {
  place: null,
  fromNew: 0,
  fromKnown: 0,
  usual: 0,
  lately: 0,
  latelyUsual: 0,
  hours: 0,
  since: 0,
};
const LATELY_HOURS = 2;

function seenAt(view: KeyView, rows: readonly KeyHour[], level: PlaceLevel): Seen {
  const hour = (rows.at(-1)?.hour ?? 0) / HOUR_SECONDS;
  // A known network that a database puts into another country is not new.
  const isNew = (place: PlaceCount): boolean =>
    isNewPlace(view, place, hour, "network") && isNewPlace(view, place, hour, level);
  const first = rows.findIndex(({ places }) => places.some(isNew));
  if (first < 0) return NOTHING_SEEN;
  const { requests: week, level: times } = view.profile;
  let largest: PlaceCount | null = null;
  let fromNew = 0;
  let fromKnown = 0;
  let usual = 0;
  let lately = 0;
  let latelyUsual = 0;
  for (const [at, row] of rows.entries()) {
    if (at < first) continue;
    const usualNow = (week[(row.hour / HOUR_SECONDS) % WEEK_HOURS] ?? 0) * times;
    const isLate = at >= rows.length - LATELY_HOURS;
    usual += usualNow;
    if (isLate) latelyUsual += usualNow;
    for (const place of row.places) {
      if (!isNew(place)) {
        fromKnown += place.requests;
        if (isLate) lately += place.requests;
        continue;
      }
      fromNew += place.requests;
      if (largest === null || place.requests > largest.requests) largest = place;
    }
  }
  return {
    place: largest,
    fromNew,
    fromKnown,
    usual,
    lately,
    latelyUsual,
    hours: rows.length - first,
    since: rows[first]?.hour ?? 0,
  };
}

function isEnough({ fromNew, fromKnown, usual }: Seen, level: PlaceLevel, wanted: NewPlaceThresholds): boolean {
  switch (level) {
    case "country":
      return fromNew >= wanted.leastFromCountry;
    case "asn":
      return fromNew >= wanted.leastFromProvider;
    case "network":
      return (
        fromNew >= wanted.leastFromNetwork &&
        fromNew >= wanted.networkShare * usual &&
        fromNew + fromKnown >= (1 + wanted.networkShare) * usual
      );
  }
}

/** So many times its largest hour, hour after hour, is not what a key does that moved. */
const TIMES_LARGEST = 3;

/** In its quiet hours nothing can be said of that for up to a day, unless far more comes than ever did. */
function usualGoesOn({ profile, thresholds }: KeyView, seen: Seen, level: PlaceLevel): boolean {
  const { hours, hoursForNetwork, usualGoesOn: share } = thresholds.newPlace;
  if (level === "network") {
    if (seen.hours < hoursForNetwork) return false;
  } else if (seen.fromNew >= TIMES_LARGEST * seen.hours * Math.max(LEAST_USUAL, profile.largest)) {
    return true;
  }
  if (seen.hours < hours) return false;
  if (seen.usual < 2 * LEAST_USUAL) return seen.hours >= DAY_HOURS - 1 && profile.busiest >= LEAST_USUAL;
  return seen.fromKnown >= share * seen.usual && seen.lately >= Math.max(LEAST_USUAL, (share / 2) * seen.latelyUsual);
}
