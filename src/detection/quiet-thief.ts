import type { Finding } from "./finding.ts";
import type { PlaceLevel } from "./known-places.ts";
import type { KeyMinute } from "./rows.ts";
import { HOUR_SECONDS } from "./rows.ts";
import { quantile } from "./statistics.ts";
import type { QuietThiefThresholds } from "./thresholds.ts";
import type { KeyView } from "./view.ts";
import { findingOf, isNewPlace, lastHours, presentOf } from "./view.ts";

/**
 * A steady rate just under the limit, hour after hour, which nothing else notices: no error, no 429, no spike. Honest jobs do that too.
 * What tells them apart is history (a key that always did so is left alone), where it comes from, and how long it goes on.
 */
export function detectQuietThief(view: KeyView): Finding | null {
  const { facts, profile, thresholds } = view;
  const wanted = thresholds.quietThief;
  const present = presentOf(view);
  if (present === null || facts.limitPerMinute === null || !present.row.flatNearLimit) return null;
  if (profile.historyHours < wanted.historyHours || profile.flatShare > wanted.ownHabit) return null;
  const rows = lastHours(view, wanted.hoursFromKnownProviders);
  let hours = 0;
  let cost = 0;
  let requests = 0;
  const fromNew: Record<PlaceLevel, number> = { country: 0, asn: 0, network: 0 };
  for (let at = rows.length - 1; at >= 0; at--) {
    const row = rows[at];
    if (row === undefined || !row.flatNearLimit || row.hour !== present.row.hour - hours * HOUR_SECONDS) break;
    hours++;
    cost += row.cost;
    requests += row.requests;
    for (const place of row.places) {
      for (const level of ["country", "asn", "network"] as const) {
        if (isNewPlace(view, place, present.hour, level)) fromNew[level] += place.requests;
      }
    }
  }
  const isFromNew = Math.max(fromNew.asn, fromNew.country) > requests / 2;
  const hoursWanted = isFromNew ? wanted.hoursFromNewProvider : wanted.hoursFromKnownProviders;
  const shareOfLimit = cost / hours / 60 / facts.limitPerMinute;
  if (hours < hoursWanted || shareOfLimit < wanted.nearLimitTogether) return null;
  return findingOf("quiet_thief", facts, {
    severity: isFromNew ? "page" : "notice",
    evidence: {
      hours,
      hoursWanted,
      unitsPerMinute: cost / hours / 60,
      limitPerMinute: facts.limitPerMinute,
      shareOfLimit,
      shareFromNewProviders: fromNew.asn / requests,
      shareFromNewNetworks: fromNew.network / requests,
      flatShareBefore: profile.flatShare,
    },
    since: present.row.hour - (hours - 1) * HOUR_SECONDS,
    until: present.row.hour + HOUR_SECONDS,
  });
}

/**
 * Whether the minutes of an hour are flat and near the limit: the quietest tenth is near it, and the busiest is not far above. For
 * the row of the hour; needed only where the hour's cost is near the limit too.
 */
export function isFlatNearLimit(
  minutes: readonly Pick<KeyMinute, "cost" | "limited">[],
  limitPerMinute: number | null,
  { nearLimit, flatness }: QuietThiefThresholds,
): boolean {
  if (limitPerMinute === null || minutes.length < 60) return false;
  const costs = minutes.map(({ cost }) => cost);
  const low = quantile(costs, 0.1);
  if (low < nearLimit * limitPerMinute || quantile(costs, 0.9) > flatness * low) return false;
  // Who runs into the limit is not just under it: that is told by the 429s.
  const limited = minutes.reduce((sum, minute) => sum + minute.limited, 0);
  return limited <= 0.02 * costs.reduce((sum, cost) => sum + cost, 0);
}
