import type { Condition } from "../../src/alerts/condition.ts";
import type { AlertsConfig } from "../../src/alerts/config.ts";

/** Conditions and configurations for tests of alerts. */

export const ALERTS_START = Date.UTC(2026, 10, 24, 12);

export function condition(change: Partial<Condition> = {}): Condition {
  return {
    kind: "spike",
    severity: "ticket",
    owner: "acme",
    team: null,
    subject: "key_a",
    summary: "The key made 900 requests in an hour, where it makes 40.",
    evidence: { path: "/_latchkey/keys/key_a?from=2026-11-24T11:00:00Z", numbers: { requests: 900, usual: 40 } },
    at: ALERTS_START,
    ...change,
  };
}

/** One webhook, which everything goes to. */
export const ONE_WEBHOOK: AlertsConfig = {
  publicUrl: "https://keys.example.com",
  channels: { hook: { type: "webhook", urlFromEnv: "HOOK_URL", secretsFromEnv: ["HOOK_SECRET"] } },
  defaultChannels: ["hook"],
};
