import { err, ok } from "../../result.ts";
import type { EmailChannel } from "../config.ts";
import { headlineOf, textOf } from "../message.ts";
import type { AlertMessage } from "../message.ts";
import { missing } from "./outgoing.ts";
import type { FormatContext, Formatted, Outgoing } from "./outgoing.ts";

/** E-mail by a provider's HTTP API. Plain text: nothing in it can be more than text. A new provider is one entry here. */

const MAX_SUBJECT_CHARACTERS = 200;

interface Mail {
  readonly id: string;
  readonly token: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

interface Provider {
  readonly url: string;
  readonly format: (mail: Mail) => Omit<Outgoing, "url">;
}

const PROVIDERS: Readonly<Record<EmailChannel["provider"], Provider>> = {
  resend: {
    url: "https://api.resend.com/emails",
    format: ({ id, token, from, to, subject, text }) => ({
      // Resend remembers an idempotency key for a day: a repeat within it is no second mail.
      headers: { authorization: `Bearer ${token}`, "idempotency-key": id, "content-type": "application/json" },
      body: JSON.stringify({ from, to, subject, text }),
    }),
  },
  postmark: {
    url: "https://api.postmarkapp.com/email",
    format: ({ token, from, to, subject, text }) => ({
      headers: { "x-postmark-server-token": token, accept: "application/json", "content-type": "application/json" },
      body: JSON.stringify({ From: from, To: to.join(","), Subject: subject, TextBody: text }),
    }),
  },
};

export function formatEmail(message: AlertMessage, channel: EmailChannel, context: FormatContext): Formatted {
  const provider = PROVIDERS[channel.provider];
  const token = context.read(channel.tokenFromEnv);
  if (token === undefined) return err(missing(channel.tokenFromEnv));
  const url = channel.urlFromEnv === undefined ? provider.url : context.read(channel.urlFromEnv);
  if (url === undefined) return err(missing(channel.urlFromEnv ?? ""));
  if (context.recipients.length === 0) return err("there is nobody to send it to");
  const mail = {
    id: message.id,
    token,
    from: channel.from,
    to: context.recipients,
    subject: headlineOf(message).slice(0, MAX_SUBJECT_CHARACTERS),
    text: textOf(message),
  };
  return ok({ url, ...provider.format(mail) });
}
