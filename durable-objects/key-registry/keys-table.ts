import type { EpochMs, KeyHash, KeyId } from "../../src/keys/record.ts";
import type { KeyStatus } from "../../src/keys/status.ts";
import { EXPIRY_SWEEP_ROWS } from "./bounds.ts";
import { fromRow, statusOf } from "./edge-record.ts";
import type { KeyRow, StoredKey } from "./stored-key.ts";

/** The table of keys with its side tables: scopes, tags, words. Counts are kept by triggers. */

/** What stays as it was issued. */
const IDENTITY = {
  id: (key) => key.id,
  hash: (key) => key.hash,
  lineage_id: (key) => key.lineageId,
  owner: (key) => key.owner,
  environment: (key) => key.environment,
  kind: (key) => key.kind,
  hint: (key) => key.hint,
  created_at: (key) => key.createdAt,
  created_by: (key) => key.createdBy,
  rotated_from: (key) => key.rotatedFrom,
} as const satisfies Record<string, Column>;

/** What a change may change. */
const STATE = {
  name: (key) => key.name,
  scopes: (key) => JSON.stringify(key.scopes),
  plan: (key) => key.plan,
  limits: (key) => JSON.stringify(key.limits),
  owner_limited: (key) => (key.ownerLimited ? 1 : 0),
  bindings: (key) => JSON.stringify(key.bindings),
  policy: (key) => JSON.stringify(key.policy),
  metadata: (key) => JSON.stringify(key.metadata),
  tags: (key) => JSON.stringify(key.tags),
  purpose: (key) => key.purpose,
  state: (key) => key.state,
  owner_disabled: (key) => (key.ownerDisabled ? 1 : 0),
  phase: (key, now) => statusOf(key, now),
  updated_at: (key) => key.updatedAt,
  not_before: (key) => key.notBefore,
  expires_at: (key) => key.expiresAt,
  not_after: (key) => key.notAfter,
  rotated_at: (key) => key.rotatedAt,
  revoked_at: (key) => key.revokedAt,
  revoked_reason: (key) => key.revokedReason,
  last_used_at: (key) => key.lastUsedAt ?? 0,
  generation: (key) => key.generation,
  tokens_revoked_at: (key) => key.tokensRevokedAt ?? null,
  revoked_tokens: (key) => (key.revokedTokens === undefined ? null : JSON.stringify(key.revokedTokens)),
} as const satisfies Record<string, Column>;

type Column = (key: StoredKey, now: EpochMs) => SqlStorageValue;

const COLUMNS: Readonly<Record<string, Column>> = { ...IDENTITY, ...STATE };
const INSERT = `INSERT INTO keys (${Object.keys(COLUMNS).join(", ")})
  VALUES (${Object.keys(COLUMNS).fill("?").join(", ")}) RETURNING seq`;
const UPDATE = `UPDATE keys SET ${Object.keys(STATE)
  .map((column) => `${column} = ?`)
  .join(", ")} WHERE seq = ?`;

function valuesOf(columns: Readonly<Record<string, Column>>, key: StoredKey, now: EpochMs): SqlStorageValue[] {
  return Object.values(columns).map((read) => read(key, now));
}

export function insertKey(sql: SqlStorage, key: StoredKey, now: EpochMs): void {
  const { seq } = sql.exec<{ seq: number }>(INSERT, ...valuesOf(COLUMNS, key, now)).one();
  addLabels(sql, seq, key);
  sql.exec("INSERT INTO key_words (rowid, words) VALUES (?, ?)", seq, wordsOf(key));
}

/** Stores the new state of a key; `before` tells which side tables are touched at all. */
export function updateKey(sql: SqlStorage, before: StoredKey, after: StoredKey, now: EpochMs): void {
  sql.exec(UPDATE, ...valuesOf(STATE, after, now), before.seq);
  if (!sameList(before.scopes, after.scopes) || !sameList(before.tags, after.tags)) {
    for (const scope of before.scopes) {
      sql.exec("DELETE FROM key_scopes WHERE scope = ? AND seq = ?", scope, before.seq);
    }
    for (const tag of before.tags) sql.exec("DELETE FROM key_tags WHERE tag = ? AND seq = ?", tag, before.seq);
    addLabels(sql, before.seq, after);
  }
  if (wordsOf(before) !== wordsOf(after)) {
    sql.exec("DELETE FROM key_words WHERE rowid = ?", before.seq);
    sql.exec("INSERT INTO key_words (rowid, words) VALUES (?, ?)", before.seq, wordsOf(after));
  }
}

function addLabels(sql: SqlStorage, seq: number, key: Pick<StoredKey, "scopes" | "tags">): void {
  for (const scope of key.scopes) {
    sql.exec("INSERT INTO key_scopes (scope, seq) VALUES (?, ?) ON CONFLICT DO NOTHING", scope, seq);
  }
  for (const tag of key.tags) {
    sql.exec("INSERT INTO key_tags (tag, seq) VALUES (?, ?) ON CONFLICT DO NOTHING", tag, seq);
  }
}

/** What `q` searches: the words of these, and the id and the hint, which the tokenizer cuts at `_`. */
function wordsOf(key: StoredKey): string {
  return [key.name, key.owner, key.purpose ?? "", key.id, key.hint].join("\n");
}

function sameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}

/** Rows and their keys. Every reader of one workspace gives its name, which no row repeats. */
export class KeysTable {
  readonly #sql: SqlStorage;
  readonly #workspace: string;

  constructor(sql: SqlStorage, workspace: string) {
    this.#sql = sql;
    this.#workspace = workspace;
  }

  byId(id: KeyId): StoredKey | null {
    return this.#one("SELECT * FROM keys WHERE id = ?", id);
  }

  byHash(hash: KeyHash): StoredKey | null {
    return this.#one("SELECT * FROM keys WHERE hash = ?", hash);
  }

  /** The same key, as a newer state: for a registry that is behind what it told before. */
  raiseGeneration(id: KeyId, generation: number): void {
    this.#sql.exec("UPDATE keys SET generation = max(generation, ?) WHERE id = ?", generation, id);
  }

  all(query: string, ...bindings: SqlStorageValue[]): StoredKey[] {
    return this.#sql
      .exec<KeyRow>(query, ...bindings)
      .toArray()
      .map((row) => this.#read(row));
  }

  #one(query: string, binding: string): StoredKey | null {
    const row = this.#sql.exec<KeyRow>(query, binding).toArray()[0];
    return row === undefined ? null : this.#read(row);
  }

  #read(row: KeyRow): StoredKey {
    return { ...fromRow(row), workspace: this.#workspace };
  }
}

/** Creation times never go back, so that the order of creation is the order of time: `createdAfter` relies on it. */
export function nextCreationTime(sql: SqlStorage, now: EpochMs): EpochMs {
  const row = sql.exec<{ last: number | null }>("SELECT max(created_at) AS last FROM keys").one();
  return Math.max(now, row.last ?? 0);
}

/**
 * Brings the stored phase of keys whose deadline has passed up to date, so that lists by status and counts read an index.
 * Each key passes here once; what is more than `EXPIRY_SWEEP_ROWS` passes next time.
 */
export function sweepExpired(sql: SqlStorage, now: EpochMs): void {
  sql.exec(
    `UPDATE keys SET phase = 'expired' WHERE seq IN (
       SELECT seq FROM keys INDEXED BY keys_by_end
       WHERE phase IN ('active', 'rotating', 'disabled') AND end_at <= ? LIMIT ?
     )`,
    now,
    EXPIRY_SWEEP_ROWS,
  );
}

/** How many keys are in each phase: of one owner, or with `""` of the workspace. Sweep first. */
export function countKeys(sql: SqlStorage, owner: string): Record<KeyStatus, number> {
  const counts: Record<KeyStatus, number> = { active: 0, rotating: 0, disabled: 0, expired: 0, revoked: 0 };
  const rows = sql.exec<{ phase: KeyStatus; keys: number }>(
    "SELECT phase, keys FROM key_counts WHERE owner = ?",
    owner,
  );
  for (const row of rows) counts[row.phase] = row.keys;
  return counts;
}

/** Last uses only move forward. Unknown ids are skipped: they are another workspace's, or forged. */
export function moveLastUse(sql: SqlStorage, id: KeyId, time: EpochMs): void {
  sql.exec("UPDATE keys SET last_used_at = ? WHERE id = ? AND last_used_at < ?", time, id, time);
}

/** Lineages with a change or use at `since` or later, each once, in no order that means anything. */
export function lineagesSince(sql: SqlStorage, since: EpochMs, limit: number): string[] {
  const rows = sql.exec<{ lineage_id: string }>(
    `SELECT lineage_id FROM keys INDEXED BY keys_by_last_use WHERE last_used_at >= ?
     UNION SELECT lineage_id FROM keys INDEXED BY keys_by_updated WHERE updated_at >= ? LIMIT ?`,
    since,
    since,
    limit,
  );
  return rows.toArray().map((row) => row.lineage_id);
}
