import type { Finding } from "./finding.ts";
import { LEAST_USUAL, usualRequests } from "./profile.ts";
import { HOUR_SECONDS } from "./rows.ts";
import type { KeyView } from "./view.ts";
import { findingOf, isNewPlace, presentOf } from "./view.ts";

/**
 * Many times the usual for this hour of the week: a leaked key that is used hard, or a client that runs away. Only ever more can make
 * it speak, so that the present hour may be judged before it is over.
 */
export function detectSpike(view: KeyView): Finding | null {
  const { profile, thresholds } = view;
  const { historyHours, ratio, ratioFromNewPlaces, overOwnWorst, leastExcess } = thresholds.spike;
  const present = presentOf(view);
  if (present === null || profile.historyHours < historyHours) return null;
  const { row, hour } = present;
  const usual = Math.max(LEAST_USUAL, usualRequests(profile, hour));
  const excess = row.requests - usual;
  if (excess < leastExcess) return null;
  let fromNew = 0;
  for (const place of row.places) if (isNewPlace(view, place, hour, "network")) fromNew += place.requests;
  const isFromNew = fromNew >= excess / 2;
  const wanted = Math.max(isFromNew ? ratioFromNewPlaces : ratio, overOwnWorst * profile.worstRatio);
  const times = row.requests / usual;
  if (times < wanted) return null;
  return findingOf("spike", view.facts, {
    severity: isFromNew || times >= 2 * wanted ? "page" : "ticket",
    evidence: {
      requests: row.requests,
      usual: Math.round(usual),
      times,
      timesWanted: wanted,
      fromNewNetworks: fromNew,
      worstBefore: profile.worstRatio,
    },
    place: isFromNew ? (row.places.find((place) => isNewPlace(view, place, hour, "network")) ?? null) : null,
    since: row.hour,
    until: row.hour + HOUR_SECONDS,
  });
}
