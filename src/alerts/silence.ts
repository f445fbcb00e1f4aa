import type { EpochMs } from "../keys/record.ts";
import type { AlertKind, Severity } from "./kinds.ts";

/**
 * What is not told for a while: a silence, by whoever looks into something, or a maintenance window that was planned. Alerts go on
 * beginning and ending underneath; what still holds at the end is told then. Pure.
 */
export interface Quiet {
  readonly id: string;
  readonly type: "silence" | "maintenance";
  readonly matcher: AlertMatcher;
  readonly startsAt: EpochMs;
  readonly endsAt: EpochMs;
  readonly reason: string;
  readonly createdBy: string;
  readonly createdAt: EpochMs;
}

/** Every member that is there must hold; none: every alert. */
export interface AlertMatcher {
  readonly owners?: readonly string[] | undefined;
  readonly teams?: readonly string[] | undefined;
  readonly kinds?: readonly AlertKind[] | undefined;
  readonly severities?: readonly Severity[] | undefined;
}

export interface Matchable {
  readonly owner: string | null;
  readonly team: string | null;
  readonly kind: AlertKind;
  readonly severity: Severity;
}

export function matches(matcher: AlertMatcher, alert: Matchable): boolean {
  return (
    names(matcher.owners, alert.owner) &&
    names(matcher.teams, alert.team) &&
    names(matcher.kinds, alert.kind) &&
    names(matcher.severities, alert.severity)
  );
}

function names(listed: readonly string[] | undefined, value: string | null): boolean {
  return listed === undefined || (value !== null && listed.includes(value));
}

/** The one that lasts longest of those that hold now, or `null`. */
export function quietOf(alert: Matchable, quiets: readonly Quiet[], now: EpochMs): Quiet | null {
  let longest: Quiet | null = null;
  for (const quiet of quiets) {
    if (quiet.startsAt > now || quiet.endsAt <= now || !matches(quiet.matcher, alert)) continue;
    if (longest === null || quiet.endsAt > longest.endsAt) longest = quiet;
  }
  return longest;
}
