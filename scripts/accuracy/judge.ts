import type { WindowSpan } from "../../src/limits/window.ts";

/**
 * Passed ÷ allowed, so that neither figure can be unfair. Nobody outside sees the moment at which a request was counted; it
 * lies between `sentAt` and `settledAt`. A request whose span crosses a window's edge may belong to either window, so:
 *
 * - "never above": over every run of consecutive windows, only requests whose whole span lies inside are held against the
 *   limit. If these are more than the run allows, then some window let too many through, whichever way the others are
 *   counted; and if no run has too many, then there is a way to count that keeps every window (Hall's theorem).
 * - "never below": a request that may have passed in the window counts for it, one that was certainly sent in it is
 *   what was offered.
 */

/** One request, as its client saw it. */
export interface Sample {
  /** Before it was sent, epoch ms. */
  readonly sentAt: number;
  /** When the origin had it, or its refusal was read, by the same clock: it was decided before. */
  readonly settledAt: number;
  readonly passed: boolean;
}

export interface Verdict {
  /** Of the worst window: `highest` when that is above 1, else `lowest`, or that of the whole cell when it is lower. */
  readonly ratio: number;
  /** Over any run of consecutive windows. Above 1 proves that a limit was exceeded. */
  readonly highest: number;
  /** Of the window that left most unused. */
  readonly lowest: number;
  readonly offered: number;
  readonly passed: number;
  /**
   * Sum over the windows of min(limit, offered). Where a burst lies across an edge, what was offered in each window is known
   * within bounds only: the figure within them that is nearest to `passed`.
   */
  readonly allowed: number;
  /** Passed requests that may belong to either of two windows. */
  readonly straddling: number;
}

/** What one window saw. */
interface Tally {
  /** min(limit, everything that may have been offered in it). */
  readonly allowedAtMost: number;
  /** min(limit, what was certainly offered in it). */
  readonly allowedAtLeast: number;
  readonly passedAtMost: number;
}

/** `windows` are consecutive; `units` may pass in each. Throws when nothing was offered: that measures nothing. */
export function judge(samples: readonly Sample[], windows: readonly WindowSpan[], units: number): Verdict {
  const tallies = windows.map((window) => tally(samples, window, units));
  const atMost = sum(tallies.map(({ allowedAtMost }) => allowedAtMost));
  const atLeast = sum(tallies.map(({ allowedAtLeast }) => allowedAtLeast));
  if (atMost === 0) throw new RangeError("nothing was offered in the windows that were watched");
  const passed = samples.filter((sample) => sample.passed);
  const whole = passed.filter((sample) => windows.some((window) => touches(sample, window))).length;
  const allowed = Math.min(Math.max(whole, atLeast), atMost);
  const highest = highestRun(passed, windows, tallies);
  const asked = tallies.filter(({ allowedAtLeast }) => allowedAtLeast > 0);
  const lowest = Math.min(1, ...asked.map(({ passedAtMost, allowedAtLeast }) => passedAtMost / allowedAtLeast));
  return {
    ratio: highest > 1 ? highest : Math.min(lowest, whole / allowed),
    highest,
    lowest,
    offered: samples.length,
    passed: whole,
    allowed,
    straddling: passed.filter((sample) => !windows.some((window) => within(sample, window.start, window.end))).length,
  };
}

function tally(samples: readonly Sample[], window: WindowSpan, units: number): Tally {
  const touching = samples.filter((sample) => touches(sample, window));
  const inside = touching.filter((sample) => within(sample, window.start, window.end));
  return {
    allowedAtMost: Math.min(units, touching.length),
    allowedAtLeast: Math.min(units, inside.length),
    passedAtMost: touching.filter((sample) => sample.passed).length,
  };
}

function highestRun(passed: readonly Sample[], windows: readonly WindowSpan[], tallies: readonly Tally[]): number {
  let highest = 0;
  for (const [first, { start }] of windows.entries()) {
    let allowed = 0;
    for (const [offset, { end }] of windows.slice(first).entries()) {
      allowed += tallies[first + offset]?.allowedAtMost ?? 0;
      const surely = passed.filter((sample) => within(sample, start, end)).length;
      if (surely > 0) highest = Math.max(highest, surely / allowed);
    }
  }
  return highest;
}

/** Windows are half-open: their end belongs to the next one. */
function within({ sentAt, settledAt }: Sample, start: number, end: number): boolean {
  return sentAt >= start && settledAt < end;
}

function touches({ sentAt, settledAt }: Sample, { start, end }: WindowSpan): boolean {
  return sentAt < end && settledAt >= start;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
