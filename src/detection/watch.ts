import { detectInDay, detectInHour } from "./detect.ts";
import type { Finding } from "./finding.ts";
import type { KeyHistory } from "./key-history.ts";
import { absorbHour, emptyHistory, passTo } from "./key-history.ts";
import type { KnownPlaces } from "./known-places.ts";
import { absorbPlaces, noPlaces } from "./known-places.ts";
import type { Profile } from "./profile.ts";
import { readProfile } from "./profile.ts";
import type { KeyFacts, KeyHour } from "./rows.ts";
import { DAY_HOURS, HOUR_SECONDS } from "./rows.ts";
import type { Thresholds } from "./thresholds.ts";
import type { KeyView } from "./view.ts";
import { VIEW_HOURS } from "./view.ts";

/** One key under watch: what is kept of it, and what an hour makes of that. */
export interface Watch {
  readonly history: KeyHistory;
  readonly places: KnownPlaces;
  /** What follows from the history, and the day (since the epoch) for which it was read. Can be thrown away at any time. */
  profile: Profile | null;
  profileDay: number;
  /** Rows of the last two days. Can be read again from the roll-ups. */
  recent: KeyHour[];
}

export function newWatch(): Watch {
  return { history: emptyHistory(), places: noPlaces(), profile: null, profileDay: -1, recent: [] };
}

/**
 * Judges an hour, without noting it: the present one, as often as one likes, or one that is over before `noteHour`. Hours without a row
 * between the last one and this one were empty.
 */
export function judgeHour(watch: Watch, facts: KeyFacts, row: KeyHour, thresholds: Thresholds): readonly Finding[] {
  const hour = row.hour / HOUR_SECONDS;
  passTo(watch.history, hour - 1);
  const view = viewOf(watch, facts, [...recentBefore(watch, hour), row], thresholds);
  return detectInHour(view);
}

/** Notes an hour that is over; at the end of a day judges the day too. */
export function noteHour(watch: Watch, facts: KeyFacts, row: KeyHour, thresholds: Thresholds): readonly Finding[] {
  const hour = row.hour / HOUR_SECONDS;
  absorbHour(watch.history, row);
  absorbPlaces(watch.places, row);
  watch.recent = [...recentBefore(watch, hour), row];
  if ((hour + 1) % DAY_HOURS !== 0) return [];
  watch.profile = null;
  return detectInDay(viewOf(watch, facts, watch.recent, thresholds));
}

export function profileOf(watch: Watch): Profile {
  const day = Math.floor((watch.history.through + 1) / DAY_HOURS);
  if (watch.profile === null || watch.profileDay !== day) {
    watch.profile = readProfile(watch.history);
    watch.profileDay = day;
  }
  return watch.profile;
}

function viewOf(watch: Watch, facts: KeyFacts, hours: readonly KeyHour[], thresholds: Thresholds): KeyView {
  return { facts, hours, history: watch.history, places: watch.places, profile: profileOf(watch), thresholds };
}

function recentBefore(watch: Watch, hour: number): readonly KeyHour[] {
  return watch.recent.filter(
    (row) => row.hour < hour * HOUR_SECONDS && row.hour >= (hour - VIEW_HOURS + 1) * HOUR_SECONDS,
  );
}

/**
 * What would have been found in `[from, …)` (epoch seconds) with these thresholds: the rows of a key as they are stored, in order of
 * time, those before `from` (six weeks are enough) to know what was usual.
 */
export function dryRun(
  facts: KeyFacts,
  rows: Iterable<KeyHour>,
  from: number,
  thresholds: Thresholds,
): readonly Finding[] {
  const watch = newWatch();
  const findings: Finding[] = [];
  for (const row of rows) {
    const found = [...judgeHour(watch, facts, row, thresholds), ...noteHour(watch, facts, row, thresholds)];
    if (row.hour >= from) findings.push(...found);
  }
  return joinFindings(findings);
}

/** How far apart two findings of one kind and subject may be to be one. */
const ONE_EPISODE_SECONDS = DAY_HOURS * HOUR_SECONDS;

/** Findings that go on, as one each, with the first one's evidence. In order of time for each kind and subject. */
export function joinFindings(findings: readonly Finding[]): readonly Finding[] {
  const open = new Map<string, number>();
  const joined: Finding[] = [];
  for (const finding of findings) {
    const name = `${finding.kind} ${finding.subject.type} ${finding.subject.id}`;
    const at = open.get(name);
    const before = at === undefined ? undefined : joined[at];
    if (at !== undefined && before !== undefined && finding.since <= before.until + ONE_EPISODE_SECONDS) {
      joined[at] = { ...before, until: Math.max(before.until, finding.until) };
    } else {
      open.set(name, joined.push(finding) - 1);
    }
  }
  return joined;
}
