import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatFor } from "../../src/alerts/channels/format.ts";
import type { ChannelConfig } from "../../src/alerts/config.ts";
import type { AlertMessage } from "../../src/alerts/message.ts";
import { ALERTS_START as START, ONE_WEBHOOK, condition } from "../support/alert-makers.ts";
import { AlertWorld } from "../support/alert-world.ts";

const CHANNELS = {
  slack: { type: "slack", urlFromEnv: "URL" },
  pagerduty: { type: "pagerduty", routingKeyFromEnv: "KEY" },
  resend: { type: "email", provider: "resend", tokenFromEnv: "TOKEN", from: "a@example.com", to: ["b@example.com"] },
  postmark: { type: "email", provider: "postmark", tokenFromEnv: "TOKEN", from: "a@example.com", to: "owner" },
} as const satisfies Readonly<Record<string, ChannelConfig>>;

const VARIABLES: Readonly<Record<string, string>> = { URL: "https://hooks.example.com/x", KEY: "k", TOKEN: "t" };

function messageOf(summary: string, owners = 1): AlertMessage {
  const world = new AlertWorld(ONE_WEBHOOK, START);
  for (let index = 0; index < owners; index++) world.report(condition({ owner: `o${index}`, summary }));
  world.runUntil(START + 60_000);
  const [message] = world.messages;
  if (message === undefined) throw new Error("nothing was told");
  return message;
}

function format(name: keyof typeof CHANNELS, message: AlertMessage, variables = VARIABLES) {
  const context = { read: (of: string) => variables[of], timestamp: 1, recipients: ["b@example.com"] };
  const formatted = formatFor(message, CHANNELS[name], context);
  if (!formatted.ok) throw new Error(formatted.error);
  return { ...formatted.value, json: JSON.parse(formatted.value.body) };
}

test("Slack: a headline, a section for each alert with its links, at most 50 blocks, each within its bound", () => {
  const { json, url } = format("slack", messageOf("x".repeat(300), 40));
  expect(url).toBe(VARIABLES["URL"]);
  expect(json.blocks.length).toBeLessThanOrEqual(50);
  expect(json.blocks[0].text.text.length).toBeLessThanOrEqual(150);
  for (const block of json.blocks.slice(1)) expect(block.text.text.length).toBeLessThanOrEqual(3_000);
  expect(json.blocks[1].text.text).toContain(
    "<https://keys.example.com/_latchkey/keys/key_a?from=2026-11-24T11:00:00Z|Evidence>",
  );
  expect(json.blocks.at(-1).text.text).toBe("And 30 more: see the list of alerts.");
});

test("Slack: no text becomes markup, a link or a mention", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("<", ">", "&", "!", "@", "`", "|", "a", "*"), minLength: 1 }),
      (text) => {
        const { json } = format("slack", messageOf(`see ${text}`));
        const line = String(json.blocks[1].text.text).split("\n")[1] ?? "";
        expect(line).not.toMatch(/[<>]/);
        expect(line.replaceAll(/&(?:amp|lt|gt);/g, "")).not.toContain("&");
      },
    ),
  );
});

test("PagerDuty: triggers with a severity, and links that are absolute", () => {
  const trigger = format("pagerduty", { ...messageOf("It burns."), action: "trigger", severity: "page" });
  expect(trigger.url).toBe("https://events.pagerduty.com/v2/enqueue");
  expect(trigger.json).toMatchObject({
    routing_key: "k",
    event_action: "trigger",
    payload: { severity: "critical", summary: "A key is used far more than at this hour of the week: It burns." },
    // The runbook is a path here, which is no link.
    links: [{ href: "https://keys.example.com/_latchkey/keys/key_a?from=2026-11-24T11:00:00Z" }],
  });
  const message = messageOf("It burns.");
  const resolve = format("pagerduty", { ...message, action: "resolve", incident: "msg_first" });
  expect(resolve.json).toEqual({ routing_key: "k", event_action: "resolve", dedup_key: "msg_first" });
});

describe("e-mail", () => {
  test("by Resend: one text to all, with the message's id so that a repeat is no second mail", () => {
    const message = messageOf("It burns.");
    const { json, headers, url } = format("resend", message);
    expect(url).toBe("https://api.resend.com/emails");
    expect(headers).toMatchObject({ authorization: "Bearer t", "idempotency-key": message.id });
    expect(json).toMatchObject({ from: "a@example.com", to: ["b@example.com"] });
    expect(json.subject).toBe("TICKET · firing: A key is used far more than at this hour of the week · workspace w");
    expect(json.text).toContain("runbook: docs/operations.md#alert-spike");
    expect(json.html).toBeUndefined();
  });

  test("by Postmark: in its own members", () => {
    const { json, headers, url } = format("postmark", messageOf("It burns."));
    expect(url).toBe("https://api.postmarkapp.com/email");
    expect(headers).toMatchObject({ "x-postmark-server-token": "t" });
    expect(json).toMatchObject({ From: "a@example.com", To: "b@example.com" });
    expect(json.TextBody).toContain("It burns.");
  });
});

test.each(["slack", "pagerduty", "resend"] as const)("%s without its variable says which one is missing", (name) => {
  const context = { read: () => undefined, timestamp: 1, recipients: ["b@example.com"] };
  const formatted = formatFor(messageOf("x"), CHANNELS[name], context);
  expect(formatted).toMatchObject({ ok: false, error: expect.stringMatching(/^the variable [A-Z]+ is not set$/) });
});
