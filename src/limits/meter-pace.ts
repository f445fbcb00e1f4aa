/**
 * How fast changes come to a meter, and so how it writes. A row costs as much as seven calls, and an object that is idle
 * loses its memory without notice after about 10 s.
 *
 * - *Written through*: apart from bursts every change is written before the answer leaves, exactly as it is. Nothing is
 *   in memory alone, so nothing is lost.
 * - *Written behind*: once `THROUGH_CALLS` changes came in a row, `reserved` runs ahead of what is used, reports wait, and
 *   an alarm writes things as they are when the burst is over. An alarm, not a timer: a timer keeps an object in memory,
 *   and whoever pays for it by the second.
 */
export interface MeterPace {
  /** The last call that changed something, epoch ms. */
  changedAt: number;
  /** Calls in a row that changed something, each less than `QUICK_MS` after the one before. */
  quickCalls: number;
  /** The last time that a row was written, and that `reserved` was moved. */
  writtenAt: number;
  reservedAt: number;
  /** Units reserved beyond what was used, when `reserved` was last moved. */
  ahead: number;
  /** When the alarm rings, epoch ms; 0: none is known. */
  wakeAt: number;
  /** The call in hand has changed something. */
  changed: boolean;
  /** There are reports that storage does not have. */
  reportsWait: boolean;
  /** `reserved` was moved and storage does not know: no answer may leave. */
  mustWrite: boolean;
}

/** Changes that are further apart are no burst. */
const QUICK_MS = 2_000;
/** So many changes in a row are written through. Fewer, and short bursts would pay more for the alarm than they spare. */
const THROUGH_CALLS = 8;
/** A burst's `reserved` is moved less often than this, once it has grown. */
const COVER_MS = 5_000;
/** Reports wait no longer than this while calls come. */
const REPORTS_WAIT_MS = 5_000;
/** With `QUICK_MS` well under the 10 s after which an idle object may lose its memory. */
const WAKE_MS = 5_000;

export function newPace(): MeterPace {
  return {
    changedAt: -Infinity,
    quickCalls: 0,
    writtenAt: -Infinity,
    reservedAt: -Infinity,
    ahead: 0,
    wakeAt: 0,
    changed: false,
    reportsWait: false,
    mustWrite: false,
  };
}

export function writesBehind(pace: MeterPace, now: number): boolean {
  return pace.quickCalls >= THROUGH_CALLS && !isQuiet(pace, now);
}

export function isQuiet(pace: MeterPace, now: number): boolean {
  return now - pace.changedAt >= QUICK_MS;
}

/** Once for each call, when everything that it changes is changed. */
export function notePace(pace: MeterPace, now: number): void {
  if (!pace.changed) return;
  pace.quickCalls = isQuiet(pace, now) ? 1 : pace.quickCalls + 1;
  pace.changedAt = now;
  pace.changed = false;
}

/** How far beyond what is used to move `reserved`: doubled until it covers `COVER_MS` of the demand, `atMost` units. */
export function nextAhead(pace: MeterPace, granted: number, atMost: number, now: number): number {
  const grown = (now - pace.reservedAt < COVER_MS ? 2 : 1) * Math.max(pace.ahead, granted);
  pace.ahead = writesBehind(pace, now) ? Math.min(grown, atMost) : 0;
  pace.reservedAt = now;
  pace.mustWrite = true;
  return pace.ahead;
}

export function reportsAreLate(pace: MeterPace, now: number): boolean {
  return pace.reportsWait && now - pace.writtenAt >= REPORTS_WAIT_MS;
}

/** When to ring, if no alarm is set that will ring soon. */
export function nextWake(pace: MeterPace, now: number): number | null {
  const isSet = pace.wakeAt > now && pace.wakeAt <= now + WAKE_MS;
  if (isSet) return null;
  pace.wakeAt = now + WAKE_MS;
  return pace.wakeAt;
}
