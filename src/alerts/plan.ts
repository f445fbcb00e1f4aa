import type { EpochMs } from "../keys/record.ts";
import type { Alert } from "./alert.ts";
import type { AlertSettings } from "./config.ts";
import { SEVERITIES, rankOf } from "./kinds.ts";
import type { Severity } from "./kinds.ts";
import { composeMessage } from "./message.ts";
import type { AlertMessage } from "./message.ts";
import { duesOf, incidentsOf, markTold, thinksInIncidents } from "./needs.ts";
import type { Due } from "./needs.ts";
import { quietOf } from "./silence.ts";
import type { Quiet } from "./silence.ts";

/** Which messages go out now, and when to look again. Pure: a function of the alerts, what was told before, and the time. */

export interface PlanInput {
  readonly workspace: string;
  /** Those that are open. */
  readonly alerts: readonly Alert[];
  readonly quiets: readonly Quiet[];
  /** When each group (destination and severity) last had a message. */
  readonly flushes: Readonly<Record<string, EpochMs>>;
  /** Times of the messages of the last window, oldest first. */
  readonly sent: readonly EpochMs[];
  readonly settings: AlertSettings;
  /** Whether an owner has an address; absent: not known yet. */
  readonly contacts: ReadonlyMap<string, boolean>;
  readonly now: EpochMs;
  readonly newId: () => string;
}

export interface Plan {
  readonly messages: readonly AlertMessage[];
  /** Alerts of which somebody was told something, as they are now. */
  readonly alerts: readonly Alert[];
  readonly flushes: Readonly<Record<string, EpochMs>>;
  readonly sent: readonly EpochMs[];
  /** When something is due next, as far as is known; `null`: nothing is. */
  readonly nextAt: EpochMs | null;
  /** Owners whose address must be known before the next plan. */
  readonly wanted: readonly string[];
}

/** To all destinations of a workspace together, in one window of `updateSeconds`: whatever happens, nobody's phone rings more often. */
export const MESSAGES_PER_WINDOW = 20;
const MAX_WANTED = 50;
/** In place of a message's id: there was none. */
const NOBODY = "";

interface Group {
  readonly id: string;
  readonly severity: Severity;
  readonly dues: Due[];
  readonly readyAt: EpochMs;
}

export function planMessages(input: PlanInput): Plan {
  const { settings, now } = input;
  const round = new Round(input);
  const { groups, wakeAt } = groupsOf(input);
  let nextAt = wakeAt;
  const ready: Group[] = [];
  for (const group of groups) {
    if (group.readyAt <= now) ready.push(group);
    else nextAt = Math.min(nextAt, group.readyAt);
  }
  ready.sort(
    (a, b) => rankOf(a.severity) - rankOf(b.severity) || ownersLast(a) - ownersLast(b) || a.readyAt - b.readyAt,
  );
  for (const group of ready) {
    if (!round.tell(group)) nextAt = Math.min(nextAt, round.budgetAt());
  }
  return {
    ...round.result(),
    nextAt: Number.isFinite(nextAt) ? nextAt : null,
    flushes: withoutOld({ ...input.flushes, ...round.flushes }, now - settings.updateMs),
  };
}

function ownersLast(group: Group): number {
  return group.dues[0]?.destination.owner === null ? 0 : 1;
}

/** What is due by now or later, by group; `wakeAt`: when a silence ends that something waits for. */
function groupsOf({ alerts, quiets, flushes, settings, now }: PlanInput): {
  readonly groups: readonly Group[];
  readonly wakeAt: EpochMs;
} {
  const incidents = incidentsOf(alerts, settings);
  const byId = new Map<string, Due[]>();
  let wakeAt = Infinity;
  for (const alert of alerts) {
    const dues = duesOf(alert, settings, incidents);
    if (dues.length === 0) continue;
    const quiet = quietOf(alert, quiets, now);
    if (quiet !== null) {
      wakeAt = Math.min(wakeAt, quiet.endsAt);
      continue;
    }
    for (const due of dues) {
      const id = `${due.destination.id}|${alert.severity}`;
      const others = byId.get(id);
      if (others === undefined) byId.set(id, [due]);
      else others.push(due);
    }
  }
  const groups = [...byId].map(([id, dues]): Group => {
    const first = dues.reduce((least, { at }) => Math.min(least, at), Infinity);
    const readyAt = Math.max(first + settings.groupMs, (flushes[id] ?? -Infinity) + settings.updateMs);
    const severity = SEVERITIES.find((of) => id.endsWith(`|${of}`)) ?? "notice";
    return { id, severity, dues, readyAt };
  });
  return { groups, wakeAt };
}

/** Times of groups that may speak again anyway say nothing. */
function withoutOld(flushes: Readonly<Record<string, EpochMs>>, until: EpochMs): Readonly<Record<string, EpochMs>> {
  return Object.fromEntries(Object.entries(flushes).filter(([, at]) => at > until));
}

/** What one plan has put together so far. */
class Round {
  readonly #input: PlanInput;
  readonly #messages: AlertMessage[] = [];
  readonly #alerts = new Map<string, Alert>();
  readonly #wanted = new Set<string>();
  readonly flushes: Record<string, EpochMs> = {};
  #sent: EpochMs[];

  constructor(input: PlanInput) {
    this.#input = input;
    this.#sent = input.sent.filter((at) => at > input.now - input.settings.updateMs);
  }

  /** `false`: there is no room for its messages in this window. */
  tell(group: Group): boolean {
    const { contacts, now, settings } = this.#input;
    const [first] = group.dues;
    if (first === undefined) return true;
    const { channel, owner } = first.destination;
    const due: Due[] = [];
    for (const of of group.dues) {
      if (of.at > now) continue;
      // Nobody heard of its beginning: nobody hears of its end.
      if (of.need === "resolved" && of.alert.told[of.destination.id]?.incident === NOBODY) this.#mark(of, NOBODY);
      else due.push(of);
    }
    if (due.length === 0) return true;
    if (settings.channels[channel] === undefined || (owner !== null && contacts.get(owner) === false)) {
      // There is nobody to hear of it, and it is not kept for whoever may come.
      for (const of of due) this.#mark(of, NOBODY);
      return true;
    }
    if (owner !== null && !contacts.has(owner)) {
      if (this.#wanted.size < MAX_WANTED) this.#wanted.add(owner);
      return true;
    }
    const parts = thinksInIncidents(channel, settings) ? partsByIncident(due) : [due];
    for (const part of parts) {
      if (this.#sent.length >= MESSAGES_PER_WINDOW) return false;
      this.#send(part, group);
    }
    return true;
  }

  /** When there is room again. */
  budgetAt(): EpochMs {
    return (this.#sent[0] ?? this.#input.now) + this.#input.settings.updateMs;
  }

  result(): Pick<Plan, "messages" | "alerts" | "sent" | "wanted"> {
    return {
      messages: this.#messages,
      alerts: [...this.#alerts.values()],
      sent: this.#sent,
      wanted: [...this.#wanted],
    };
  }

  #send(dues: readonly Due[], group: Group): void {
    const [first] = dues;
    if (first === undefined) return;
    const { now, settings, workspace } = this.#input;
    const { channel, owner, id } = first.destination;
    const messageId = this.#input.newId();
    const asIncident = thinksInIncidents(channel, settings);
    const incident = first.need === "new" ? messageId : (first.alert.told[id]?.incident ?? messageId);
    const message = composeMessage(
      {
        id: messageId,
        workspace,
        channel,
        owner,
        incident,
        action: asIncident ? actionOf(first) : "notify",
        severity: group.severity,
        at: now,
        told: dues,
      },
      settings,
    );
    this.#messages.push(message);
    this.#sent.push(now);
    this.flushes[group.id] = now;
    for (const due of dues) this.#mark(due, messageId);
  }

  #mark({ alert, destination }: Due, incident: string): void {
    const present = this.#alerts.get(alert.id) ?? alert;
    this.#alerts.set(alert.id, markTold(present, destination.id, incident, this.#input.now));
  }
}

/** New ones are one incident; of others, each incident is told by itself. */
function partsByIncident(dues: readonly Due[]): readonly (readonly Due[])[] {
  const parts = new Map<string, Due[]>();
  for (const due of dues) {
    const told = due.alert.told[due.destination.id];
    const key = due.need === "new" ? "new" : `${due.need}|${told?.incident ?? ""}`;
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [due]);
    else part.push(due);
  }
  return [...parts.values()];
}

function actionOf({ need }: Due): AlertMessage["action"] {
  if (need === "resolved") return "resolve";
  return need === "acknowledged" ? "acknowledge" : "trigger";
}
