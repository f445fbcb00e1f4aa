import type { Finding } from "./finding.ts";
import { DAY_HOURS, HOUR_SECONDS } from "./rows.ts";
import { wasThere } from "./known-places.ts";
import type { KeyView } from "./view.ts";
import { findingOf, lastHours, presentOf } from "./view.ts";

/**
 * A key that was silent for a month is used again, from elsewhere. One whose silences were as long before (a job of each quarter) and
 * one that comes back from where it was used are left alone.
 */
export function detectIdleKey(view: KeyView): Finding | null {
  const { history, facts } = view;
  const { silenceHours, overOwnLongest, least, knownShare, overOwnLargest } = view.thresholds.idle;
  const present = presentOf(view);
  if (present === null || history.lastUsed < 0 || present.row.requests === 0) return null;
  const { hour } = present;
  // The history ends before this hour: either it wakes in it, or it woke within the last day.
  const wakesNow = hour - history.lastUsed >= silenceHours;
  const wokeLately = history.wokeAt >= 0 && hour - history.wokeAt < DAY_HOURS;
  if (!wakesNow && !wokeLately) return null;
  const silence = wakesNow ? hour - history.lastUsed : history.silence;
  const before = wakesNow ? Math.max(history.longestSilence, history.silence) : history.longestSilence;
  if (silence < silenceHours || silence < overOwnLongest * before) return null;
  const wokeAt = wakesNow ? hour : history.wokeAt;
  let requests = 0;
  let most = 0;
  let known = 0;
  for (const row of lastHours(view, DAY_HOURS)) {
    if (row.hour < wokeAt * HOUR_SECONDS) continue;
    requests += row.requests;
    most = Math.max(most, row.requests);
    for (const place of row.places) if (wasThere(view.places, "network", place, wokeAt)) known += place.requests;
  }
  // The history may hold the waking's first hours already: they are no measure of it.
  const largest = wakesNow ? history.largest : history.largestBefore;
  if (
    requests < least ||
    (known >= knownShare * requests && (most < overOwnLargest * largest || present.row.flatNearLimit))
  )
    return null;
  return findingOf("idle_key_woke", facts, {
    severity: "ticket",
    evidence: {
      requests,
      silentDays: silence / DAY_HOURS,
      longestSilentDaysBefore: before / DAY_HOURS,
      fromKnownNetworks: known,
      largestHour: most,
      largestHourBefore: largest,
    },
    place: present.row.places[0] ?? null,
    since: wokeAt * HOUR_SECONDS,
    until: present.row.hour + HOUR_SECONDS,
  });
}
