import { applyCondition, beginAlert } from "../../src/alerts/alert.ts";
import type { Alert } from "../../src/alerts/alert.ts";
import { readCondition } from "../../src/alerts/condition.ts";
import type { Condition } from "../../src/alerts/condition.ts";
import { ALERT_KINDS, holdMsOf } from "../../src/alerts/kinds.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { newId } from "../../src/platform/ids.ts";
import { redact } from "../../src/platform/log.ts";
import type { Reported } from "./api.ts";
import { MAX_ACTIVE_ALERTS, MAX_REFUSED_SHOWN } from "./bounds.ts";
import type { Tables } from "./tables.ts";

/** What becomes of conditions that are reported. Inside the caller's transaction. */

export interface Taken extends Reported {
  /** Somebody may have to be told. */
  readonly isNews: boolean;
}

export function takeConditions(tables: Tables, conditions: readonly Condition[], now: EpochMs): Taken {
  const refused: { readonly index: number; readonly member: string }[] = [];
  let accepted = 0;
  let isNews = false;
  for (const [index, value] of conditions.entries()) {
    const condition = readCondition(value, redact);
    if (!condition.ok) {
      if (refused.length < MAX_REFUSED_SHOWN) refused.push({ index, member: condition.error });
      continue;
    }
    accepted += 1;
    // A reporter's clock may be ahead.
    const at = Math.min(condition.value.at, now);
    if (take(tables, { ...condition.value, at }, now)) isNews = true;
  }
  return { accepted, refused, isNews };
}

/** `true`: it is news. */
function take(tables: Tables, reported: Condition, now: EpochMs): boolean {
  const { alerts } = tables;
  const condition = withRoom(tables, reported);
  const known = alerts.active(condition.owner, condition.kind);
  if (known === null) return condition.over === true ? false : begin(tables, condition, now);
  const next = applyCondition(known, condition);
  if (next === known) return false;
  alerts.save(next);
  if (next.phase === "resolved") alerts.note(next, "resolved", "system", condition.at);
  else if (next.severity !== known.severity) alerts.note(next, "worse", "system", condition.at);
  return isNewsOf(known, next);
}

function begin({ alerts }: Tables, condition: Condition, now: EpochMs): boolean {
  const { at, kind, owner } = condition;
  // Said before the last one was over, or so long ago that it would be over by now: a batch that was sent again.
  if (at <= alerts.lastResolvedAt(owner, kind) || now - at >= holdMsOf(kind)) return false;
  const alert = beginAlert(newId("alt_", now), condition);
  alerts.save(alert);
  alerts.note(alert, "began", "system", at);
  return true;
}

/** When there are too many alerts, further owners share one of their kind. */
function withRoom({ alerts }: Tables, condition: Condition): Condition {
  const { owner, kind, subject } = condition;
  if (owner === null || alerts.activeCount() < MAX_ACTIVE_ALERTS || alerts.active(owner, kind) !== null) {
    return condition;
  }
  return { ...condition, owner: null, team: null, subject: subject === "" ? owner : subject };
}

function isNewsOf(before: Alert, after: Alert): boolean {
  return after.phase !== before.phase || after.revision !== before.revision || after.seen !== before.seen;
}

/** That a channel does not work, or does again. */
export function channelCondition(channel: string, isFailing: boolean, now: EpochMs): Condition {
  return {
    kind: "channel_failing",
    severity: ALERT_KINDS.channel_failing.severity,
    owner: null,
    team: null,
    subject: channel,
    summary: `Messages to the channel ${channel} are not taken.`,
    evidence: { path: "/_latchkey/alerts?kind=channel_failing", numbers: {} },
    at: now,
    ...(isFailing ? {} : { over: true }),
  };
}
