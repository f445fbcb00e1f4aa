import type { Finding } from "./finding.ts";
import { HOUR_SECONDS } from "./rows.ts";
import type { KeyView } from "./view.ts";
import { findingOf, presentOf } from "./view.ts";

/** A live key where only test keys belong: it is now in test configurations, logs and machines, which are not guarded like live ones. */
export function detectTestContext(view: KeyView): Finding | null {
  const present = presentOf(view);
  if (present === null || view.facts.environment !== "live") return null;
  const { row } = present;
  if (row.testContext < view.thresholds.testContext.least) return null;
  return findingOf("live_key_in_test", view.facts, {
    severity: "ticket",
    evidence: { requests: row.testContext },
    place: row.places[0] ?? null,
    since: row.hour,
    until: row.hour + HOUR_SECONDS,
  });
}
