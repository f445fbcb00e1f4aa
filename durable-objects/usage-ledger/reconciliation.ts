import type { LedgerMarks } from "../../src/usage/segments.ts";
import { HOUR_SECONDS, bucketOf } from "../../src/usage/rollup.ts";
import type {
  Comparison,
  ComparisonQuery,
  ReconciliationResult,
  ReconciliationSlice,
  ReconciliationStatus,
} from "./api.ts";
import { readCostByLineageHour, readLineagesUsed } from "./read.ts";
import { readState } from "./state.ts";

/** What the ledger keeps of its comparison with the meters. Hours are epoch seconds in the tables, epoch ms over RPC. */

/** An hour is compared this long after its end, when the last leases were reported and the last events have come. */
const SETTLED_AFTER_MS = 150_000;
/** How long an hour with a difference is looked at again: late events may still heal it. */
const REVISIT_HOURS = 24;
const REVISIT_AFTER_MS = 600_000;
/** Whoever was used this long before an hour may have been used in it, with every event lost. */
const USED_AROUND_HOURS = 23;
const HOUR_MS = HOUR_SECONDS * 1_000;

/** The next lineages to compare, from the oldest hour that is over and not done. */
export function nextSlice(sql: SqlStorage, marks: LedgerMarks, now: number, limit: number): ReconciliationSlice | null {
  const open = openHour(sql, now);
  if (open === null) return null;
  const from = open.hour * 1_000;
  const to = from + HOUR_MS;
  const found = readLineagesUsed(
    sql,
    { from: from - USED_AROUND_HOURS * HOUR_MS, to, cursor: open.cursor, limit: limit + 1 },
    marks,
  );
  const lineageIds = found.slice(0, limit);
  const costs = new Map(
    readCostByLineageHour(sql, { lineageIds, from, to }, marks).map((of) => [of.lineageId, of.cost]),
  );
  return {
    hour: from,
    first: open.cursor === "",
    costs: lineageIds.map((lineageId) => ({ lineageId, cost: costs.get(lineageId) ?? 0 })),
    nextCursor: found.length > limit ? (lineageIds.at(-1) ?? null) : null,
  };
}

/** Whether there is an hour to compare: only then the journal must be folded first. */
export function isReconciliationDue(sql: SqlStorage, now: number): boolean {
  return openHour(sql, now) !== null;
}

function openHour(sql: SqlStorage, now: number): { readonly hour: number; readonly cursor: string } | null {
  const last = bucketOf(now - SETTLED_AFTER_MS, HOUR_SECONDS) - HOUR_SECONDS;
  const first = Math.max(readState(sql, "first_hour"), last - (REVISIT_HOURS - 1) * HOUR_SECONDS);
  const known = new Map(
    sql
      .exec<{ hour: number; cursor: string; done: number; unchecked: number; checkedAt: number; differing: number }>(
        `SELECT h.hour, h.cursor, h.done, h.unchecked, h.checked_at AS checkedAt,
           EXISTS (SELECT 1 FROM reconciliation r WHERE r.hour = h.hour) AS differing
         FROM reconciled_hour h WHERE h.hour >= ?`,
        first,
      )
      .toArray()
      .map((row) => [row.hour, row]),
  );
  for (let hour = first; hour <= last; hour += HOUR_SECONDS) {
    const row = known.get(hour);
    if (row === undefined) return { hour, cursor: "" };
    if (row.done === 0) return { hour, cursor: row.cursor };
    const isClean = row.differing === 0 && row.unchecked === 0;
    if (!isClean && row.checkedAt + REVISIT_AFTER_MS <= now) return { hour, cursor: "" };
  }
  return null;
}

/** To be called in a transaction; the same result twice is the same rows. Gives the rows written. */
export function recordResult(sql: SqlStorage, result: ReconciliationResult, now: number): number {
  const hour = bucketOf(result.hour, HOUR_SECONDS);
  let rows = 0;
  for (const { lineageId, meter, ledger } of result.compared) {
    rows +=
      meter === ledger
        ? sql.exec(`DELETE FROM reconciliation WHERE hour = ? AND lineage_id = ?`, hour, lineageId).rowsWritten
        : sql.exec(
            `INSERT OR REPLACE INTO reconciliation (hour, lineage_id, meter, ledger) VALUES (?, ?, ?, ?)`,
            hour,
            lineageId,
            meter,
            ledger,
          ).rowsWritten;
  }
  rows += sql.exec(
    `INSERT INTO reconciled_hour (hour, cursor, done, unchecked, checked_at) VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT (hour) DO UPDATE SET cursor = ?2, done = ?3, unchecked = ?4 + iif(?6, 0, unchecked), checked_at = ?5`,
    hour,
    result.nextCursor ?? "",
    result.nextCursor === null ? 1 : 0,
    result.unchecked,
    now,
    result.first ? 1 : 0,
  ).rowsWritten;
  return rows;
}

export function reconciliationStatus(sql: SqlStorage): ReconciliationStatus {
  const differing = sql
    .exec<{ units: number; lineages: number }>(
      `SELECT COALESCE(SUM(ABS(meter - ledger)), 0) AS units, COUNT(DISTINCT lineage_id) AS lineages FROM reconciliation`,
    )
    .one();
  const hours = sql
    .exec<{ newest: number | null; unchecked: number }>(
      `SELECT MAX(iif(done, hour, NULL)) AS newest, COALESCE(SUM(unchecked), 0) AS unchecked FROM reconciled_hour`,
    )
    .one();
  return {
    differenceUnits: differing.units,
    lineagesDiffering: differing.lineages,
    unchecked: hours.unchecked,
    newestHour: hours.newest === null ? null : hours.newest * 1_000,
  };
}

/** Hours that are too old to be known of were compared, or were before the ledger began. */
export function compare(sql: SqlStorage, { lineageIds, from, to }: ComparisonQuery, marks: LedgerMarks): Comparison {
  const first = Math.max(bucketOf(from, HOUR_SECONDS), readState(sql, "first_hour"), marks.hourHorizon);
  const end = Math.ceil(to / HOUR_MS) * HOUR_SECONDS;
  const done = new Set(
    sql
      .exec<{ hour: number }>(`SELECT hour FROM reconciled_hour WHERE done = 1 AND hour >= ? AND hour < ?`, first, end)
      .toArray()
      .map(({ hour }) => hour),
  );
  let until = first;
  while (until < end && done.has(until)) until += HOUR_SECONDS;
  const { units } = sql
    .exec<{ units: number }>(
      `SELECT COALESCE(SUM(ABS(meter - ledger)), 0) AS units FROM reconciliation
       WHERE hour >= ? AND hour < ? AND lineage_id IN (SELECT value FROM json_each(?))`,
      first,
      end,
      JSON.stringify(lineageIds),
    )
    .one();
  const { unchecked } = sql
    .exec<{ unchecked: number }>(
      `SELECT COALESCE(SUM(unchecked), 0) AS unchecked FROM reconciled_hour WHERE hour >= ? AND hour < ?`,
      first,
      end,
    )
    .one();
  return { comparedUntil: until * 1_000, differenceUnits: units, unchecked };
}
