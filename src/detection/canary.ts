import type { Finding } from "./finding.ts";
import { HOUR_SECONDS } from "./rows.ts";
import type { KeyView } from "./view.ts";
import { findingOf, presentOf } from "./view.ts";

/** A key that nobody has a reason to use: any use, refused or not, says that the place where it lay was read. */
export function detectCanary(view: KeyView): Finding | null {
  const present = presentOf(view);
  if (present === null || !view.facts.isCanary || present.row.requests < view.thresholds.canary.least) return null;
  const { row } = present;
  return findingOf("canary_used", view.facts, {
    severity: "page",
    evidence: { requests: row.requests, refused: row.failures },
    place: row.places[0] ?? null,
    since: row.hour,
    until: row.hour + HOUR_SECONDS,
  });
}
