import { err, ok } from "../../result.ts";
import type { PagerDutyChannel } from "../config.ts";
import type { Severity } from "../kinds.ts";
import { headlineOf, linesOf } from "../message.ts";
import type { AlertMessage } from "../message.ts";
import { missing } from "./outgoing.ts";
import type { FormatContext, Formatted } from "./outgoing.ts";

/** PagerDuty's Events API v2: one incident for what was told together, by the id of its first message as `dedup_key`. */

const EVENTS_URL = "https://events.pagerduty.com/v2/enqueue";
/** PagerDuty's own bound. */
const MAX_SUMMARY_CHARACTERS = 1_024;
const SEVERITIES: Readonly<Record<Severity, string>> = { page: "critical", ticket: "warning", notice: "info" };

export function formatPagerDuty(message: AlertMessage, channel: PagerDutyChannel, { read }: FormatContext): Formatted {
  const routingKey = read(channel.routingKeyFromEnv);
  if (routingKey === undefined) return err(missing(channel.routingKeyFromEnv));
  const url = channel.urlFromEnv === undefined ? EVENTS_URL : read(channel.urlFromEnv);
  if (url === undefined) return err(missing(channel.urlFromEnv ?? ""));
  const action = message.action === "notify" ? "trigger" : message.action;
  const event = { routing_key: routingKey, event_action: action, dedup_key: message.incident };
  const body = action === "trigger" ? { ...event, ...describe(message) } : event;
  return ok({ url, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

function describe(message: AlertMessage): Readonly<Record<string, unknown>> {
  const [first] = message.items;
  const isOne = first !== undefined && message.items.length + message.more === 1;
  const links = message.items.flatMap(({ title, evidenceUrl, runbookUrl }) => [
    { href: evidenceUrl, text: `Evidence: ${title}` },
    { href: runbookUrl, text: `Runbook: ${title}` },
  ]);
  return {
    payload: {
      summary: (isOne ? `${first.title}: ${first.summary}` : headlineOf(message)).slice(0, MAX_SUMMARY_CHARACTERS),
      source: `latchkey/${message.workspace}`,
      severity: SEVERITIES[message.severity],
      timestamp: new Date(message.at).toISOString(),
      ...(isOne ? { class: first.kind, group: first.owner ?? undefined } : {}),
      custom_details: {
        alerts: message.items.map((item) => linesOf(item).join("\n")),
        more: message.more,
        counts: message.counts,
      },
    },
    client: "Latchkey",
    // Only absolute ones are links there.
    links: links.filter(({ href }) => /^https?:\/\//.test(href)),
  };
}
