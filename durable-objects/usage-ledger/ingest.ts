import type { UsageEvent } from "../../src/usage/event.ts";
import { healthOf } from "../../src/usage/health.ts";
import { isForgotten } from "../../src/usage/parse-batch.ts";
import { sumByMinute } from "../../src/usage/rollup.ts";
import type { BatchOutcome, IngestAnswer, LedgerBatch } from "./api.ts";
import { isNewBatch } from "./batch-ids.ts";
import { keepEntry, unfoldedBatchIds, unfoldedUses } from "./journal.ts";
import type { LedgerMemory } from "./memory.ts";
import { noteRevocations } from "./revocations.ts";
import { totalsOf } from "./totals.ts";
import { noteUses } from "./uses.ts";

/** Counts the batches that were not counted yet, all of them in one row. To be called in a transaction. */
export function ingestBatches(
  sql: SqlStorage,
  batches: readonly LedgerBatch[],
  memory: LedgerMemory,
  now: number,
): IngestAnswer {
  const outcomes: BatchOutcome[] = [];
  const batchIds: string[] = [];
  const fresh: UsageEvent[] = [];
  for (const { batchId, events } of batches) {
    if (isForgotten(batchId, now)) {
      outcomes.push("forgotten");
      continue;
    }
    const isNew = isNewBatch(sql, batchId, memory.batches, () => unfoldedBatchIds(sql));
    outcomes.push(isNew ? "ingested" : "duplicate");
    if (!isNew) continue;
    batchIds.push(batchId);
    for (const event of events) fresh.push(event);
  }
  const latest = latestUses(batches.flatMap((batch) => batch.events));
  const { moved, untold } = noteUses(sql, latest, memory.uses, () => unfoldedUses(sql));
  if (batchIds.length === 0 && moved.length === 0) return { outcomes, uses: untold, rowsWritten: 0 };
  const groups = [...sumByMinute(fresh).values()];
  const entry = { batchIds, groups, totals: totalsOf(fresh), health: healthOf(fresh), uses: moved };
  const rowsWritten = noteRevocations(sql, fresh, memory.revocations, now) + keepEntry(sql, entry, now, memory.journal);
  return { outcomes, uses: untold, rowsWritten };
}

/** The latest use of each key. Requests refused for the key's own state (`key_…`) are tries, not uses. */
function latestUses(events: readonly UsageEvent[]): ReadonlyMap<string, number> {
  const latest = new Map<string, number>();
  for (const { keyId, time, code } of events) {
    if (keyId === null || code.startsWith("key_")) continue;
    if (time > (latest.get(keyId) ?? -1)) latest.set(keyId, time);
  }
  return latest;
}
