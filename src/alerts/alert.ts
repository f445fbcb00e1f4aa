import type { EpochMs } from "../keys/record.ts";
import { addDistinct, countDistinct, packDistinct, unpackDistinct } from "../usage/distinct.ts";
import type { PackedDistinct } from "../usage/distinct.ts";
import type { Condition, Evidence } from "./condition.ts";
import { holdMsOf, rankOf, SEVERITIES } from "./kinds.ts";
import type { AlertKind, Severity } from "./kinds.ts";

/** One alert: all that is reported of one kind for one owner, from when it began until it is over. Pure: every change gives a new one. */
export interface Alert {
  readonly id: string;
  readonly kind: AlertKind;
  readonly owner: string | null;
  readonly team: string | null;
  /** The worst of its subjects; while some are not named, the worst since it began. */
  readonly severity: Severity;
  readonly phase: "firing" | "acknowledged" | "resolved";
  readonly startedAt: EpochMs;
  /** When it was last reported, to a quarter of its kind's hold time: what is repeated each minute is not written each minute. */
  readonly lastAt: EpochMs;
  readonly acknowledged: Mark | null;
  readonly resolved: Mark | null;
  /** At most `MAX_SUBJECTS`, in the order in which they were reported. */
  readonly subjects: readonly Subject[];
  /** Those that found no place there, since the alert began. */
  readonly rest: PackedDistinct;
  /** Subjects that have joined it since it began. */
  readonly seen: number;
  /** Rises as it gets worse or more pressing. */
  readonly revision: number;
  readonly revisedAt: EpochMs;
  /** What each destination has heard. */
  readonly told: Readonly<Record<string, Told>>;
}

export interface Mark {
  readonly at: EpochMs;
  /** `root`, the id of an admin key, or `system`. */
  readonly by: string;
}

export interface Subject {
  readonly subject: string;
  readonly since: EpochMs;
  readonly lastAt: EpochMs;
  readonly stage: number;
  readonly severity: Severity;
  readonly summary: string;
  readonly evidence: Evidence;
}

export interface Told {
  /** The message that first told of it there: what later ones refer to. */
  readonly incident: string;
  readonly at: EpochMs;
  readonly revision: number;
  readonly seen: number;
  readonly state: "firing" | "resolved";
  readonly acknowledged: boolean;
}

/** What a reader can take in; the rest is counted. */
export const MAX_SUBJECTS = 20;

export function beginAlert(id: string, condition: Condition): Alert {
  const { kind, owner, team, severity, at } = condition;
  return {
    id,
    kind,
    owner,
    team,
    severity,
    phase: "firing",
    startedAt: at,
    lastAt: at,
    acknowledged: null,
    resolved: null,
    subjects: [subjectOf(condition)],
    rest: [],
    seen: 1,
    revision: 1,
    revisedAt: at,
    told: {},
  };
}

/** The same object where the condition says nothing new. The alert is one that is not resolved. */
export function applyCondition(alert: Alert, condition: Condition): Alert {
  if (condition.over === true) return endSubject(alert, condition);
  const { at, severity, subject } = condition;
  // Reported before, and late: what came after it stands.
  if (at < alert.startedAt) return alert;
  const known = alert.subjects.find((of) => of.subject === subject);
  const stage = condition.stage ?? 0;
  const isWorse = rankOf(severity) < rankOf(alert.severity);
  const isLaterStage = known !== undefined && stage > known.stage;
  const isNew = known === undefined && !isInRest(alert, subject);
  if (!isWorse && !isLaterStage && !isNew && !isStep(alert, known?.lastAt ?? alert.lastAt, at)) return alert;
  const placed = placeSubject(alert, condition, known);
  const next: Alert = {
    ...alert,
    ...placed,
    team: condition.team ?? alert.team,
    severity: isWorse ? severity : worstOf(placed, alert.severity),
    lastAt: Math.max(alert.lastAt, at),
    seen: alert.seen + (isNew ? 1 : 0),
    ...(isWorse || isLaterStage ? { revision: alert.revision + 1, revisedAt: at } : {}),
  };
  // Who acknowledged something small has not acknowledged something large.
  return isWorse ? { ...next, phase: "firing", acknowledged: null } : next;
}

/** Only forward, and by a step that is worth a row. */
function isStep(alert: Alert, last: EpochMs, at: EpochMs): boolean {
  return at - last >= holdMsOf(alert.kind) / 4;
}

function placeSubject(
  alert: Alert,
  condition: Condition,
  known: Subject | undefined,
): Pick<Alert, "subjects" | "rest"> {
  // Those that were not reported for a hold time are over.
  const hold = holdMsOf(alert.kind);
  const present = alert.subjects.filter((of) => of === known || condition.at - of.lastAt < hold);
  if (known !== undefined) {
    const newer = { ...subjectOf(condition), since: known.since, stage: Math.max(known.stage, condition.stage ?? 0) };
    return { subjects: present.map((of) => (of === known ? newer : of)), rest: alert.rest };
  }
  if (present.length < MAX_SUBJECTS) return { subjects: [...present, subjectOf(condition)], rest: alert.rest };
  return { subjects: present, rest: packDistinct(addDistinct(unpackDistinct(alert.rest), condition.subject)) };
}

function subjectOf({ subject, at, stage = 0, severity, summary, evidence }: Condition): Subject {
  return { subject, since: at, lastAt: at, stage, severity, summary, evidence };
}

function worstOf({ subjects, rest }: Pick<Alert, "subjects" | "rest">, before: Severity): Severity {
  if (countDistinct(unpackDistinct(rest)) > 0) return before;
  return SEVERITIES.find((severity) => subjects.some((of) => of.severity === severity)) ?? before;
}

/** Once there are so many that they are estimated, some new ones count as known. */
function isInRest({ rest }: Alert, subject: string): boolean {
  const added = packDistinct(addDistinct(unpackDistinct(rest), subject));
  return typeof added === "string" ? added === rest : added.length === rest.length;
}

function endSubject(alert: Alert, { subject, at }: Condition): Alert {
  const known = alert.subjects.find((of) => of.subject === subject);
  // Said of a state before the newest one.
  if (known === undefined || at < known.lastAt) return alert;
  const subjects = alert.subjects.filter((of) => of !== known);
  if (subjects.length > 0 || countRest(alert) > 0) {
    return { ...alert, subjects, severity: worstOf({ subjects, rest: alert.rest }, alert.severity) };
  }
  return resolveAlert(alert, { at, by: "system" });
}

/** When it is over if nobody reports it again. */
export function expiresAt(alert: Alert): EpochMs {
  return alert.phase === "resolved" ? Infinity : alert.lastAt + holdMsOf(alert.kind);
}

export function resolveAlert(alert: Alert, resolved: Mark): Alert {
  return alert.phase === "resolved" ? alert : { ...alert, phase: "resolved", resolved };
}

export function acknowledgeAlert(alert: Alert, acknowledged: Mark): Alert {
  return alert.phase === "firing" ? { ...alert, phase: "acknowledged", acknowledged } : alert;
}

/** Subjects that are not named: exact up to some fifty, then about. */
export function countRest(alert: Alert): number {
  return countDistinct(unpackDistinct(alert.rest));
}

/** Whether anybody may still have to hear of it. */
export function isOpen(alert: Alert): boolean {
  return alert.phase !== "resolved" || Object.values(alert.told).some(({ state }) => state === "firing");
}

/** Of the subject that was reported last. */
export function newestSubject(alert: Alert): Subject | null {
  return alert.subjects.reduce<Subject | null>(
    (newest, of) => (newest === null || of.lastAt > newest.lastAt ? of : newest),
    null,
  );
}
