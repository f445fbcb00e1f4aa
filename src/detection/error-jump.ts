import type { Finding } from "./finding.ts";
import { lastMinutes, windowOf } from "./minutes.ts";
import type { KeyMinute } from "./rows.ts";
import { wilsonLow } from "./statistics.ts";
import type { MinuteView } from "./view.ts";
import { findingOf } from "./view.ts";

/**
 * More of a key's requests end in 5xx than usual, even without the worst five minutes: an upstream that stumbled is no alert. A key of few requests is judged by an hour in the place of
 * some minutes.
 */
export function detectErrorJump(view: MinuteView): Finding | null {
  const { historyHours, activeHours, windowMinutes } = view.thresholds.errorJump;
  if (view.profile.historyHours < historyHours || view.profile.activeHours < activeHours) return null;
  return jumpIn(view, windowMinutes) ?? jumpIn(view, 4 * windowMinutes);
}

function jumpIn({ facts, minutes, profile, thresholds }: MinuteView, windowMinutes: number): Finding | null {
  const { least, share, ratio, stumbleMinutes, deviations } = thresholds.errorJump;
  const rows = lastMinutes(minutes, windowMinutes);
  const wanted = Math.max(share, ratio * profile.errorShare);
  const { errors, requests } = withoutWorst(rows, stumbleMinutes);
  if (errors < least) return null;
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
      minutesLeftOut: stumbleMinutes,
    },
    ...windowOf(rows, windowMinutes),
  });
}

/** The sums, less those of the minutes on end that have most of the errors. */
function withoutWorst(
  rows: readonly KeyMinute[],
  length: number,
): { readonly errors: number; readonly requests: number } {
  let errors = 0;
  let requests = 0;
  let worst = { errors: 0, requests: 0 };
  for (const [at, row] of rows.entries()) {
    errors += row.errors;
    requests += row.requests;
    const span = { errors: 0, requests: 0 };
    for (let back = at; back >= 0; back--) {
      const other = rows[back];
      if (other === undefined || other.minute <= row.minute - length * 60) break;
      span.errors += other.errors;
      span.requests += other.requests;
    }
    if (span.errors > worst.errors) worst = span;
  }
  return { errors: errors - worst.errors, requests: requests - worst.requests };
}
