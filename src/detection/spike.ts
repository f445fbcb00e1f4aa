import type { Finding } from "./finding.ts";
import { goesAround } from "./new-place.ts";
import { LEAST_USUAL, usualRequests } from "./profile.ts";
import type { KeyHour } from "./rows.ts";
import { HOUR_SECONDS, WEEK_HOURS } from "./rows.ts";
import type { KeyView } from "./view.ts";
import { findingOf, isNewPlace, presentOf } from "./view.ts";

/**
 * Many times the usual for this hour of the week: a leaked key that is used hard, or a client that runs away. From a provider that is new
 * to the key one hour says enough; from known ones it takes two in a row, as bursts are shorter, and they must not look like somebody
 * who works off a backlog at a rate that he set himself. Only ever more can make it speak, so that the present hour may be judged before
 * it is over.
 */
export function detectSpike(view: KeyView): Finding | null {
  const { profile, thresholds } = view;
  const { historyHours, activeHours, ratio, ratioFromNewProviders, overOwnWorst, leastExcess } = thresholds.spike;
  const present = presentOf(view);
  if (present === null || profile.historyHours < historyHours || profile.activeHours < activeHours) return null;
  const { row, hour } = present;
  // What comes from elsewhere is held to the hour itself; the rest to what the key is capable of.
  const byHour = Math.max(LEAST_USUAL, usualRequests(profile, hour));
  const fromNew = fromNewProviders(view, row, hour);
  const isFromNew = fromNew > 0 && fromNew >= Math.max(leastExcess, row.requests - byHour) / 2;
  const usual = isFromNew ? byHour : usualFor(view, row);
  const wanted = isFromNew ? ratioFromNewProviders : Math.max(ratio, overOwnWorst * profile.worstRatio);
  const times = row.requests / usual;
  if (row.requests - usual < leastExcess || times < wanted) return null;
  if (!isFromNew && !isLasting(view, row, wanted)) return null;
  return findingOf("spike", view.facts, {
    severity: isFromNew || times >= 2 * wanted ? "page" : "ticket",
    evidence: {
      requests: row.requests,
      usual: Math.round(usual),
      times,
      timesWanted: wanted,
      fromNewProviders: fromNew,
      worstBefore: profile.worstRatio,
    },
    place: isFromNew ? (row.places.find((place) => isNewPlace(view, place, hour, "asn")) ?? null) : null,
    since: row.hour,
    until: row.hour + HOUR_SECONDS,
  });
}

/** An hour in which a key does nearly nothing is held to a share of its busy ones: a job that starts late is no spike. */
const LEAST_BUSIEST = 3 * LEAST_USUAL;
const LEAST_SHARE_OF_BUSIEST = 0.4;

function usualFor({ profile }: KeyView, row: KeyHour): number {
  const usual = usualRequests(profile, row.hour / HOUR_SECONDS);
  // A key without any usual hours is held to its largest.
  const largest = profile.busiest < LEAST_BUSIEST ? profile.largest : LEAST_SHARE_OF_BUSIEST * profile.busiest;
  return Math.max(LEAST_USUAL, usual, largest);
}

/** With less than this share of its usual from its known places, a key has moved. */
const GOES_ON_SHARE = 0.25;

/** Requests from providers that are new to a key that stays with its own, beside those that it has. */
function fromNewProviders(view: KeyView, row: KeyHour, hour: number): number {
  if (goesAround(view, "asn", hour)) return 0;
  const { requests: week, level } = view.profile;
  let requests = 0;
  let known = 0;
  for (const place of row.places) {
    if (isNewPlace(view, place, hour, "network") && isNewPlace(view, place, hour, "asn")) requests += place.requests;
    else known += place.requests;
  }
  return known >= GOES_ON_SHARE * level * (week[hour % WEEK_HOURS] ?? 0) ? requests : 0;
}

function isLasting(view: KeyView, row: KeyHour, wanted: number): boolean {
  const before = view.hours.at(-2);
  if (before === undefined || before.hour !== row.hour - HOUR_SECONDS) return false;
  if (row.flatNearLimit || before.flatNearLimit) return false;
  return before.requests >= wanted * usualFor(view, before);
}
