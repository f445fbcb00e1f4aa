import { BATCH_MEMORY_DAYS } from "../../src/constants.ts";
import { idFloor } from "../../src/platform/ids.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";

/**
 * Ids of batches that were counted: what makes a batch that comes again harmless. An id begins with its time, and those that begin
 * alike lie in one row (or a few): a row for each id would cost more than all else of a busy key.
 */

/** Of an id: seven of the ten characters of its time, so that ids of the same 33 s begin alike. */
const HEAD_CHARACTERS = BATCH_ID_PREFIX.length + 7;
/** Heads that are kept in memory. Nearly all ids have one of the newest two. */
const HEADS_IN_MEMORY = 8;
/** A row holds 2 MB; the rest of an id takes 20 bytes. */
const IDS_PER_ROW = 50_000;
const DAY_MS = 86_400_000;

/** Known ids by their heads: a copy of what is stored, the journal's included. */
export type KnownBatches = Map<string, Set<string>>;

/**
 * Whether this batch was not counted before; from now on it counts as known, so it must be put into the journal in the same transaction.
 *
 * @param unfolded the ids that the journal holds.
 */
export function isNewBatch(
  sql: SqlStorage,
  batchId: string,
  known: KnownBatches,
  unfolded: () => Iterable<string>,
): boolean {
  const head = batchId.slice(0, HEAD_CHARACTERS);
  let ids = known.get(head);
  if (ids === undefined) {
    ids = storedIds(sql, head);
    for (const id of unfolded()) if (id.startsWith(head)) ids.add(id);
    const [oldest] = known.keys();
    if (known.size >= HEADS_IN_MEMORY && oldest !== undefined) known.delete(oldest);
    known.set(head, ids);
  }
  if (ids.has(batchId)) return false;
  ids.add(batchId);
  return true;
}

function storedIds(sql: SqlStorage, head: string): Set<string> {
  const ids = new Set<string>();
  for (const { rests } of sql.exec<{ rests: string }>(`SELECT rests FROM batch_ids WHERE head = ?`, head)) {
    for (const rest of rests.split(" ")) ids.add(head + rest);
  }
  // Older versions kept a row for each. Sorts behind every id that begins so: no id has a "~".
  for (const row of sql.exec<{ id: string }>(
    `SELECT batch_id AS id FROM batch WHERE batch_id >= ? AND batch_id < ?`,
    head,
    `${head}~`,
  )) {
    ids.add(row.id);
  }
  return ids;
}

/** Moves ids out of the journal. To be called in a transaction. Gives the rows written. */
export function storeBatchIds(sql: SqlStorage, batchIds: Iterable<string>): number {
  const rests = new Map<string, string[]>();
  for (const id of batchIds) {
    const head = id.slice(0, HEAD_CHARACTERS);
    const rest = id.slice(HEAD_CHARACTERS);
    const others = rests.get(head);
    if (others === undefined) rests.set(head, [rest]);
    else others.push(rest);
  }
  let rowsWritten = 0;
  for (const [head, all] of rests) {
    for (let from = 0; from < all.length; from += IDS_PER_ROW) {
      rowsWritten += sql.exec(
        `INSERT INTO batch_ids (head, part, rests)
         VALUES (?1, (SELECT COALESCE(MAX(part), 0) + 1 FROM batch_ids WHERE head = ?1), ?2)`,
        head,
        all.slice(from, from + IDS_PER_ROW).join(" "),
      ).rowsWritten;
    }
  }
  return rowsWritten;
}

/** Lets go of ids that are too old to come again. To be called in a transaction. */
export function sweepBatchIds(sql: SqlStorage, now: number): number {
  const floor = idFloor(BATCH_ID_PREFIX, Math.max(0, now - BATCH_MEMORY_DAYS * DAY_MS));
  return (
    sql.exec(`DELETE FROM batch_ids WHERE head < ?`, floor.slice(0, HEAD_CHARACTERS)).rowsWritten +
    sql.exec(`DELETE FROM batch WHERE batch_id < ?`, floor).rowsWritten
  );
}

export function hasBatchIds(sql: SqlStorage): boolean {
  return sql.exec(`SELECT 1 FROM batch_ids UNION ALL SELECT 1 FROM batch LIMIT 1`).toArray().length > 0;
}
