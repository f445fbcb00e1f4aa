import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { err, ok } from "../../result.ts";
import type { WebhookChannel } from "../config.ts";
import type { AlertMessage } from "../message.ts";
import { missing } from "./outgoing.ts";
import type { FormatContext, Formatted } from "./outgoing.ts";

/**
 * The generic webhook, by Standard Webhooks 1.0: `webhook-id` is the same for every attempt, `webhook-signature` has one `v1,` entry for
 * each secret. Signed here and not by the `standardwebhooks` package: it takes one secret, brings its own SHA-256, and checks as tests do.
 */

const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
/** As the specification has it. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;

export function formatWebhook(message: AlertMessage, channel: WebhookChannel, context: FormatContext): Formatted {
  const url = context.read(channel.urlFromEnv);
  if (url === undefined) return err(missing(channel.urlFromEnv));
  const body = JSON.stringify({
    type: `alerts.${message.action}`,
    timestamp: new Date(message.at).toISOString(),
    data: { ...message, at: new Date(message.at).toISOString(), items: message.items.map(withTimes) },
  });
  const signed = Buffer.from(`${message.id}.${context.timestamp}.${body}`);
  const signatures: string[] = [];
  for (const name of channel.secretsFromEnv) {
    const text = context.read(name);
    // The one that is not there yet, or no longer, while another one is.
    if (text === undefined) continue;
    const secret = decodeSecret(text);
    if (secret === null) return err(`the variable ${name} is not whsec_ and 24 to 64 bytes in base64`);
    signatures.push(`v1,${createHmac("sha256", secret).update(signed).digest("base64")}`);
  }
  if (signatures.length === 0) return err(missing(channel.secretsFromEnv.join(", ")));
  return ok({
    url,
    headers: {
      "content-type": "application/json",
      "webhook-id": message.id,
      "webhook-timestamp": String(context.timestamp),
      "webhook-signature": signatures.join(" "),
    },
    body,
  });
}

function withTimes(item: AlertMessage["items"][number]): unknown {
  const endedAt = item.endedAt === null ? null : new Date(item.endedAt).toISOString();
  return { ...item, startedAt: new Date(item.startedAt).toISOString(), endedAt };
}

function decodeSecret(text: string): Buffer | null {
  const encoded = SECRET.exec(text)?.[1];
  if (encoded === undefined) return null;
  const bytes = Buffer.from(encoded, "base64");
  return bytes.length >= MIN_SECRET_BYTES && bytes.length <= MAX_SECRET_BYTES ? bytes : null;
}
