import { emptyHour } from "../../src/detection/day-ends.ts";
import { detectInMinutes } from "../../src/detection/detect.ts";
import type { Finding } from "../../src/detection/finding.ts";
import { isFlatNearLimit } from "../../src/detection/quiet-thief.ts";
import { HOUR_SECONDS, type KeyHour, type KeyMinute } from "../../src/detection/rows.ts";
import { judgeHour, noteHour, profileOf } from "../../src/detection/watch.ts";
import { emptyMinute, type MinuteBook } from "./minute-book.ts";
import type { Ruled } from "./key-facts.ts";
import type { WatchedKey } from "./watched-keys.ts";

/** What the detectors say of one key: of the hour in hand, of the last minutes, of an hour that is over. */

const MINUTE_SECONDS = 60;
/** As far back as the detectors by minute look. */
const MINUTES_LOOKED_AT = 60;

export interface Judging {
  readonly key: WatchedKey;
  readonly ruled: Ruled;
  readonly book: MinuteBook;
}

/** Of the hour that goes on. Notes nothing: it may be asked again each minute. */
export function judgePresentHour({ key, ruled, book }: Judging, hour: number): readonly Finding[] {
  const row = book.hourOf(key.keyId, hour);
  if (row === null) return [];
  return said(ruled, judgeHour(key.watch, ruled.facts, row, ruled.thresholds));
}

/** @param minute the last one that is over, epoch seconds. */
export function judgeMinutes({ key, ruled, book }: Judging, minute: number): readonly Finding[] {
  const from = minute - (MINUTES_LOOKED_AT - 1) * MINUTE_SECONDS;
  const minutes = withLast(book.minutesOf(key.keyId, from, minute + MINUTE_SECONDS), minute);
  const { facts, thresholds } = ruled;
  return said(ruled, detectInMinutes({ facts, minutes, profile: profileOf(key.watch), thresholds }));
}

/** A window ends with its last row. */
function withLast(minutes: readonly KeyMinute[], minute: number): readonly KeyMinute[] {
  if (minutes.at(-1)?.minute === minute) return minutes;
  return [...minutes, emptyMinute(minute)];
}

/** Of an hour that is over, which becomes part of the key's past. Gives the row that was noted. */
export function judgeWholeHour(
  { key, ruled, book }: Judging,
  hour: number,
): { readonly row: KeyHour; readonly findings: readonly Finding[] } {
  const { facts, thresholds } = ruled;
  const seen = book.hourOf(key.keyId, hour);
  let row = emptyHour(hour);
  if (seen !== null) {
    const { minutes, ...sums } = seen;
    const isFlat = isFlatNearLimit(allMinutes(minutes, hour), facts.limitPerMinute, thresholds.quietThief);
    row = { ...sums, flatNearLimit: isFlat };
  }
  const findings = [...judgeHour(key.watch, facts, row, thresholds), ...noteHour(key.watch, facts, row, thresholds)];
  return { row, findings: said(ruled, findings) };
}

/** With the empty ones: sixty. */
function allMinutes(minutes: readonly KeyMinute[], hour: number): readonly Pick<KeyMinute, "cost" | "limited">[] {
  const all: Pick<KeyMinute, "cost" | "limited">[] = Array.from({ length: 60 }, () => ({ cost: 0, limited: 0 }));
  for (const of of minutes) all[(of.minute - hour) / MINUTE_SECONDS] = of;
  return all;
}

function said({ off }: Ruled, findings: readonly Finding[]): readonly Finding[] {
  return findings.filter(({ kind }) => !off.has(kind));
}

export function hourOf(epochMs: number): number {
  return Math.floor(epochMs / 1_000 / HOUR_SECONDS) * HOUR_SECONDS;
}

/** The last minute that is over. */
export function lastMinuteOf(epochMs: number): number {
  return Math.floor(epochMs / 1_000 / MINUTE_SECONDS) * MINUTE_SECONDS - MINUTE_SECONDS;
}
