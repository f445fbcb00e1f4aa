/**
 * What the platform asks for what Latchkey uses: Workers Paid, US dollars, as read on the date below. Pure data; the one place for prices.
 * Pages are under https://developers.cloudflare.com.
 */

/** Units of a bill. CPU is in ms, duration in GB-s, log events in lines. */
export const BILLED_UNITS = [
  "requests",
  "cpuMs",
  "kvReads",
  "kvWrites",
  "objectRequests",
  "objectGbSeconds",
  "rowsRead",
  "rowsWritten",
  "queueOperations",
  "logEvents",
] as const;
export type BilledUnit = (typeof BILLED_UNITS)[number];

/** How many of each; absent: none. */
export type Units = Readonly<Partial<Record<BilledUnit, number>>>;

export interface Price {
  /** One unit, in words for a table. */
  readonly label: string;
  readonly usdPerMillion: number;
  /** Units a month that are paid with the plan. */
  readonly included: number;
  /** Page with the price. */
  readonly source: string;
}

export const PRICES_READ_ON = "2026-11-23";

/** Workers Paid, a month. */
export const PLAN_USD_PER_MONTH = 5;

/** An object is charged for 128 MB, whatever it uses. */
export const OBJECT_GB = 0.128;

export const PRICE_SHEET: Readonly<Record<BilledUnit, Price>> = {
  requests: { label: "request", usdPerMillion: 0.3, included: 10e6, source: "/workers/platform/pricing/" },
  cpuMs: { label: "CPU ms", usdPerMillion: 0.02, included: 30e6, source: "/workers/platform/pricing/" },
  kvReads: { label: "KV read", usdPerMillion: 0.5, included: 10e6, source: "/kv/platform/pricing/" },
  kvWrites: { label: "KV write", usdPerMillion: 5, included: 1e6, source: "/kv/platform/pricing/" },
  objectRequests: {
    label: "DO request",
    usdPerMillion: 0.15,
    included: 1e6,
    source: "/durable-objects/platform/pricing/",
  },
  objectGbSeconds: {
    label: "DO GB-s",
    usdPerMillion: 12.5,
    included: 400e3,
    source: "/durable-objects/platform/pricing/",
  },
  rowsRead: { label: "row read", usdPerMillion: 0.001, included: 25e9, source: "/durable-objects/platform/pricing/" },
  rowsWritten: { label: "row written", usdPerMillion: 1, included: 50e6, source: "/durable-objects/platform/pricing/" },
  queueOperations: { label: "queue operation", usdPerMillion: 0.4, included: 1e6, source: "/queues/platform/pricing/" },
  logEvents: {
    label: "log event",
    usdPerMillion: 0.6,
    included: 20e6,
    source: "/workers/observability/logs/workers-logs/",
  },
};
