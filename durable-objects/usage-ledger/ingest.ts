import { createHash } from "node:crypto";
import { LAST_USE_STEP_MS } from "../../src/constants.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { isForgotten } from "../../src/usage/parse-batch.ts";
import type { MinuteSum, Sums } from "../../src/usage/rollup.ts";
import { DAY_SECONDS, HOUR_SECONDS, addSums, emptySums, sumByMinute } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import type { BatchOutcome, IngestAnswer, KeyUse, LedgerBatch } from "./api.ts";

/** Ids of series that this object has seen lately: a copy of rows that never change. */
export type SeriesIds = Map<string, number>;

const SERIES_IDS_ENTRIES = 50_000;
const DIGEST_CHARACTERS = 22;

/**
 * Counts the batches that were not counted yet. To be called in a transaction, after `rollUp`. Everything is summed in memory
 * first, so that the rows written follow the distinct groups and not the events.
 */
export function ingestBatches(
  sql: SqlStorage,
  batches: readonly LedgerBatch[],
  at: { readonly marks: LedgerMarks; readonly now: number },
  seriesIds: SeriesIds,
): IngestAnswer {
  let rowsWritten = 0;
  const outcomes: BatchOutcome[] = [];
  const fresh: UsageEvent[] = [];
  for (const batch of batches) {
    if (isForgotten(batch.batchId, at.now)) {
      outcomes.push("forgotten");
      continue;
    }
    const counted = sql.exec(`INSERT OR IGNORE INTO batch (batch_id) VALUES (?) RETURNING 1`, batch.batchId);
    const isNew = counted.toArray().length === 1;
    rowsWritten += counted.rowsWritten;
    outcomes.push(isNew ? "ingested" : "duplicate");
    if (isNew) for (const event of batch.events) fresh.push(event);
  }
  rowsWritten += writeSums(sql, sumByMinute(fresh).values(), at.marks, seriesIds);
  rowsWritten += writeTotals(sql, fresh);
  const uses = latestUses(batches.flatMap((batch) => batch.events));
  rowsWritten += writeUses(sql, uses);
  return { outcomes, uses: untoldOf(sql, uses), rowsWritten };
}

interface Row {
  readonly bucket: number;
  readonly series: number;
  readonly sums: Sums;
}

function writeSums(sql: SqlStorage, groups: Iterable<MinuteSum>, marks: LedgerMarks, seriesIds: SeriesIds): number {
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

interface Total {
  requests: number;
  cost: number;
  degraded: number;
  latencyMs: number;
}

function writeTotals(sql: SqlStorage, events: readonly UsageEvent[]): number {
  const totals = new Map<string, Total & { readonly code: string; readonly statusClass: number }>();
  for (const event of events) {
    const statusClass = Math.floor(event.status / 100);
    const name = `${event.code} ${statusClass}`;
    let total = totals.get(name);
    if (total === undefined) {
      total = { code: event.code, statusClass, requests: 0, cost: 0, degraded: 0, latencyMs: 0 };
      totals.set(name, total);
    }
    total.requests += 1;
    total.cost += event.cost;
    total.degraded += event.degraded ? 1 : 0;
    total.latencyMs += event.latencyMs;
  }
  let rowsWritten = 0;
  for (const total of totals.values()) {
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

/** The latest use of each key. Requests refused for the key's own state (`key_…`) are tries, not uses. */
function latestUses(events: readonly UsageEvent[]): readonly KeyUse[] {
  const latest = new Map<string, number>();
  for (const { keyId, time, code } of events) {
    if (keyId === null || code.startsWith("key_")) continue;
    if (time > (latest.get(keyId) ?? -1)) latest.set(keyId, time);
  }
  return Array.from(latest, ([keyId, time]) => ({ keyId, time }));
}

/** A row changes at most once a minute and key, not with each batch. */
function writeUses(sql: SqlStorage, uses: readonly KeyUse[]): number {
  let rowsWritten = 0;
  for (const use of uses) {
    rowsWritten += sql.exec(
      `INSERT INTO key_use (key_id, last_used, told) VALUES (?, ?, 0)
       ON CONFLICT (key_id) DO UPDATE SET last_used = excluded.last_used WHERE excluded.last_used >= last_used + ?`,
      use.keyId,
      use.time,
      LAST_USE_STEP_MS,
    ).rowsWritten;
  }
  return rowsWritten;
}

/** Which of these keys have a use that the registry did not confirm: from storage, so that a lost call is made up for. */
function untoldOf(sql: SqlStorage, uses: readonly KeyUse[]): readonly KeyUse[] {
  const keyIds = JSON.stringify(uses.map((use) => use.keyId));
  return sql
    .exec<{ keyId: string; time: number }>(
      `SELECT key_id AS keyId, last_used AS time FROM key_use
       WHERE key_id IN (SELECT value FROM json_each(?)) AND told < last_used`,
      keyIds,
    )
    .toArray();
}

export function confirmUses(sql: SqlStorage, uses: readonly KeyUse[]): number {
  let rowsWritten = 0;
  for (const use of uses) {
    rowsWritten += sql.exec(
      `UPDATE key_use SET told = ? WHERE key_id = ? AND told < ?`,
      use.time,
      use.keyId,
      use.time,
    ).rowsWritten;
  }
  return rowsWritten;
}

export function pendingUses(sql: SqlStorage, limit: number): readonly KeyUse[] {
  return sql
    .exec<{ keyId: string; time: number }>(
      `SELECT key_id AS keyId, last_used AS time FROM key_use WHERE told < last_used LIMIT ?`,
      limit,
    )
    .toArray();
}
