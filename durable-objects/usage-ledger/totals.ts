import type { UsageEvent } from "../../src/usage/event.ts";

/** Sums by outcome since the ledger began, for the metrics. */

/** Requests of one outcome. */
export interface Total {
  readonly code: string;
  readonly statusClass: number;
  requests: number;
  cost: number;
  degraded: number;
  latencyMs: number;
}

export function totalsOf(events: readonly UsageEvent[]): readonly Total[] {
  const totals = new Map<string, Total>();
  for (const event of events) {
    const statusClass = Math.floor(event.status / 100);
    const degraded = event.degraded ? 1 : 0;
    const { code, cost, latencyMs } = event;
    addTotal(totals, { code, statusClass, requests: 1, cost, degraded, latencyMs });
  }
  return [...totals.values()];
}

export function addTotal(totals: Map<string, Total>, added: Readonly<Total>): void {
  const name = `${added.code} ${added.statusClass}`;
  const total = totals.get(name);
  if (total === undefined) {
    totals.set(name, { ...added });
    return;
  }
  total.requests += added.requests;
  total.cost += added.cost;
  total.degraded += added.degraded;
  total.latencyMs += added.latencyMs;
}

/** Gives the rows written. */
export function writeTotals(sql: SqlStorage, totals: Iterable<Total>): number {
  let rowsWritten = 0;
  for (const total of totals) {
    rowsWritten += sql.exec(
      `INSERT INTO outcome_total (code, status_class, requests, cost, degraded, latency_ms) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (code, status_class) DO UPDATE SET
         requests = requests + excluded.requests, cost = cost + excluded.cost,
         degraded = degraded + excluded.degraded, latency_ms = latency_ms + excluded.latency_ms`,
      total.code,
      total.statusClass,
      total.requests,
      total.cost,
      total.degraded,
      total.latencyMs,
    ).rowsWritten;
  }
  return rowsWritten;
}
