import type { EpochMs } from "../keys/record.ts";
import { countRest, newestSubject } from "./alert.ts";
import type { Alert } from "./alert.ts";
import type { Evidence } from "./condition.ts";
import type { AlertSettings } from "./config.ts";
import { ALERT_KINDS, rankOf, runbookAnchorOf } from "./kinds.ts";
import type { AlertKind, Severity } from "./kinds.ts";

/** What is told, before it has the form of any channel. Stored with its delivery, so that a repeat says the same. Pure. */

/** Why an alert stands in a message. */
export type Need = "new" | "changed" | "still" | "acknowledged" | "resolved";

export interface AlertMessage {
  /** The receiver may see it twice, and knows it by this. */
  readonly id: string;
  readonly workspace: string;
  readonly channel: string;
  /** Whose address it goes to, where the channel is for owners. */
  readonly owner: string | null;
  readonly action: "notify" | "trigger" | "acknowledge" | "resolve";
  /** The first message of what this one is about; its own id, or one before it. */
  readonly incident: string;
  readonly severity: Severity;
  readonly at: EpochMs;
  /** Alerts in it, by why. */
  readonly counts: Readonly<Record<Need, number>>;
  /** The worst, at most `MAX_ITEMS`. */
  readonly items: readonly MessageItem[];
  /** Alerts that are not among the items. */
  readonly more: number;
}

export interface MessageItem {
  readonly alertId: string;
  readonly need: Need;
  readonly kind: AlertKind;
  readonly title: string;
  readonly severity: Severity;
  readonly owner: string | null;
  readonly team: string | null;
  readonly summary: string;
  readonly subjects: readonly string[];
  /** About so many more. */
  readonly moreSubjects: number;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs | null;
  readonly evidence: Evidence;
  /** Links, absolute where `publicUrl` and `runbookUrl` are set. */
  readonly evidenceUrl: string;
  readonly alertUrl: string;
  readonly runbookUrl: string;
}

export const MAX_ITEMS = 10;
const MAX_ITEM_SUBJECTS = 5;
const RUNBOOK_FILE = "docs/operations.md";
const NEED_ORDER: readonly Need[] = ["new", "changed", "still", "acknowledged", "resolved"];

export interface MessageInput extends Omit<AlertMessage, "counts" | "items" | "more"> {
  readonly told: readonly { readonly alert: Alert; readonly need: Need }[];
}

export function composeMessage({ told, ...rest }: MessageInput, settings: AlertSettings): AlertMessage {
  const counts = { new: 0, changed: 0, still: 0, acknowledged: 0, resolved: 0 };
  for (const { need } of told) counts[need] += 1;
  const worst = told
    .toSorted(
      (a, b) =>
        NEED_ORDER.indexOf(a.need) - NEED_ORDER.indexOf(b.need) ||
        rankOf(a.alert.severity) - rankOf(b.alert.severity) ||
        b.alert.seen - a.alert.seen ||
        a.alert.startedAt - b.alert.startedAt,
    )
    .slice(0, MAX_ITEMS);
  const items = worst.map(({ alert, need }) => toItem(alert, need, settings));
  return { ...rest, counts, items, more: told.length - items.length };
}

function toItem(alert: Alert, need: Need, settings: AlertSettings): MessageItem {
  const newest = newestSubject(alert);
  const named = alert.subjects.map(({ subject }) => subject).filter((subject) => subject !== "");
  const evidence = newest?.evidence ?? { path: `/_latchkey/alerts/${alert.id}`, numbers: {} };
  const anchor = `#${runbookAnchorOf(alert.kind)}`;
  return {
    alertId: alert.id,
    need,
    kind: alert.kind,
    title: ALERT_KINDS[alert.kind].title,
    severity: alert.severity,
    owner: alert.owner,
    team: alert.team,
    summary: newest?.summary ?? ALERT_KINDS[alert.kind].title,
    subjects: named.slice(0, MAX_ITEM_SUBJECTS),
    moreSubjects: Math.max(0, named.length - MAX_ITEM_SUBJECTS) + countRest(alert),
    startedAt: alert.startedAt,
    endedAt: alert.resolved?.at ?? null,
    evidence,
    evidenceUrl: settings.publicUrl + evidence.path,
    alertUrl: `${settings.publicUrl}/_latchkey/alerts/${alert.id}`,
    runbookUrl: (settings.runbookUrl === "" ? RUNBOOK_FILE : settings.runbookUrl) + anchor,
  };
}

const NEED_WORDS: Readonly<Record<Need, string>> = {
  new: "firing",
  changed: "worse or wider",
  still: "still firing",
  acknowledged: "acknowledged",
  resolved: "resolved",
};

/** `PAGE · 3 firing, 1 resolved · workspace default`; of one alert, its title instead of the number. */
export function headlineOf(message: AlertMessage): string {
  const [only] = message.items;
  const total = message.items.length + message.more;
  if (total === 0) return `A test of the channel ${message.channel} · workspace ${message.workspace}`;
  const counted = NEED_ORDER.filter((need) => message.counts[need] > 0)
    .map((need) => `${message.counts[need]} ${NEED_WORDS[need]}`)
    .join(", ");
  const what = only !== undefined && total === 1 ? `${NEED_WORDS[only.need]}: ${only.title}` : counted;
  return `${message.severity.toUpperCase()} · ${what} · workspace ${message.workspace}`;
}

/** One item as lines of plain text. */
export function linesOf(item: MessageItem): readonly string[] {
  const whose = item.owner === null ? "" : ` · owner ${item.owner}`;
  const more = item.moreSubjects === 0 ? "" : ` and about ${item.moreSubjects} more`;
  const subjects = item.subjects.length === 0 ? [] : [`  ${item.subjects.join(", ")}${more}`];
  const numbers = Object.entries(item.evidence.numbers).map(([name, value]) => `${name} ${value}`);
  return [
    `[${NEED_WORDS[item.need]}] ${item.title}${whose}`,
    `  ${item.summary}`,
    ...subjects,
    ...(numbers.length === 0 ? [] : [`  ${numbers.join(", ")}`]),
    `  evidence: ${item.evidenceUrl}`,
    `  runbook: ${item.runbookUrl}`,
  ];
}

/** The whole message as plain text. */
export function textOf(message: AlertMessage): string {
  const more = message.more === 0 ? [] : ["", `And ${message.more} more: see the list of alerts.`];
  return [headlineOf(message), ...message.items.flatMap((item) => ["", ...linesOf(item)]), ...more].join("\n");
}
