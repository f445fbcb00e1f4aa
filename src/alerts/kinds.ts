/**
 * What there is to be alerted of. Each kind has a runbook of its own in `docs/operations.md`, under the heading `Alert <kind>`; a test
 * holds this table and those sections together.
 */

export const SEVERITIES = ["page", "ticket", "notice"] as const;
/** `page`: somebody gets up. `ticket`: in working hours. `notice`: to know, and nothing breaks if nobody does. */
export type Severity = (typeof SEVERITIES)[number];

interface KindSpec {
  readonly title: string;
  /** Where whoever reports does not say. */
  readonly severity: Severity;
  /** An alert that was not reported for so long is over. Longer than twice the pace at which its reporter looks. */
  readonly holdMinutes: number;
}

const HOUR = 60;
/** For reporters that look once an hour. */
const HOURLY = 3 * HOUR;

export const ALERT_KINDS = {
  spike: { title: "A key is used far more than at this hour of the week", severity: "ticket", holdMinutes: HOUR },
  odd_hours_spend: { title: "A key spends more at odd hours", severity: "ticket", holdMinutes: 26 * HOUR },
  quiet_thief: { title: "A key runs steadily just under its limit", severity: "ticket", holdMinutes: 6 * HOUR },
  new_place: { title: "A key is used from a new place", severity: "notice", holdMinutes: 24 * HOUR },
  auth_failures: { title: "A burst of refused requests", severity: "ticket", holdMinutes: HOUR },
  credential_stuffing: { title: "Many keys are tried from one network", severity: "page", holdMinutes: HOUR },
  error_jump: { title: "A key's error rate jumped", severity: "ticket", holdMinutes: HOUR },
  idle_key_woke: { title: "A key that was idle is used again", severity: "notice", holdMinutes: 24 * HOUR },
  live_key_in_test: { title: "A live key is used where test traffic is", severity: "ticket", holdMinutes: 6 * HOUR },
  canary_used: { title: "A canary key was used", severity: "page", holdMinutes: 24 * HOUR },
  slo_auth_success: { title: "The error budget of checks burns", severity: "page", holdMinutes: 10 },
  slo_latency: { title: "The latency budget of checks burns", severity: "page", holdMinutes: 10 },
  slo_revocation_lag: { title: "Revocations take too long", severity: "page", holdMinutes: 10 },
  auth_outage: { title: "Keys cannot be checked", severity: "page", holdMinutes: 5 },
  revocation_stuck: { title: "Changes do not reach the meters", severity: "page", holdMinutes: 5 },
  degraded: { title: "Requests are admitted in grace", severity: "ticket", holdMinutes: 15 },
  key_expiring: { title: "Keys expire soon", severity: "notice", holdMinutes: HOURLY },
  rotation_due: { title: "Keys are older than their rotation allows", severity: "notice", holdMinutes: HOURLY },
  rotation_overlap_ending: {
    title: "A replaced key is still used, and stops soon",
    severity: "ticket",
    holdMinutes: HOURLY,
  },
  key_stale: { title: "Keys that nobody uses", severity: "notice", holdMinutes: HOURLY },
  near_limit: { title: "A limit is nearly used up", severity: "notice", holdMinutes: HOURLY },
  limit_reached: { title: "A limit is used up", severity: "ticket", holdMinutes: HOURLY },
  sink_behind: { title: "Events do not reach a sink", severity: "ticket", holdMinutes: 30 },
  reconciliation_differs: { title: "Meters and ledger differ", severity: "ticket", holdMinutes: HOURLY },
  channel_failing: { title: "A channel for alerts fails", severity: "ticket", holdMinutes: HOUR },
} as const satisfies Readonly<Record<string, KindSpec>>;

export type AlertKind = keyof typeof ALERT_KINDS;

const MINUTE_MS = 60_000;
const RANKS: Readonly<Record<Severity, number>> = { page: 0, ticket: 1, notice: 2 };

export function isAlertKind(text: string): text is AlertKind {
  return Object.hasOwn(ALERT_KINDS, text);
}

export function isSeverity(text: string): text is Severity {
  return (SEVERITIES as readonly string[]).includes(text);
}

/** 0 is the worst. */
export function rankOf(severity: Severity): number {
  return RANKS[severity];
}

export function holdMsOf(kind: AlertKind): number {
  return ALERT_KINDS[kind].holdMinutes * MINUTE_MS;
}

/** Of the heading in `docs/operations.md`. */
export function runbookAnchorOf(kind: AlertKind): string {
  return `alert-${kind}`;
}
