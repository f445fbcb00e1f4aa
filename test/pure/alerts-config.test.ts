import { describe, expect, test } from "vitest";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import type { GatewayConfig } from "../../src/config.ts";
import { checkConfig } from "../../src/gateway/config-check.ts";

/** `alerts` of `gateway.config.ts`. */

const GOOD = {
  publicUrl: "https://keys.example.com",
  runbookUrl: "https://wiki.example.com/operations",
  groupSeconds: 30,
  updateSeconds: 300,
  renotifyHours: { page: 1, notice: 0 },
  objectives: { authSuccess: 0.9995, authLatency: 0.95 },
  staleDays: 30,
  channels: {
    oncall: { type: "pagerduty", routingKeyFromEnv: "PD_KEY", urlFromEnv: "PD_URL" },
    chat: { type: "slack", urlFromEnv: "SLACK" },
    siem: { type: "webhook", urlFromEnv: "SIEM", secretsFromEnv: ["NEW", "OLD"] },
    team: { type: "email", provider: "postmark", tokenFromEnv: "T", from: "a@example.com", to: ["b@example.com"] },
    owners: { type: "email", provider: "resend", tokenFromEnv: "T", from: "Keys <a@example.com>", to: "owner" },
  },
  routes: [
    { channels: ["siem"], continue: true },
    { match: { severities: ["page"], kinds: ["spike"], owners: ["acme"], teams: ["payments"] }, channels: ["oncall"] },
  ],
  defaultChannels: ["chat"],
} as const satisfies AlertsConfig;

function faults(alerts: unknown): readonly string[] {
  // What a configuration in JavaScript may hold, whatever the type says.
  const config = { upstreams: { a: { url: "https://origin.example.com" } }, alerts } as GatewayConfig;
  return checkConfig(config, {}).map(({ place }) => place);
}

const channel = (one: unknown): unknown => ({ channels: { one } });

test("a configuration with every kind of channel is sound, and one without routes too", () => {
  expect(faults(GOOD)).toEqual([]);
  expect(faults({ channels: {} })).toEqual([]);
});

describe("alerts", () => {
  test.each([
    ["no object", [], "alerts"],
    ["a misspelt setting", { ...GOOD, route: [] }, "alerts"],
    ["no channels", { routes: [] }, "alerts.channels"],
    ["a URL with a password", { ...GOOD, publicUrl: "https://a:b@example.com" }, "alerts.publicUrl"],
    ["a runbook that is no URL", { ...GOOD, runbookUrl: "docs/operations.md" }, "alerts.runbookUrl"],
    ["messages every second", { ...GOOD, updateSeconds: 1 }, "alerts.updateSeconds"],
    ["reminders for a severity that is none", { ...GOOD, renotifyHours: { urgent: 1 } }, "alerts.renotifyHours"],
    ["an objective without a budget", { ...GOOD, objectives: { authSuccess: 1 } }, "alerts.objectives.authSuccess"],
    ["an objective in percent", { ...GOOD, objectives: { authLatency: 99 } }, "alerts.objectives.authLatency"],
    ["an objective that nobody measures", { ...GOOD, objectives: { uptime: 0.9 } }, "alerts.objectives"],
    ["a reminder after half an hour", { ...GOOD, renotifyHours: { page: 0.5 } }, "alerts.renotifyHours.page"],
    ["an unknown type", channel({ type: "pigeon" }), "alerts.channels.one.type"],
    ["a URL in the file", channel({ type: "slack", url: "https://hooks.example.com/x" }), "alerts.channels.one"],
    ["a URL for a name", channel({ type: "slack", urlFromEnv: "https://x.example" }), "alerts.channels.one.urlFromEnv"],
    [
      "no secret",
      channel({ type: "webhook", urlFromEnv: "U", secretsFromEnv: [] }),
      "alerts.channels.one.secretsFromEnv",
    ],
    [
      "a secret in the file",
      channel({ type: "pagerduty", routingKeyFromEnv: "a b" }),
      "alerts.channels.one.routingKeyFromEnv",
    ],
    ["a sender that is none", channel({ ...GOOD.channels.team, from: "nobody" }), "alerts.channels.one.from"],
    [
      "a sender with a line break",
      channel({ ...GOOD.channels.team, from: "a\n <a@example.com>" }),
      "alerts.channels.one.from",
    ],
    [
      "two recipients in one",
      channel({ ...GOOD.channels.team, to: ["a@b.example,c@d.example"] }),
      "alerts.channels.one.to[0]",
    ],
    ["an unknown provider", channel({ ...GOOD.channels.team, provider: "smtp" }), "alerts.channels.one.provider"],
    ["a name with a slash", { channels: { "a/b": GOOD.channels.chat } }, "alerts.channels.a/b"],
    ["a route to nowhere", { ...GOOD, routes: [{ channels: ["none"] }] }, "alerts.routes[0].channels[0]"],
    ["a default to nowhere", { ...GOOD, defaultChannels: ["none"] }, "alerts.defaultChannels[0]"],
    [
      "an unknown kind",
      { ...GOOD, routes: [{ match: { kinds: ["x"] }, channels: [] }] },
      "alerts.routes[0].match.kinds[0]",
    ],
    ["an empty list", { ...GOOD, routes: [{ match: { owners: [] }, channels: [] }] }, "alerts.routes[0].match.owners"],
    ["a misspelt matcher", { ...GOOD, routes: [{ match: { owner: ["a"] }, channels: [] }] }, "alerts.routes[0].match"],
  ])("%s is a fault, at its place", (_name, alerts, place) => {
    expect(faults(alerts)).toContain(place);
  });

  test("a fault never repeats what may be a secret", () => {
    const config = {
      upstreams: { a: { url: "https://o.example" } },
      alerts: channel({ type: "slack", urlFromEnv: "sec ret" }),
    };
    // As above.
    expect(JSON.stringify(checkConfig(config as GatewayConfig, {}))).not.toContain("sec ret");
  });
});
