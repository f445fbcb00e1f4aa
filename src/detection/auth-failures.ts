import type { Finding } from "./finding.ts";
import { lastMinutes, windowOf } from "./minutes.ts";
import type { MinuteView } from "./view.ts";
import { findingOf } from "./view.ts";

/** A burst of 401 and 403 of one key: a client with a dead key, or somebody who tries what it may do. */
export function detectAuthFailures(view: MinuteView): Finding | null {
  const { historyHours, windows } = view.thresholds.authFailures;
  if (view.profile.historyHours < historyHours) return null;
  for (const window of windows) {
    const finding = burstIn(view, window.minutes, window.least);
    if (finding !== null) return finding;
  }
  return null;
}

function burstIn(
  { facts, minutes, profile, thresholds }: MinuteView,
  windowMinutes: number,
  least: number,
): Finding | null {
  const { ratio, share } = thresholds.authFailures;
  const rows = lastMinutes(minutes, windowMinutes);
  let failures = 0;
  let requests = 0;
  for (const minute of rows) {
    failures += minute.failures;
    requests += minute.requests;
  }
  const usual = (profile.failuresPerHour * windowMinutes) / 60;
  if (failures < least || failures < ratio * usual || failures < share * requests) return null;
  return findingOf("auth_failures", facts, {
    severity: "ticket",
    evidence: { failures, requests, share: failures / requests, usual, windowMinutes },
    ...windowOf(rows, windowMinutes),
  });
}
