import type { Severity } from "./kinds.ts";
import type { AlertMatcher } from "./silence.ts";

/** `alerts` of `gateway.config.ts`: who is told of what, and where. Secrets stand in variables, which are named here. */
export interface AlertsConfig {
  /** Where operators reach this deployment: `https://keys.example.com`. Links in messages begin with it; without it they are paths. */
  readonly publicUrl?: string;
  /** The page of runbooks that `#alert-<kind>` is added to: your copy of `docs/operations.md`. */
  readonly runbookUrl?: string;
  /** What begins within so many seconds goes as one message. Default 30. */
  readonly groupSeconds?: number;
  /** Between two messages to one destination, of one severity. Default 300. */
  readonly updateSeconds?: number;
  /** Hours until an alert that fires and that nobody acknowledged is told again; 0: never. Default `{ page: 4, ticket: 24, notice: 0 }`. */
  readonly renotifyHours?: Readonly<Partial<Record<Severity, number>>>;
  /** Days until a key that nobody uses is stale. Default 90. */
  readonly staleDays?: number;
  /** A key is to be rotated when it is so many days old; reminders come 30, 7 and 1 days before. Default: nobody is reminded. */
  readonly rotationDays?: number;
  /** Shares of the checks: what burn rates are counted against. */
  readonly objectives?: Objectives;
  readonly channels: Readonly<Record<string, ChannelConfig>>;
  /** The first that an alert meets holds; with `continue`, the next one is looked at as well. */
  readonly routes?: readonly AlertRoute[];
  /** Where an alert goes that no route takes. Default: nowhere but the list of alerts. */
  readonly defaultChannels?: readonly string[];
}

export interface Objectives {
  /** Decided, whatever was decided. Default 0.999. */
  readonly authSuccess?: number;
  /** Decided within 50 ms. Default 0.99. */
  readonly authLatency?: number;
}

export type ChannelConfig = WebhookChannel | SlackChannel | PagerDutyChannel | EmailChannel;

/** Any receiver, by the Standard Webhooks scheme. */
export interface WebhookChannel {
  readonly type: "webhook";
  readonly urlFromEnv: string;
  /** Variables with `whsec_…`: each signs, so that a receiver may change from one to the other. */
  readonly secretsFromEnv: readonly string[];
}

/** A Slack incoming webhook, or what understands one. */
export interface SlackChannel {
  readonly type: "slack";
  readonly urlFromEnv: string;
}

/** PagerDuty's Events API v2. */
export interface PagerDutyChannel {
  readonly type: "pagerduty";
  readonly routingKeyFromEnv: string;
  /** Default: `https://events.pagerduty.com/v2/enqueue`. */
  readonly urlFromEnv?: string;
}

/** By the HTTP API of a provider: Resend's or Postmark's form. */
export interface EmailChannel {
  readonly type: "email";
  readonly provider: "resend" | "postmark";
  readonly tokenFromEnv: string;
  /** `Latchkey <alerts@example.com>` */
  readonly from: string;
  /** Addresses, or the owner that an alert is about, by its `contacts.email`. */
  readonly to: readonly string[] | "owner";
  /** Default: the provider's own. */
  readonly urlFromEnv?: string;
}

export interface AlertRoute {
  /** Absent: every alert. */
  readonly match?: AlertMatcher;
  readonly channels: readonly string[];
  /** Look at the next route too. Default `false`. */
  readonly continue?: boolean;
}

/** With every default in its place. */
export interface AlertSettings {
  readonly publicUrl: string;
  readonly runbookUrl: string;
  readonly groupMs: number;
  readonly updateMs: number;
  readonly renotifyMs: Readonly<Record<Severity, number>>;
  readonly channels: Readonly<Record<string, ChannelConfig>>;
  readonly routes: readonly AlertRoute[];
  readonly defaultChannels: readonly string[];
}

const DEFAULT_GROUP_SECONDS = 30;
const DEFAULT_UPDATE_SECONDS = 300;
const DEFAULT_RENOTIFY_HOURS: Readonly<Record<Severity, number>> = { page: 4, ticket: 24, notice: 0 };
export const DEFAULT_STALE_DAYS = 90;
export const DEFAULT_OBJECTIVES: Required<Objectives> = { authSuccess: 0.999, authLatency: 0.99 };
const HOUR_MS = 3_600_000;

export function settingsOf(config: AlertsConfig | undefined): AlertSettings {
  const hours = { ...DEFAULT_RENOTIFY_HOURS, ...config?.renotifyHours };
  return {
    publicUrl: (config?.publicUrl ?? "").replace(/\/$/, ""),
    runbookUrl: config?.runbookUrl ?? "",
    groupMs: (config?.groupSeconds ?? DEFAULT_GROUP_SECONDS) * 1_000,
    updateMs: (config?.updateSeconds ?? DEFAULT_UPDATE_SECONDS) * 1_000,
    renotifyMs: { page: hours.page * HOUR_MS, ticket: hours.ticket * HOUR_MS, notice: hours.notice * HOUR_MS },
    channels: config?.channels ?? {},
    routes: config?.routes ?? [],
    defaultChannels: config?.defaultChannels ?? [],
  };
}
