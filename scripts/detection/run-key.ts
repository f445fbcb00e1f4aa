import { detectInMinutes } from "../../src/detection/detect.ts";
import type { Finding } from "../../src/detection/finding.ts";
import { isFlatNearLimit } from "../../src/detection/quiet-thief.ts";
import type { KeyHour, KeyMinute } from "../../src/detection/rows.ts";
import type { Thresholds } from "../../src/detection/thresholds.ts";
import { joinFindings, judgeHour, newWatch, noteHour, profileOf } from "../../src/detection/watch.ts";
import type { TrafficKey } from "../traffic/fleet.ts";
import { hourOf, minutesOf } from "../traffic/hours.ts";

/** A key's life in front of the detectors, as a Durable Object would lead it: an hour at a time, minutes where there is something in them. */

/** An hour with fewer has no burst in it, nor half of one. */
const LEAST_FAILURES = 12;
/** How often the detectors of minutes are asked. */
const STEP_MINUTES = 5;

export function runKey(key: TrafficKey, hours: number, thresholds: Thresholds): readonly Finding[] {
  const watch = newWatch();
  const findings: Finding[] = [];
  let before: readonly KeyMinute[] = [];
  let wasBad = false;
  for (let hour = key.start; hour < key.start + hours; hour++) {
    const { isHigh, ...sums } = hourOf(key, hour);
    const isBad = sums.failures >= LEAST_FAILURES || sums.errors >= thresholds.errorJump.least / 2;
    // Nobody reads the minutes of an hour in which there is nothing to be found.
    const minutes = isHigh || isBad || wasBad ? minutesOf(key, hour) : [];
    const row: KeyHour = {
      ...sums,
      flatNearLimit: isHigh && isFlatNearLimit(minutes, key.facts.limitPerMinute, thresholds.quietThief),
    };
    findings.push(...judgeHour(watch, key.facts, row, thresholds));
    if (isBad || wasBad) {
      const window = [...before, ...minutes];
      for (let end = before.length + STEP_MINUTES; end <= window.length; end += STEP_MINUTES) {
        const view = {
          facts: key.facts,
          minutes: window.slice(Math.max(0, end - 60), end),
          profile: profileOf(watch),
          thresholds,
        };
        findings.push(...detectInMinutes(view));
      }
    }
    findings.push(...noteHour(watch, key.facts, row, thresholds));
    before = minutes;
    wasBad = isBad;
  }
  return joinFindings(findings);
}
