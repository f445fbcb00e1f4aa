import type { Condition } from "../../src/alerts/condition.ts";
import { sentenceOf } from "../../src/detection/sentence.ts";
import type { KeptFinding } from "./api.ts";
import type { Holder } from "./findings.ts";

/** A finding as the alert center takes it. Its kinds are the detectors' own, and it ends an alert that nobody reports again. */
export function conditionOf(finding: KeptFinding & Holder): Condition {
  const { kind, severity, owner, team, subject, evidence, lastSeenAt } = finding;
  const path = `/_latchkey/detections?subject=${encodeURIComponent(subject.id)}`;
  return {
    kind,
    severity,
    owner,
    team,
    subject: subject.id,
    summary: sentenceOf(finding),
    evidence: { path, numbers: evidence },
    at: lastSeenAt,
  };
}
