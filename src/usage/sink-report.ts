import { reportConditions } from "../../durable-objects/alert-center/client.ts";
import type { Condition } from "../alerts/condition.ts";
import { settingsOf } from "../alerts/config.ts";
import type { AlertsConfig } from "../alerts/config.ts";
import { ALERT_KINDS } from "../alerts/kinds.ts";
import { now as systemNow, within } from "../platform/clock.ts";
import { logError } from "../platform/log.ts";
import type { Sinks } from "../sinks/config.ts";
import { DEFAULT_WORKSPACE } from "./make-event.ts";

/**
 * Whether events reach the sinks, by what their queues say of themselves, asked by the cron. Told in the workspace `default`: sinks are
 * the whole installation's.
 */

/** Past the first eight retries: a hiccup is over by then. */
const BEHIND_SECONDS = 900;
const METRICS_TIMEOUT_MS = 3_000;

interface Backlog {
  readonly messages: number;
  /** Of the oldest; 0 where the queue does not say. */
  readonly ageSeconds: number;
}

export async function reportSinks(env: Env, sinks: Sinks | undefined, config: AlertsConfig | undefined): Promise<void> {
  const now = systemNow();
  const looked = await Promise.all(
    Object.entries(sinks ?? {}).map(async ([name, { queue, deadQueue }]): Promise<Condition[]> => {
      try {
        const [waiting, dead] = await Promise.all([backlogOf(env, queue, now), backlogOf(env, deadQueue, now)]);
        return [conditionOf(name, waiting, dead, now)];
      } catch (error) {
        // Neither so nor over: what was told before stands until its hold time ends.
        logError(error, { message: "a sink's queue does not say how long it is", sink: name });
        return [];
      }
    }),
  );
  const conditions = looked.flat();
  if (conditions.length > 0) await reportConditions(env, DEFAULT_WORKSPACE, conditions, settingsOf(config));
}

function conditionOf(name: string, waiting: Backlog, dead: Backlog, at: number): Condition {
  const isBehind = waiting.messages > 0 && waiting.ageSeconds >= BEHIND_SECONDS;
  const minutes = Math.floor(waiting.ageSeconds / 60);
  return {
    kind: "sink_behind",
    severity: ALERT_KINDS.sink_behind.severity,
    owner: null,
    team: null,
    subject: name,
    summary: `Sink ${name}: ${waiting.messages} messages wait, the oldest for ${minutes} min; ${dead.messages} are in its dead-letter queue.`,
    evidence: {
      path: "/_latchkey/metrics",
      numbers: { waiting: waiting.messages, oldestSeconds: waiting.ageSeconds, dead: dead.messages },
    },
    at,
    ...(isBehind || dead.messages > 0 ? {} : { over: true }),
  };
}

async function backlogOf(env: object, binding: string, now: number): Promise<Backlog> {
  const queue: unknown = Reflect.get(env, binding);
  if (!isMeasured(queue)) throw new Error(`wrangler.toml lacks the queue ${binding}`);
  const { backlogCount, oldestMessageTimestamp } = await within(queue.metrics(), METRICS_TIMEOUT_MS, "a sink's queue");
  const oldest = oldestMessageTimestamp === undefined ? now : new Date(oldestMessageTimestamp).getTime();
  return { messages: backlogCount, ageSeconds: Math.max(0, Math.floor((now - oldest) / 1_000)) };
}

function isMeasured(value: unknown): value is Pick<Queue, "metrics"> {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "metrics") === "function";
}
