import { createHash } from "node:crypto";
import type { EpochMs } from "../../src/keys/record.ts";
import { newId } from "../../src/platform/ids.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { Actor, AuditEntry, AuditFilter, Page, RegistryError } from "./api.ts";
import { AUDIT_CHUNK_ROWS } from "./bounds.ts";
import { canonicalJson } from "../../src/canonical-json.ts";
import { clampLimit, decodeCursor, encodeCursor, toPage } from "./cursor.ts";
import { readJson, toTimestamp } from "./edge-record.ts";

/**
 * The audit chain: one entry a change, in the change's own transaction. Each entry's hash is the SHA-256 (hex) of the
 * previous hash, a line feed, and the entry's canonical JSON without the two hashes. The head stands apart, so that
 * entries missing at the end are noticed too. Whoever wants proof against the operator himself keeps heads elsewhere.
 */

export const GENESIS_HASH = "0".repeat(64);

export interface AuditInput {
  readonly action: string;
  readonly actor: Actor;
  readonly subject: AuditEntry["subject"];
  readonly before: unknown;
  readonly after: unknown;
  readonly note: string | null;
}

type AuditRow = {
  readonly sequence: number;
  readonly id: string;
  readonly time: number;
  readonly action: string;
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly address: string | null;
  readonly request_id: string | null;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly before: string;
  readonly after: string;
  readonly note: string | null;
  readonly previous_hash: string;
  readonly hash: string;
};

interface Head {
  readonly sequence: number;
  readonly hash: string;
  readonly time: EpochMs;
}

export function appendAudit(sql: SqlStorage, input: AuditInput, now: EpochMs): void {
  const head = readHead(sql);
  // Times in the chain never go back: `from` and `to` rely on it.
  const time = Math.max(now, head.time);
  const entry = {
    id: newId("aud_", time),
    sequence: head.sequence + 1,
    time: toTimestamp(time),
    // Picked one by one: what a caller adds to its actor does not get into the chain.
    actor: {
      kind: input.actor.kind,
      id: input.actor.id,
      address: input.actor.address,
      requestId: input.actor.requestId,
    },
    action: input.action,
    subject: input.subject,
    before: input.before,
    after: input.after,
    note: input.note,
  };
  const hash = hashEntry(entry, head.hash);
  sql.exec(
    `INSERT INTO audit (sequence, id, time, action, actor_kind, actor_id, address, request_id,
       subject_kind, subject_id, before, after, note, previous_hash, hash)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    entry.sequence,
    entry.id,
    time,
    entry.action,
    entry.actor.kind,
    entry.actor.id,
    entry.actor.address,
    entry.actor.requestId,
    entry.subject.kind,
    entry.subject.id,
    JSON.stringify(entry.before),
    JSON.stringify(entry.after),
    entry.note,
    head.hash,
    hash,
  );
  sql.exec(
    `INSERT INTO audit_head (one, sequence, hash) VALUES (1, ?, ?)
     ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash`,
    entry.sequence,
    hash,
  );
}

function readHead(sql: SqlStorage): Head {
  const head = sql
    .exec<{ sequence: number; hash: string; time: number | null }>(
      "SELECT h.sequence, h.hash, a.time FROM audit_head h LEFT JOIN audit a ON a.sequence = h.sequence",
    )
    .toArray()[0];
  return { sequence: head?.sequence ?? 0, hash: head?.hash ?? GENESIS_HASH, time: head?.time ?? 0 };
}

function hashEntry(entry: Omit<AuditEntry, "previousHash" | "hash">, previousHash: string): string {
  return createHash("sha256")
    .update(`${previousHash}\n${canonicalJson(entry)}`)
    .digest("hex");
}

function toEntry(row: AuditRow): AuditEntry {
  return {
    id: row.id,
    sequence: row.sequence,
    time: toTimestamp(row.time),
    action: row.action,
    actor: {
      // Written from an `Actor`; the same goes for the subject's kind.
      kind: row.actor_kind as Actor["kind"],
      id: row.actor_id,
      address: row.address,
      requestId: row.request_id,
    },
    subject: { kind: row.subject_kind as AuditEntry["subject"]["kind"], id: row.subject_id },
    before: readJson<unknown>(row.before),
    after: readJson<unknown>(row.after),
    note: row.note,
    previousHash: row.previous_hash,
    hash: row.hash,
  };
}

/** Newest first. One index drives: the subject's, else the actor's, else the action's; `from` and `to` narrow it. */
export function listAudit(
  sql: SqlStorage,
  filter: AuditFilter,
  limit: number,
  cursor: string | null,
): Result<Page<AuditEntry>, RegistryError> {
  const place = decodeCursor(cursor, filter, ["number"]);
  if (!place.ok) return place;
  const bounds = sequenceBounds(sql, filter);
  if (!bounds.ok) return bounds;
  const [column] = EQUALITIES.filter(({ name }) => filter[name] !== undefined);
  const where = ["sequence < ?", "sequence > ?"];
  const bindings: SqlStorageValue[] = [
    Math.min(Number(place.value?.[0] ?? Infinity), bounds.value.end),
    bounds.value.start,
  ];
  for (const equality of EQUALITIES) {
    const value = filter[equality.name];
    if (value === undefined) continue;
    where.push(`${equality === column ? "" : "+"}${equality.column} = ?`);
    bindings.push(value);
  }
  const from = column === undefined ? "audit" : `audit INDEXED BY ${column.index}`;
  const rows = clampLimit(limit);
  const found = sql.exec<AuditRow>(
    `SELECT * FROM ${from} WHERE ${where.join(" AND ")} ORDER BY sequence DESC LIMIT ?`,
    ...bindings,
    rows + 1,
  );
  return ok(toPage(found.toArray(), rows, toEntry, (row) => encodeCursor(filter, [row.sequence])));
}

const EQUALITIES = [
  { name: "subject", column: "subject_id", index: "audit_by_subject" },
  { name: "actor", column: "actor_id", index: "audit_by_actor" },
  { name: "action", column: "action", index: "audit_by_action" },
] as const;

/** `from` (inclusive) and `to` (exclusive) as bounds, both exclusive, on the sequence. */
function sequenceBounds(
  sql: SqlStorage,
  filter: AuditFilter,
): Result<{ readonly start: number; readonly end: number }, RegistryError> {
  const bounds = { start: 0, end: Number.MAX_SAFE_INTEGER };
  for (const name of ["from", "to"] as const) {
    const text = filter[name];
    if (text === undefined) continue;
    const time = Date.parse(text);
    if (Number.isNaN(time)) {
      return err({ code: "request_invalid", detail: `${name} is not a time in RFC 3339.`, pointer: `/${name}` });
    }
    const last = lastSequenceBefore(sql, time);
    if (name === "from") bounds.start = last;
    else bounds.end = last + 1;
  }
  return ok(bounds);
}

function lastSequenceBefore(sql: SqlStorage, time: EpochMs): number {
  const row = sql
    .exec<{ sequence: number }>(
      `SELECT sequence FROM audit INDEXED BY audit_by_time WHERE time < ? ORDER BY time DESC, sequence DESC LIMIT 1`,
      time,
    )
    .toArray()[0];
  return row?.sequence ?? 0;
}

export interface AuditVerdict {
  readonly valid: boolean;
  readonly entries: number;
  readonly head: string;
  readonly firstBadSequence: number | null;
}

/**
 * Recomputes the chain and compares its end with the head that stands apart. A chunk of rows is in memory at a time, and
 * other calls get their turn between chunks; entries that they add are verified too.
 */
export async function verifyAudit(sql: SqlStorage): Promise<AuditVerdict> {
  let sequence = 0;
  let hash = GENESIS_HASH;
  for (;;) {
    const head = readHead(sql);
    const rows = sql
      .exec<AuditRow>("SELECT * FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?", sequence, AUDIT_CHUNK_ROWS)
      .toArray();
    for (const row of rows) {
      if (!isNextLink(row, sequence, hash)) {
        return { valid: false, entries: sequence, head: head.hash, firstBadSequence: sequence + 1 };
      }
      sequence = row.sequence;
      hash = row.hash;
    }
    if (rows.length < AUDIT_CHUNK_ROWS) return compareWithHead(sequence, hash, head);
    await scheduler.wait(0);
  }
}

function compareWithHead(sequence: number, hash: string, head: Head): AuditVerdict {
  const isWhole = sequence === head.sequence && hash === head.hash;
  return {
    valid: isWhole,
    entries: sequence,
    head: head.hash,
    firstBadSequence: isWhole ? null : Math.min(sequence, head.sequence) + 1,
  };
}

function isNextLink(row: AuditRow, sequence: number, hash: string): boolean {
  if (row.sequence !== sequence + 1 || row.previous_hash !== hash) return false;
  try {
    const { previousHash, hash: stated, ...content } = toEntry(row);
    return hashEntry(content, previousHash) === stated;
  } catch {
    // A column that no longer parses was tampered with.
    return false;
  }
}
