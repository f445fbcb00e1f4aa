import type { KeyRegistryApi, RegistryStatus } from "../../durable-objects/key-registry/api.ts";
import type { LedgerStatus } from "../../durable-objects/usage-ledger/api.ts";
import type { LedgerNamespace } from "../../durable-objects/usage-ledger/client.ts";
import { askLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { METRICS_TIMEOUT_MS } from "../constants.ts";
import { PROBLEMS } from "../http/codes.ts";
import { within } from "../platform/clock.ts";
import { counters } from "../platform/counters.ts";
import { logError } from "../platform/log.ts";
import type { Family, Sample } from "./metrics-text.ts";
import { METRICS_CONTENT_TYPE, renderMetrics } from "./metrics-text.ts";
import { isAllowed } from "./rollup.ts";
import { ledgerNames } from "./shard.ts";

/**
 * `/_latchkey/metrics`. Isolates come and go and cannot be scraped one by one: what happened to requests is counted in the
 * ledgers, what keys there are in the registry. The `latchkey_isolate_…` figures are those of the isolate that answered.
 */

export interface MetricsEnv {
  readonly USAGE: { metrics(): Promise<{ readonly backlogCount: number }> };
  readonly USAGE_LEDGER: LedgerNamespace;
  readonly KEY_REGISTRY: { getByName(name: string): unknown };
}

/** What could be read; `null` for a part that did not answer in time. */
export interface MetricsInput {
  readonly workspace: string;
  readonly ledgers: readonly LedgerStatus[] | null;
  readonly registry: RegistryStatus | null;
  readonly queueBacklog: number | null;
  readonly isolate: Readonly<Record<string, number>>;
  /** What is computed elsewhere; absent: nobody asked for it. */
  readonly measures?: readonly Family[] | null;
}

/** The figures of one workspace. A part that does not answer is missing from them, and says so in `latchkey_part_up`. */
export async function collectMetrics(
  env: MetricsEnv,
  workspace: string,
  readMeasures: () => Promise<readonly Family[]>,
): Promise<Response> {
  const [ledgers, registry, queueBacklog, measures] = await Promise.all([
    orNull("ledger", () =>
      Promise.all(
        ledgerNames(workspace).map((name) =>
          askLedger(ledgerByName(env.USAGE_LEDGER, name).status(), METRICS_TIMEOUT_MS),
        ),
      ),
    ),
    // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
    orNull("registry", () =>
      within((env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi).status(), METRICS_TIMEOUT_MS, "the registry"),
    ),
    orNull(
      "queue",
      async () => (await within(env.USAGE.metrics(), METRICS_TIMEOUT_MS, "the usage queue")).backlogCount,
    ),
    orNull("measures", () => within(readMeasures(), METRICS_TIMEOUT_MS, "the measures")),
  ]);
  const text = renderMetrics(
    metricFamilies({ workspace, ledgers, registry, queueBacklog, isolate: counters, measures }),
  );
  return new Response(text, { headers: { "Content-Type": METRICS_CONTENT_TYPE, "Cache-Control": "no-store" } });
}

async function orNull<T>(part: string, read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    logError(error, { message: "a part of the metrics is missing", part });
    return null;
  }
}

/** Labels are few and known: workspace (one), outcome code (the public list), status class, key status. Never a key, an owner or a route. */
export function metricFamilies(input: MetricsInput): readonly Family[] {
  return [
    {
      name: "latchkey_part_up",
      type: "gauge",
      help: "Whether this part answered the scrape.",
      samples: [
        { labels: { part: "ledger" }, value: input.ledgers === null ? 0 : 1 },
        { labels: { part: "registry" }, value: input.registry === null ? 0 : 1 },
        { labels: { part: "queue" }, value: input.queueBacklog === null ? 0 : 1 },
        ...(input.measures === undefined
          ? []
          : [{ labels: { part: "measures" }, value: input.measures === null ? 0 : 1 }]),
      ],
    },
    ...requestFamilies(input),
    ...reconciliationFamilies(input),
    ...registryFamilies(input),
    ...(input.measures ?? []),
    gauge(
      "latchkey_usage_queue_backlog_messages",
      "Messages waiting in the usage queue.",
      input.queueBacklog === null ? [] : [{ value: input.queueBacklog }],
    ),
    ...Object.entries(input.isolate).map(([name, value]) =>
      counter(
        `latchkey_isolate_${snakeCase(name)}_total`,
        "Of the isolate that answered this scrape, since it started.",
        [{ value }],
      ),
    ),
  ];
}

interface OutcomeSums {
  readonly code: string;
  readonly statusClass: string;
  requests: number;
  cost: number;
  degraded: number;
  latencyMs: number;
}

function requestFamilies({ workspace, ledgers }: MetricsInput): readonly Family[] {
  if (ledgers === null) return [];
  const outcomes = sumOutcomes(ledgers);
  const sum = (of: (outcome: OutcomeSums) => number): readonly Sample[] => [
    { labels: { workspace }, value: outcomes.reduce((total, outcome) => total + of(outcome), 0) },
  ];
  return [
    counter(
      "latchkey_requests_total",
      "Requests by outcome code and status class, as counted by the ledger.",
      outcomes.map(({ code, statusClass, requests }) => ({
        labels: { workspace, code, status_class: statusClass },
        value: requests,
      })),
    ),
    counter(
      "latchkey_requests_allowed_total",
      "Requests that were admitted.",
      sum((of) => (isAllowed(of.code) ? of.requests : 0)),
    ),
    counter(
      "latchkey_requests_refused_total",
      "Requests that Latchkey refused.",
      sum((of) => (isAllowed(of.code) ? 0 : of.requests)),
    ),
    counter(
      "latchkey_requests_limited_total",
      "Requests refused with 429.",
      sum((of) => (LIMIT_CODES.has(of.code) ? of.requests : 0)),
    ),
    counter(
      "latchkey_requests_degraded_total",
      "Requests admitted by policy while the meter could not be asked.",
      sum((of) => of.degraded),
    ),
    counter(
      "latchkey_cost_units_total",
      "Cost units charged.",
      sum((of) => of.cost),
    ),
    counter(
      "latchkey_request_duration_seconds_total",
      "Sum of request durations; divide its rate by that of latchkey_requests_total.",
      sum((of) => of.latencyMs / 1_000),
    ),
    gauge("latchkey_ledger_rows_written", "Rows written by the ledger objects since they were started.", [
      { labels: { workspace }, value: ledgers.reduce((total, ledger) => total + ledger.sinceStart.rowsWritten, 0) },
    ]),
    gauge(
      "latchkey_ledger_duplicate_batches",
      "Batches that came again and were not counted again, since the ledger objects were started.",
      [{ labels: { workspace }, value: ledgers.reduce((total, ledger) => total + ledger.sinceStart.duplicates, 0) }],
    ),
  ];
}

const LIMIT_CODES: ReadonlySet<string> = new Set(
  Object.entries(PROBLEMS).flatMap(([code, { status }]) => (status === 429 ? [code] : [])),
);

function sumOutcomes(ledgers: readonly LedgerStatus[]): readonly OutcomeSums[] {
  const sums = new Map<string, OutcomeSums>();
  for (const total of ledgers.flatMap((ledger) => ledger.totals)) {
    const code = total.code === "allowed" || Object.hasOwn(PROBLEMS, total.code) ? total.code : "other";
    const statusClass = total.statusClass >= 1 && total.statusClass <= 5 ? `${total.statusClass}xx` : "other";
    const name = `${code} ${statusClass}`;
    const known = sums.get(name) ?? { code, statusClass, requests: 0, cost: 0, degraded: 0, latencyMs: 0 };
    known.requests += total.requests;
    known.cost += total.cost;
    known.degraded += total.degraded;
    known.latencyMs += total.latencyMs;
    sums.set(name, known);
  }
  return [...sums.values()];
}

function reconciliationFamilies({ workspace, ledgers }: MetricsInput): readonly Family[] {
  if (ledgers === null) return [];
  const all = ledgers.map((ledger) => ledger.reconciliation);
  const sum = (of: (status: LedgerStatus["reconciliation"]) => number): readonly Sample[] => [
    { labels: { workspace }, value: all.reduce((total, status) => total + of(status), 0) },
  ];
  const hours = all.flatMap(({ newestHour }) => (newestHour === null ? [] : [newestHour]));
  return [
    gauge(
      "latchkey_reconciliation_difference_units",
      "Sum of |meter - ledger| over lineages and hours; 0 is right.",
      sum((of) => of.differenceUnits),
    ),
    gauge(
      "latchkey_reconciliation_lineages_differing",
      "Lineages with a difference.",
      sum((of) => of.lineagesDiffering),
    ),
    gauge(
      "latchkey_reconciliation_lineages_unchecked",
      "Lineages and hours whose meter did not answer.",
      sum((of) => of.unchecked),
    ),
    gauge(
      "latchkey_reconciliation_newest_hour_timestamp_seconds",
      "Start of the newest hour that is compared.",
      hours.length === 0 ? [] : [{ labels: { workspace }, value: Math.min(...hours) / 1_000 }],
    ),
  ];
}

function registryFamilies({ workspace, registry }: MetricsInput): readonly Family[] {
  if (registry === null) return [];
  const { revocationDelivery: delivery } = registry;
  const one = (value: number | null): readonly Sample[] => (value === null ? [] : [{ labels: { workspace }, value }]);
  return [
    gauge(
      "latchkey_keys",
      "Keys by status.",
      Object.entries(registry.keysByStatus).map(([status, value]) => ({ labels: { workspace, status }, value })),
    ),
    counter("latchkey_keys_issued_total", "Keys ever issued or imported.", one(registry.keysIssuedTotal)),
    gauge(
      "latchkey_outbox_pending",
      "Changes that are still to be delivered to meters or KV.",
      one(registry.outboxPending),
    ),
    gauge("latchkey_outbox_oldest_seconds", "Age of the oldest of them.", one(registry.outboxOldestSeconds)),
    gauge(
      "latchkey_revocation_delivery_last_seconds",
      "From the last revocation's commit to the meter's acknowledgement.",
      one(delivery.lastSeconds),
    ),
    gauge(
      "latchkey_revocation_delivery_max_seconds",
      "The longest such time since the registry object was started.",
      one(delivery.maxSeconds),
    ),
    counter(
      "latchkey_revocations_delivered_total",
      "Revocations that the meter acknowledged since the registry object was started.",
      one(delivery.count),
    ),
  ];
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: "counter", help, samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: "gauge", help, samples };
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
