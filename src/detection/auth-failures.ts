import type { Finding } from "./finding.ts";
import { lastMinutes, windowOf } from "./minutes.ts";
import type { MinuteView } from "./view.ts";
import { findingOf } from "./view.ts";

/** A burst of 401 and 403 of one key: a client with a dead key, or somebody who tries what it may do. */
export function detectAuthFailures({ facts, minutes, profile, thresholds }: MinuteView): Finding | null {
  const { historyHours, windowMinutes, least, ratio, share } = thresholds.authFailures;
  if (profile.historyHours < historyHours) return null;
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
