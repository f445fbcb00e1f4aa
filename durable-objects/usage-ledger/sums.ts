import { createHash } from "node:crypto";
import type { UsageEvent } from "../../src/usage/event.ts";
import type { MinuteSum, Sums } from "../../src/usage/rollup.ts";
import { DAY_SECONDS, HOUR_SECONDS, addSums, emptySums } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";

/** Sums of events as rows. */

/** Ids of series that this object has seen lately: a copy of rows that never change. */
export type SeriesIds = Map<string, number>;

const SERIES_IDS_ENTRIES = 50_000;
const DIGEST_CHARACTERS = 22;

interface Row {
  readonly bucket: number;
  readonly series: number;
  readonly sums: Sums;
}

/** Gives the rows written: one for each group, and one more for an hour or day that is summed already. */
export function writeSums(
  sql: SqlStorage,
  groups: Iterable<MinuteSum>,
  marks: LedgerMarks,
  seriesIds: SeriesIds,
): number {
  let rowsWritten = 0;
  const tables = {
    usage_minute: new Map<string, Row>(),
    usage_hour: new Map<string, Row>(),
    usage_day: new Map<string, Row>(),
  };
  for (const group of groups) {
    const found = seriesId(sql, group, seriesIds);
    rowsWritten += found.rowsWritten;
    const hour = group.minute - (group.minute % HOUR_SECONDS);
    const day = group.minute - (group.minute % DAY_SECONDS);
    if (group.minute >= marks.minuteHorizon) collect(tables.usage_minute, group.minute, found.id, group.sums);
    // Late: the hour is summed already, so that it must be told too; likewise the day.
    if (hour < marks.hourMark && hour >= marks.hourHorizon) collect(tables.usage_hour, hour, found.id, group.sums);
    if (day < marks.dayMark && day >= marks.dayHorizon) collect(tables.usage_day, day, found.id, group.sums);
  }
  for (const [table, rows] of Object.entries(tables)) {
    for (const row of rows.values()) rowsWritten += addRow(sql, table, row);
  }
  return rowsWritten;
}

function collect(rows: Map<string, Row>, bucket: number, series: number, sums: Sums): void {
  const name = `${bucket} ${series}`;
  let row = rows.get(name);
  if (row === undefined) {
    row = { bucket, series, sums: emptySums() };
    rows.set(name, row);
  }
  addSums(row.sums, sums);
}

function addRow(sql: SqlStorage, table: string, { bucket, series, sums }: Row): number {
  return sql.exec(
    `INSERT INTO ${table} (bucket, series, requests, allowed, refused, cost, bytes_in, bytes_out, latency_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (bucket, series) DO UPDATE SET
       requests = requests + excluded.requests, allowed = allowed + excluded.allowed, refused = refused + excluded.refused,
       cost = cost + excluded.cost, bytes_in = bytes_in + excluded.bytes_in, bytes_out = bytes_out + excluded.bytes_out,
       latency_ms = latency_ms + excluded.latency_ms`,
    bucket,
    series,
    sums.requests,
    sums.allowed,
    sums.refused,
    sums.cost,
    sums.bytesIn,
    sums.bytesOut,
    sums.latencyMs,
  ).rowsWritten;
}

/** The number that stands for a set of dimensions; made when it is first seen. */
function seriesId(
  sql: SqlStorage,
  group: MinuteSum,
  seriesIds: SeriesIds,
): { readonly id: number; readonly rowsWritten: number } {
  const known = seriesIds.get(group.seriesKey);
  if (known !== undefined) return { id: known, rowsWritten: 0 };
  const digest = createHash("sha256").update(group.seriesKey).digest("base64url").slice(0, DIGEST_CHARACTERS);
  const of = group.dimensions;
  const { rowsWritten } = sql.exec(
    `INSERT OR IGNORE INTO series (digest, key_id, lineage_id, owner, environment, route, status, code, country)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    digest,
    of.keyId,
    of.lineageId,
    of.owner,
    of.environment,
    of.route,
    of.status,
    of.code,
    of.country,
  );
  const { id } = sql.exec<{ id: number }>(`SELECT id FROM series WHERE digest = ?`, digest).one();
  if (seriesIds.size >= SERIES_IDS_ENTRIES) seriesIds.clear();
  seriesIds.set(group.seriesKey, id);
  return { id, rowsWritten };
}

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
