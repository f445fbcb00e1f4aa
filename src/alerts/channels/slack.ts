import { err, ok } from "../../result.ts";
import type { SlackChannel } from "../config.ts";
import { headlineOf } from "../message.ts";
import type { AlertMessage, MessageItem, Need } from "../message.ts";
import { missing } from "./outgoing.ts";
import type { FormatContext, Formatted } from "./outgoing.ts";

/** A Slack incoming webhook: Block Kit, with the headline as the text of the notification. */

/** Slack's own bounds. */
const MAX_HEADER_CHARACTERS = 150;
const MAX_SECTION_CHARACTERS = 3_000;

const MARKS: Readonly<Record<Need, string>> = {
  new: ":rotating_light:",
  changed: ":small_red_triangle:",
  still: ":hourglass:",
  acknowledged: ":eyes:",
  resolved: ":white_check_mark:",
};

export function formatSlack(message: AlertMessage, channel: SlackChannel, { read }: FormatContext): Formatted {
  const url = read(channel.urlFromEnv);
  if (url === undefined) return err(missing(channel.urlFromEnv));
  const headline = headlineOf(message);
  const blocks = [
    { type: "header", text: { type: "plain_text", text: headline.slice(0, MAX_HEADER_CHARACTERS), emoji: true } },
    ...message.items.map((item) => section(describe(item))),
    ...(message.more === 0 ? [] : [section(`And ${message.more} more: see the list of alerts.`)]),
  ];
  return ok({
    url,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text: escape(headline), blocks }),
  });
}

function section(text: string): unknown {
  return { type: "section", text: { type: "mrkdwn", text: text.slice(0, MAX_SECTION_CHARACTERS) } };
}

function describe(item: MessageItem): string {
  const whose = item.owner === null ? "" : ` · owner \`${escape(item.owner)}\``;
  const more = item.moreSubjects === 0 ? "" : ` and about ${item.moreSubjects} more`;
  const subjects =
    item.subjects.length === 0 ? [] : [`${item.subjects.map((of) => `\`${escape(of)}\``).join(" ")}${more}`];
  return [
    `${MARKS[item.need]} *${escape(item.title)}*${whose}`,
    escape(item.summary),
    ...subjects,
    `${link(item.evidenceUrl, "Evidence")} · ${link(item.runbookUrl, "Runbook")} · ${link(item.alertUrl, "Alert")}`,
  ].join("\n");
}

/** What is no absolute URL is no link there, so it is shown. */
function link(url: string, name: string): string {
  return /^https?:\/\//.test(url) ? `<${escape(url)}|${name}>` : `${name}: ${escape(url)}`;
}

/** All that Slack wants escaped; a backtick would end the code that a name stands in. */
function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("`", "'");
}
