import type { KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import { reportConditions } from "../../durable-objects/alert-center/client.ts";
import { askLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { Condition } from "../alerts/condition.ts";
import { DEFAULT_STALE_DAYS, settingsOf } from "../alerts/config.ts";
import type { AlertsConfig } from "../alerts/config.ts";
import { ALERT_KINDS } from "../alerts/kinds.ts";
import type { ReminderRules } from "../alerts/reminders.ts";
import { REGISTRY_TIMEOUT_MS } from "../constants.ts";
import { now as systemNow, within } from "../platform/clock.ts";
import { fnv1a } from "../platform/fnv.ts";
import { logWarning } from "../platform/log.ts";
import type { ConsumerEnv } from "./consumer.ts";
import { reportObjectives } from "./objective-reports.ts";
import { ledgerNames } from "./shard.ts";

/** What the cron itself sees that is worth an alert: the outbox and the objectives each minute; deadlines, idle keys and the ledger each hour. */

export interface AlertReportEnv extends Pick<ConsumerEnv, "USAGE_LEDGER"> {
  readonly KEY_REGISTRY: { getByName(name: string): unknown };
  readonly ALERT_CENTER: { getByName(name: string): unknown };
}

/** A change that its meter has not heard of for this long is no hiccup: deliveries are tried at least once a minute. */
const OUTBOX_STUCK_SECONDS = 90;
/** Each of them is 2,000 keys: beyond 100,000 an hourly look is cut short, which the log says. */
const MAX_REMINDER_PAGES = 50;
const MINUTE_MS = 60_000;
const MINUTES_OF_AN_HOUR = 60;

/** Tells the workspace's alert center what the configuration says, and what is so now. */
export async function reportWorkspace(
  env: AlertReportEnv,
  workspace: string,
  config: AlertsConfig | undefined,
  now: number = systemNow(),
): Promise<void> {
  await reportConditions(env, workspace, [await lookAtOutbox(env, workspace, now)], settingsOf(config));
  await reportObjectives(env, workspace, config, now);
  if (!isHourlyMinute(workspace, now)) return;
  await reportConditions(env, workspace, [await lookAtLedger(env, workspace, now)]);
  await reportReminders(env, workspace, {
    now,
    staleDays: config?.staleDays ?? DEFAULT_STALE_DAYS,
    rotationDays: config?.rotationDays ?? null,
  });
}

/** Each workspace has a minute of its own, so that 200 of them are not looked through in the same one. */
function isHourlyMinute(workspace: string, now: number): boolean {
  return Math.floor(now / MINUTE_MS) % MINUTES_OF_AN_HOUR === fnv1a(workspace) % MINUTES_OF_AN_HOUR;
}

async function lookAtOutbox(env: AlertReportEnv, workspace: string, now: number): Promise<Condition> {
  const { outboxPending, outboxOldestSeconds } = await ask(registryOf(env, workspace).status());
  const oldestSeconds = Math.floor(outboxOldestSeconds);
  return {
    kind: "revocation_stuck",
    severity: ALERT_KINDS.revocation_stuck.severity,
    owner: null,
    team: null,
    subject: "",
    summary: `${outboxPending} changes have not reached meters or KV, the oldest for ${oldestSeconds} s.`,
    evidence: { path: "/_latchkey/metrics", numbers: { pending: outboxPending, oldestSeconds } },
    at: now,
    ...(outboxPending > 0 && oldestSeconds >= OUTBOX_STUCK_SECONDS ? {} : { over: true }),
  };
}

async function lookAtLedger(env: AlertReportEnv, workspace: string, now: number): Promise<Condition> {
  let [units, lineages] = [0, 0];
  for (const name of ledgerNames(workspace)) {
    const { reconciliation } = await askLedger(ledgerByName(env.USAGE_LEDGER, name).status());
    units += reconciliation.differenceUnits;
    lineages += reconciliation.lineagesDiffering;
  }
  return {
    kind: "reconciliation_differs",
    severity: ALERT_KINDS.reconciliation_differs.severity,
    owner: null,
    team: null,
    subject: "",
    summary: `Meters and ledger differ by ${units} units of ${lineages} lineages.`,
    evidence: { path: "/_latchkey/metrics", numbers: { units, lineages } },
    at: now,
    ...(units > 0 ? {} : { over: true }),
  };
}

/** Page by page: what is looked at and what is said of it are both bounded. */
async function reportReminders(env: AlertReportEnv, workspace: string, rules: ReminderRules): Promise<void> {
  let after: number | null = 0;
  for (let pages = 0; after !== null; pages++) {
    if (pages >= MAX_REMINDER_PAGES) {
      logWarning("too many keys to look through for reminders", { workspace });
      return;
    }
    const page: Awaited<ReturnType<KeyRegistryApi["reminders"]>> = await ask(
      registryOf(env, workspace).reminders(rules, after),
    );
    await reportConditions(env, workspace, page.conditions);
    after = page.next;
  }
}

function registryOf(env: AlertReportEnv, workspace: string): KeyRegistryApi {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  return env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi;
}

async function ask<T>(asked: Promise<T>): Promise<T> {
  return await within(asked, REGISTRY_TIMEOUT_MS, "the registry");
}
