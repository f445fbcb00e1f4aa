import { checkpointOf, type Counter, type MeterCheckpoint, type MeterState } from "./meter.ts";
import { isQuiet, nextWake, notePace, reportsAreLate, writesBehind } from "./meter-pace.ts";
import { reserveAhead } from "./sizing.ts";

/** What a meter writes and when: the Durable Object, simulators and tests all follow these. See `MeterPace`. */
export interface MeterDue {
  /** To be written before the answer leaves, and confirmed with `noteWritten`; `null`: nothing. */
  readonly checkpoint: MeterCheckpoint | null;
  /** When the alarm is to ring, epoch ms; `null`: leave it as it is. */
  readonly wakeAt: number | null;
}

const NOTHING: MeterDue = { checkpoint: null, wakeAt: null };

/** After each call that `decide` or `settle` took in. */
export function dueAfterCall(state: MeterState, now: number): MeterDue {
  const { pace } = state;
  const behind = writesBehind(pace, now);
  notePace(pace, now);
  if (!behind) return isWritten(state, now) ? NOTHING : { checkpoint: exact(state, now), wakeAt: null };
  const isDue = pace.mustWrite || reportsAreLate(pace, now) || hasTooMuch(state, now);
  const checkpoint = isDue ? asReserved(state, now) : null;
  const isSettled = !isAhead(state, now) && (isDue || !pace.reportsWait);
  return { checkpoint, wakeAt: isSettled ? null : nextWake(pace, now) };
}

/** When the alarm rings. A meter that lost its memory since then has nothing to write. */
export function dueAfterWake(state: MeterState, now: number): MeterDue {
  const { pace } = state;
  pace.wakeAt = 0;
  if (isWritten(state, now)) return NOTHING;
  if (!isQuiet(pace, now)) return { checkpoint: null, wakeAt: nextWake(pace, now) };
  return { checkpoint: exact(state, now), wakeAt: null };
}

/** Storage has the checkpoint. When writing it failed, it is due again at the next call. */
export function noteWritten({ pace }: MeterState, now: number): void {
  pace.writtenAt = now;
  pace.mustWrite = false;
  pace.reportsWait = false;
}

function exact(state: MeterState, now: number): MeterCheckpoint {
  state.pace.ahead = 0;
  return checkpointOf(state, now, true);
}

/** What was handed back since `reserved` was moved is not kept reserved. */
function asReserved(state: MeterState, now: number): MeterCheckpoint {
  const { ahead } = state.pace;
  for (const counter of state.counters.values()) {
    counter.reserved = Math.min(counter.reserved, counter.used + Math.min(ahead, mostAhead(counter)));
  }
  return checkpointOf(state, now, false);
}

function isWritten(state: MeterState, now: number): boolean {
  const { mustWrite, reportsWait } = state.pace;
  return !mustWrite && !reportsWait && !isAhead(state, now);
}

/** A crash now would leave units unused. */
function isAhead(state: MeterState, now: number): boolean {
  for (const counter of state.counters.values()) {
    if (counter.windowEnd > now && counter.reserved > counter.used) return true;
  }
  return false;
}

/** A crash now would leave more units unused than is promised. */
function hasTooMuch(state: MeterState, now: number): boolean {
  for (const counter of state.counters.values()) {
    if (counter.windowEnd > now && counter.reserved - counter.used > mostAhead(counter)) return true;
  }
  return false;
}

function mostAhead({ limit, windowStart, windowEnd }: Counter): number {
  return reserveAhead(limit, windowEnd - windowStart);
}
