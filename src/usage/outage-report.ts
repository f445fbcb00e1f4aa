import { reportConditions } from "../../durable-objects/alert-center/client.ts";
import type { Condition } from "../alerts/condition.ts";
import { settingsOf } from "../alerts/config.ts";
import type { AlertsConfig } from "../alerts/config.ts";
import { ALERT_KINDS } from "../alerts/kinds.ts";
import { now as systemNow, sleep } from "../platform/clock.ts";
import { checkReadiness } from "../platform/health.ts";
import { DEFAULT_WORKSPACE } from "./make-event.ts";

/**
 * Whether keys can be checked at all, asked by the cron as `readyz` asks, with traffic or without. Told in the workspace `default`: it is
 * the whole installation's. One place asks, so an outage elsewhere is for probes from outside to see; and if the alert center is down
 * with the rest, nobody is told by Latchkey itself.
 */

/** One look may meet an object that just moved. */
const LOOK_AGAIN_MS = 5_000;

export async function reportOutage(
  env: Env,
  config: AlertsConfig | undefined,
  lookAgainMs: number = LOOK_AGAIN_MS,
): Promise<void> {
  let readiness = await checkReadiness(env);
  if (readiness.status === "down") {
    await sleep(lookAgainMs);
    readiness = await checkReadiness(env);
  }
  const down = Object.entries(readiness.checks).flatMap(([name, { state }]) => (state === "down" ? [name] : []));
  const condition: Condition = {
    kind: "auth_outage",
    severity: ALERT_KINDS.auth_outage.severity,
    owner: null,
    team: null,
    subject: "",
    summary: `Keys that are not known yet cannot be checked. Down: ${down.join(", ")}.`,
    evidence: { path: "/_latchkey/readyz", numbers: { down: down.length } },
    at: systemNow(),
    ...(readiness.status === "down" ? {} : { over: true }),
  };
  await reportConditions(env, DEFAULT_WORKSPACE, [condition], settingsOf(config));
}
