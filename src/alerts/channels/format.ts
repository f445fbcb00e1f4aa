import type { ChannelConfig } from "../config.ts";
import type { AlertMessage } from "../message.ts";
import { formatEmail } from "./email.ts";
import type { FormatContext, Formatted } from "./outgoing.ts";
import { formatPagerDuty } from "./pagerduty.ts";
import { formatSlack } from "./slack.ts";
import { formatWebhook } from "./webhook.ts";

/** A message in the form of its channel. */
export function formatFor(message: AlertMessage, channel: ChannelConfig, context: FormatContext): Formatted {
  switch (channel.type) {
    case "webhook":
      return formatWebhook(message, channel, context);
    case "slack":
      return formatSlack(message, channel, context);
    case "pagerduty":
      return formatPagerDuty(message, channel, context);
    case "email":
      return formatEmail(message, channel, context);
  }
}
