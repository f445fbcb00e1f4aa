import type { Condition } from "../../src/alerts/condition.ts";
import type { AlertSettings } from "../../src/alerts/config.ts";
import { within } from "../../src/platform/clock.ts";
import { logWarning } from "../../src/platform/log.ts";
import type { AlertCenterApi } from "./api.ts";
import { MAX_CONDITIONS } from "./bounds.ts";

/** How others talk to a workspace's alert center. */

interface AlertEnv {
  readonly ALERT_CENTER: { getByName(name: string): unknown };
}

/** One call: a batch of conditions is some milliseconds, and the center may have to wake up. */
const ALERT_CENTER_TIMEOUT_MS = 5_000;

export function alertCenterOf(env: AlertEnv, workspace: string): AlertCenterApi {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  return env.ALERT_CENTER.getByName(workspace) as AlertCenterApi;
}

export async function askAlertCenter<T>(asked: Promise<T>): Promise<T> {
  return await within(asked, ALERT_CENTER_TIMEOUT_MS, "the alert center");
}

/**
 * Says what is so now. Safe to repeat, and to be repeated at each look while it holds; throws when the center does not answer.
 * `settings`: what the deployment's configuration says, from whoever sees it.
 */
export async function reportConditions(
  env: AlertEnv,
  workspace: string,
  conditions: readonly Condition[],
  settings: AlertSettings | null = null,
): Promise<void> {
  for (let from = 0; from === 0 || from < conditions.length; from += MAX_CONDITIONS) {
    const batch = conditions.slice(from, from + MAX_CONDITIONS);
    if (batch.length === 0 && settings === null) return;
    const reported = await askAlertCenter(
      alertCenterOf(env, workspace).report({ conditions: batch, settings: from === 0 ? settings : null }),
    );
    for (const { index, member } of reported.refused) {
      logWarning("a condition was refused", { workspace, member, kind: batch[index]?.kind });
    }
  }
}
