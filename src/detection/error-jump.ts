import type { Finding } from "./finding.ts";
import { lastMinutes, windowOf } from "./minutes.ts";
import { wilsonLow } from "./statistics.ts";
import type { MinuteView } from "./view.ts";
import { findingOf } from "./view.ts";

/**
 * More of a key's requests end in 5xx than ever, and not for a moment only. A key of few requests is judged by an hour in the place of
 * some minutes.
 */
export function detectErrorJump(view: MinuteView): Finding | null {
  const { historyHours, windowMinutes } = view.thresholds.errorJump;
  if (view.profile.historyHours < historyHours) return null;
  return jumpIn(view, windowMinutes) ?? jumpIn(view, 4 * windowMinutes);
}

function jumpIn({ facts, minutes, profile, thresholds }: MinuteView, windowMinutes: number): Finding | null {
  const { least, share, ratio, leastMinutes, deviations } = thresholds.errorJump;
  const rows = lastMinutes(minutes, windowMinutes);
  const wanted = Math.max(share, ratio * profile.errorShare);
  let errors = 0;
  let requests = 0;
  let minutesWith = 0;
  for (const minute of rows) {
    errors += minute.errors;
    requests += minute.requests;
    if (minute.errors > 0 && minute.errors >= wanted * minute.requests) minutesWith++;
  }
  if (errors < least || minutesWith < leastMinutes) return null;
  const low = wilsonLow(errors, requests, deviations);
  if (low < wanted) return null;
  return findingOf("error_jump", facts, {
    severity: "ticket",
    evidence: {
      errors,
      requests,
      share: errors / requests,
      shareAtLeast: low,
      usualShare: profile.errorShare,
      windowMinutes,
    },
    ...windowOf(rows, windowMinutes),
  });
}
