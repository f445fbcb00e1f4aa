import type { Finding, FindingKind, Severity } from "./finding.ts";
import type { KeyHistory } from "./key-history.ts";
import type { KnownPlaces } from "./known-places.ts";
import { wasThere } from "./known-places.ts";
import type { Profile } from "./profile.ts";
import type { KeyFacts, KeyHour, KeyMinute, PlaceCount } from "./rows.ts";
import { DAY_HOURS, HOUR_SECONDS } from "./rows.ts";
import type { Thresholds } from "./thresholds.ts";

/** What a detector of keys is given. History, places and profile end before the present hour. */
export interface KeyView {
  readonly facts: KeyFacts;
  /** In order of time, without gaps but for empty hours, at most two days; the last one is judged. */
  readonly hours: readonly KeyHour[];
  readonly history: KeyHistory;
  readonly places: KnownPlaces;
  readonly profile: Profile;
  readonly thresholds: Thresholds;
}

/** … and by minutes, for what cannot wait for an hour. */
export interface MinuteView {
  readonly facts: KeyFacts;
  /** In order of time; the window ends with the last one. */
  readonly minutes: readonly KeyMinute[];
  readonly profile: Profile;
  readonly thresholds: Thresholds;
}

/** Rows of a view are kept for so long. */
export const VIEW_HOURS = 2 * DAY_HOURS;

export interface FindingParts {
  readonly severity: Severity;
  readonly evidence: Readonly<Record<string, number>>;
  readonly place?: PlaceCount | null;
  /** Epoch seconds. */
  readonly since: number;
  readonly until: number;
}

export function findingOf(kind: FindingKind, facts: KeyFacts, parts: FindingParts): Finding {
  const { severity, evidence, place = null, since, until } = parts;
  return {
    kind,
    subject: { type: "key", id: facts.keyId },
    severity,
    evidence,
    place: place === null ? null : { country: place.country, asn: place.asn, network: place.network },
    since,
    until,
  };
}

/** The hour that is judged, and where it stands; `null` for a view without rows. */
export function presentOf(view: KeyView): { readonly row: KeyHour; readonly hour: number } | null {
  const row = view.hours.at(-1);
  return row === undefined ? null : { row, hour: row.hour / HOUR_SECONDS };
}

/** The rows of the last `hours`, the present one with them. */
export function lastHours(view: KeyView, hours: number): readonly KeyHour[] {
  const from = (view.hours.at(-1)?.hour ?? 0) - (hours - 1) * HOUR_SECONDS;
  return view.hours.filter(({ hour }) => hour >= from);
}

/** Whether a place is one that the key had not used a day before the present hour. */
export function isNewPlace(
  view: KeyView,
  place: PlaceCount,
  hour: number,
  level: "country" | "asn" | "network",
): boolean {
  return !wasThere(view.places, level, place, hour - DAY_HOURS + 1);
}
