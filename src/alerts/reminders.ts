import type { EpochMs } from "../keys/record.ts";
import type { Condition } from "./condition.ts";
import type { Severity } from "./kinds.ts";

/** What is to be said of a key's deadlines and of its use, at this moment. Pure. */

/** A key that works, as the registry tells of it. Times are epoch ms. */
export interface ReminderKey {
  readonly id: string;
  readonly hint: string;
  readonly owner: string;
  readonly team: string | null;
  readonly createdAt: EpochMs;
  readonly expiresAt: EpochMs | null;
  /** While it is being replaced: its end. */
  readonly notAfter: EpochMs | null;
  readonly rotatedAt: EpochMs | null;
  /** 0: never. */
  readonly lastUsedAt: EpochMs;
}

export interface ReminderRules {
  readonly now: EpochMs;
  readonly staleDays: number;
  /** A key is to be replaced when it is so old; `null`: nobody asks for that. */
  readonly rotationDays: number | null;
}

const DAY_MS = 86_400_000;

/** Days before the end, and how loud it is then. A later one has a higher number. */
const STEPS: readonly { readonly days: number; readonly stage: number; readonly severity: Severity }[] = [
  { days: 1, stage: 3, severity: "ticket" },
  { days: 7, stage: 2, severity: "notice" },
  { days: 30, stage: 1, severity: "notice" },
];

const OVERDUE = { stage: 4 } as const;

export function remindersOf(key: ReminderKey, rules: ReminderRules): readonly Condition[] {
  const { now } = rules;
  const isReplaced = key.notAfter !== null;
  return [
    isReplaced ? endingOverlap(key, key.notAfter, now) : expiring(key, now),
    isReplaced ? null : dueRotation(key, rules),
    isReplaced ? null : stale(key, rules),
  ].filter((condition) => condition !== null);
}

function expiring(key: ReminderKey, now: EpochMs): Condition | null {
  const { expiresAt, createdAt } = key;
  if (expiresAt === null || expiresAt <= now) return null;
  const step = stepAt(expiresAt - now, expiresAt - createdAt);
  if (step === null) return null;
  return {
    ...about(key, now),
    kind: "key_expiring",
    severity: step.severity,
    stage: step.stage,
    summary: `The key ${key.hint} expires on ${dayOf(expiresAt)}.`,
    evidence: evidenceOf(key, { daysLeft: daysOf(expiresAt - now) }),
  };
}

/** A key that lives for days is not reminded of from its first one: a step counts in the last half of a life. */
function stepAt(left: number, life: number): (typeof STEPS)[number] | null {
  return STEPS.find(({ days }) => left <= days * DAY_MS && 2 * days * DAY_MS <= life) ?? null;
}

/** Only where somebody used the old key after it was replaced: else its end hurts nobody. */
function endingOverlap(key: ReminderKey, notAfter: EpochMs, now: EpochMs): Condition | null {
  const left = notAfter - now;
  if (left <= 0 || left > 7 * DAY_MS || key.lastUsedAt <= (key.rotatedAt ?? 0)) return null;
  return {
    ...about(key, now),
    kind: "rotation_overlap_ending",
    severity: "ticket",
    stage: left <= DAY_MS ? 3 : 2,
    summary: `The key ${key.hint} was replaced, is still used, and stops on ${dayOf(notAfter)}.`,
    evidence: evidenceOf(key, { daysLeft: daysOf(left) }),
  };
}

function dueRotation(key: ReminderKey, { now, rotationDays }: ReminderRules): Condition | null {
  if (rotationDays === null) return null;
  const dueAt = key.createdAt + rotationDays * DAY_MS;
  // A key that ends before that, and is told of for it, is not told of twice.
  if (key.expiresAt !== null && key.expiresAt <= dueAt) return null;
  const step = dueAt <= now ? OVERDUE : stepAt(dueAt - now, dueAt - key.createdAt);
  if (step === null) return null;
  return {
    ...about(key, now),
    kind: "rotation_due",
    severity: step === OVERDUE ? "ticket" : "notice",
    stage: step.stage,
    summary: `The key ${key.hint} is to be rotated by ${dayOf(dueAt)}.`,
    evidence: evidenceOf(key, { ageDays: daysOf(now - key.createdAt), rotationDays }),
  };
}

function stale(key: ReminderKey, { now, staleDays }: ReminderRules): Condition | null {
  const idle = now - Math.max(key.lastUsedAt, key.createdAt);
  if (idle < staleDays * DAY_MS) return null;
  const since = key.lastUsedAt === 0 ? "has never been used" : `was last used on ${dayOf(key.lastUsedAt)}`;
  return {
    ...about(key, now),
    kind: "key_stale",
    severity: "notice",
    summary: `The key ${key.hint} ${since}.`,
    evidence: evidenceOf(key, { idleDays: daysOf(idle) }),
  };
}

function about({ id, owner, team }: ReminderKey, now: EpochMs): Pick<Condition, "owner" | "team" | "subject" | "at"> {
  return { owner, team, subject: id, at: now };
}

function evidenceOf({ id }: ReminderKey, numbers: Readonly<Record<string, number>>): Condition["evidence"] {
  return { path: `/_latchkey/keys/${id}`, numbers };
}

/** `2026-12-01 10:00 UTC` */
function dayOf(time: EpochMs): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function daysOf(ms: number): number {
  return Math.round((10 * ms) / DAY_MS) / 10;
}
