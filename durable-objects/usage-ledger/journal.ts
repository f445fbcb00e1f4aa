import { addSums, dimensionsIn, emptySums } from "../../src/usage/rollup.ts";
import type { MinuteSum, Sums } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import { addTotal, writeSums, writeTotals } from "./sums.ts";
import type { SeriesIds, Total } from "./sums.ts";

/**
 * What was ingested lately, a row for each ingest, before it becomes a row for each minute and series. A key that is used
 * once a second is in sixty ingests a minute: without a journal that would be sixty rows, and with it it is one.
 */
export interface Entry {
  readonly groups: readonly MinuteSum[];
  readonly totals: readonly Total[];
}

/** Folded by the first ingest after this long; by every read at once. */
const FOLD_AFTER_MS = 60_000;
/** So few groups cost no more rows by themselves than on a detour. */
const DIRECT_GROUPS = 2;
/** A row holds 2 MB; a group is about 250 bytes. */
const GROUPS_PER_ROW = 4_000;

/** What stands in a row, as JSON: [minute, seriesKey, requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs], and totals. */
interface StoredEntry {
  readonly g: readonly (readonly [number, string, number, number, number, number, number, number, number])[];
  readonly t: readonly Total[];
}

/** To be called in a transaction. Gives the rows written. */
export function keepEntry(
  sql: SqlStorage,
  { groups, totals }: Entry,
  { marks, now }: { readonly marks: LedgerMarks; readonly now: number },
  seriesIds: SeriesIds,
): number {
  if (groups.length <= DIRECT_GROUPS) return writeSums(sql, groups, marks, seriesIds) + writeTotals(sql, totals);
  let rowsWritten = 0;
  for (let from = 0; from < groups.length; from += GROUPS_PER_ROW) {
    const g = groups.slice(from, from + GROUPS_PER_ROW).map(pack);
    const entry: StoredEntry = { g, t: from === 0 ? totals : [] };
    const text = JSON.stringify(entry);
    rowsWritten += sql.exec(`INSERT INTO journal (at, entry) VALUES (?, ?)`, now, text).rowsWritten;
  }
  return rowsWritten;
}

export function isFoldDue(sql: SqlStorage, now: number): boolean {
  const { oldest } = sql.exec<{ oldest: number | null }>(`SELECT MIN(at) AS oldest FROM journal`).one();
  // A clock that stepped back must not put it off for ever.
  return oldest !== null && Math.abs(now - oldest) >= FOLD_AFTER_MS;
}

/**
 * Turns the journal into rows by minute, and empties it. To be called in a transaction, and before `rollUp`: the marks must
 * be those of before it. A second call finds nothing to do. Gives the rows written.
 */
export function fold(sql: SqlStorage, marks: LedgerMarks, seriesIds: SeriesIds): number {
  const groups = new Map<string, MinuteSum>();
  const totals = new Map<string, Total>();
  let last = 0;
  for (const { seq, entry } of sql.exec<{ seq: number; entry: string }>(
    `SELECT seq, entry FROM journal ORDER BY seq`,
  )) {
    last = seq;
    // Written by `keepEntry`, so its shape is known.
    const stored = JSON.parse(entry) as StoredEntry;
    for (const [minute, seriesKey, ...sums] of stored.g) addGroup(groups, minute, seriesKey, unpackSums(sums));
    for (const total of stored.t) addTotal(totals, total);
  }
  if (last === 0) return 0;
  return (
    writeSums(sql, groups.values(), marks, seriesIds) +
    writeTotals(sql, totals.values()) +
    sql.exec(`DELETE FROM journal WHERE seq <= ?`, last).rowsWritten
  );
}

function addGroup(groups: Map<string, MinuteSum>, minute: number, seriesKey: string, sums: Sums): void {
  const name = `${minute}${seriesKey}`;
  let group = groups.get(name);
  if (group === undefined) {
    group = { minute, seriesKey, dimensions: dimensionsIn(seriesKey), sums: emptySums() };
    groups.set(name, group);
  }
  addSums(group.sums, sums);
}

function pack({ minute, seriesKey, sums }: MinuteSum): StoredEntry["g"][number] {
  const { requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs } = sums;
  return [minute, seriesKey, requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs];
}

function unpackSums(packed: readonly [number, number, number, number, number, number, number]): Sums {
  const [requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs] = packed;
  return { requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs };
}
