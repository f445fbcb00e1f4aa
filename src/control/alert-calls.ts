import type {
  AlertCenterApi,
  AlertRefusal,
  AlertWrite,
  AlertWritten,
  Delivery,
  ShownAlert,
} from "../../durable-objects/alert-center/api.ts";
import { alertCenterOf, askAlertCenter } from "../../durable-objects/alert-center/client.ts";
import { settingsOf } from "../alerts/config.ts";
import { ALERT_KINDS, runbookAnchorOf } from "../alerts/kinds.ts";
import type { AlertMessage } from "../alerts/message.ts";
import type { Quiet } from "../alerts/silence.ts";
import type { Problem } from "../http/problem.ts";
import { logError } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import type { Call } from "./operation.ts";
import { invalid } from "./problem.ts";
import type { Outcome } from "./problem.ts";

/** How the alert operations ask the caller's own alert center, and show what it says. */

type AnyCall = Call<unknown, unknown>;

export async function askAlerts<T>(call: AnyCall, ask: (center: AlertCenterApi) => Promise<T>): Promise<Outcome<T>> {
  const { caller, deps } = call;
  try {
    return ok(await askAlertCenter(ask(alertCenterOf(deps.env, caller.workspace))));
  } catch (error) {
    logError(error, { part: "control", workspace: caller.workspace, requestId: caller.actor.requestId });
    const detail =
      "The alert center cannot be reached. A change may or may not have been made: send it again with the same Idempotency-Key.";
    return err({ code: "storage_unavailable", detail });
  }
}

export interface Audited {
  readonly action: string;
  /** Id of the alert, the silence, the delivery, or the name of the channel. */
  readonly id: string;
  readonly after: unknown;
  readonly note: string | null;
}

/**
 * A write: in the audit chain first, and only then done, so that nothing is silenced without a trace. An entry whose change failed
 * afterwards says of somebody what they wanted to do.
 */
export async function writeAlerts<T>(
  call: AnyCall,
  { action, id, after, note }: Audited,
  write: (center: AlertCenterApi, context: AlertWrite) => Promise<AlertWritten<T>>,
): Promise<Outcome<{ readonly value: T; readonly replayed: boolean }>> {
  const { context, registry } = call;
  const entry = { action, subject: { kind: "alert" as const, id }, after, note };
  const noted = await registry.write((keys) => keys.noteAction(entry, context));
  if (!noted.ok) return noted;
  const written = await askAlerts(call, (center) => write(center, writeContextOf(call)));
  if (!written.ok) return written;
  return written.value.ok ? written.value : err(fromRefusal(written.value.error));
}

function writeContextOf({ context: { actor, idempotency } }: AnyCall): AlertWrite {
  const scoped = idempotency === null ? null : { ...idempotency, key: `${actor.kind}/${actor.id}/${idempotency.key}` };
  return { by: actor.id, idempotency: scoped };
}

function fromRefusal({ code, detail, pointer }: AlertRefusal): Problem {
  return code === "request_invalid" ? invalid([{ pointer: pointer ?? "", detail }]).error : { code, detail };
}

export function showAlert(alert: ShownAlert, call: AnyCall): Readonly<Record<string, unknown>> {
  const { phase: _phase, quiet, told, startedAt, lastAt, acknowledged, resolved, subjects, ...rest } = alert;
  const { runbookUrl } = settingsOf(call.deps.config.alerts);
  const mark = (of: typeof resolved) => (of === null ? null : { ...of, at: timeOf(of.at) });
  return {
    ...rest,
    title: ALERT_KINDS[alert.kind].title,
    startedAt: timeOf(startedAt),
    lastAt: timeOf(lastAt),
    acknowledged: mark(acknowledged),
    resolved: mark(resolved),
    subjects: subjects.map((of) => ({ ...of, since: timeOf(of.since), lastAt: timeOf(of.lastAt) })),
    silencedBy: quiet === null ? null : { ...quiet, endsAt: timeOf(quiet.endsAt) },
    // Where nobody was there to hear of it, nobody was told.
    told: Object.entries(told)
      .filter(([, { incident }]) => incident !== "")
      .map(([destination, { at, state }]) => ({ destination, at: timeOf(at), state })),
    runbook: `${runbookUrl === "" ? "docs/operations.md" : runbookUrl}#${runbookAnchorOf(alert.kind)}`,
  };
}

export function showQuiet({ type: _type, matcher, startsAt, endsAt, createdAt, ...rest }: Quiet): unknown {
  const times = { startsAt: timeOf(startsAt), endsAt: timeOf(endsAt), createdAt: timeOf(createdAt) };
  return { ...rest, match: matcher, ...times };
}

export function showDelivery({ message, createdAt, nextAt, finishedAt, ...rest }: Delivery): unknown {
  return {
    ...rest,
    createdAt: timeOf(createdAt),
    nextAt: timeOrNull(nextAt),
    finishedAt: timeOrNull(finishedAt),
    message: showMessage(message),
  };
}

function showMessage(message: AlertMessage): unknown {
  const items = message.items.map((item) => ({
    ...item,
    startedAt: timeOf(item.startedAt),
    endedAt: timeOrNull(item.endedAt),
  }));
  return { ...message, at: timeOf(message.at), items };
}

export function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : timeOf(ms);
}
