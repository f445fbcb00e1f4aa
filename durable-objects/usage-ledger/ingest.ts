import { LAST_USE_STEP_MS } from "../../src/constants.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { isForgotten } from "../../src/usage/parse-batch.ts";
import { sumByMinute } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import type { BatchOutcome, IngestAnswer, KeyUse, LedgerBatch } from "./api.ts";
import { keepEntry } from "./journal.ts";
import type { SeriesIds } from "./sums.ts";
import { totalsOf } from "./sums.ts";

/** Counts the batches that were not counted yet. To be called in a transaction, after `rollUp`. */
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
  rowsWritten += keepEntry(sql, { groups: [...sumByMinute(fresh).values()], totals: totalsOf(fresh) }, at, seriesIds);
  const uses = latestUses(batches.flatMap((batch) => batch.events));
  rowsWritten += writeUses(sql, uses);
  return { outcomes, uses: untoldOf(sql, uses), rowsWritten };
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

/** A row changes at most once in `LAST_USE_STEP_MS` and key, not with each batch. */
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
