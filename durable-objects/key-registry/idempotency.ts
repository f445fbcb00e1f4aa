import { IDEMPOTENCY_TTL_SECONDS, MAX_IDEMPOTENCY_KEY_CHARACTERS } from "../../src/constants.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { RegistryError, WriteContext } from "./api.ts";
import { ANSWER_PART_BYTES, IDEMPOTENCY_SWEEP_ROWS } from "./bounds.ts";
import { readJson } from "./edge-record.ts";

/**
 * First answers, kept for 24 h, so that a repeated write changes nothing and hears the same. Only writes that succeeded
 * are kept: one that failed changed nothing, and may be tried again. Keys are the actor's own: nobody reads another's.
 */

interface FirstAnswer<T> {
  readonly value: T;
  /** Meters that the write had to tell: a repeat can say whether they have been told by now. */
  readonly meters: readonly string[];
}

/** The first answer, `null` when there is none, or a conflict when the key stood before another request. */
export function findAnswer<T>(
  sql: SqlStorage,
  context: WriteContext,
  now: EpochMs,
): Result<FirstAnswer<T> | null, RegistryError> {
  if (context.idempotency === null) return ok(null);
  if (context.idempotency.key.length > MAX_IDEMPOTENCY_KEY_CHARACTERS) {
    return err({ code: "request_invalid", detail: "The Idempotency-Key is too long." });
  }
  const key = scopedKey(context);
  const row = sql
    .exec<{ fingerprint: string }>("SELECT fingerprint FROM idempotency WHERE key = ? AND expires_at > ?", key, now)
    .toArray()[0];
  if (row === undefined) return ok(null);
  if (row.fingerprint !== context.idempotency.fingerprint) {
    return err({ code: "idempotency_conflict", detail: "This Idempotency-Key was used with another request." });
  }
  const parts = sql.exec<{ body: ArrayBuffer }>(
    "SELECT body FROM idempotency_answers WHERE key = ? ORDER BY part",
    key,
  );
  const bytes = Buffer.concat(parts.toArray().map((part) => Buffer.from(part.body)));
  return ok(readJson<FirstAnswer<T>>(bytes.toString()));
}

export function keepAnswer<T>(sql: SqlStorage, context: WriteContext, answer: FirstAnswer<T>, now: EpochMs): void {
  if (context.idempotency === null) return;
  const key = scopedKey(context);
  // One that has expired, and was not swept yet, makes room.
  deleteAnswer(sql, key);
  sql.exec(
    "INSERT INTO idempotency (key, fingerprint, expires_at) VALUES (?, ?, ?)",
    key,
    context.idempotency.fingerprint,
    now + IDEMPOTENCY_TTL_SECONDS * 1_000,
  );
  const bytes = new TextEncoder().encode(JSON.stringify(answer));
  for (let part = 0; part * ANSWER_PART_BYTES < bytes.length; part++) {
    const body = bytes.slice(part * ANSWER_PART_BYTES, (part + 1) * ANSWER_PART_BYTES);
    sql.exec("INSERT INTO idempotency_answers (key, part, body) VALUES (?, ?, ?)", key, part, body.buffer);
  }
}

/** Deletes what is older than 24 h. Answers when to come again; `null` when nothing is kept. */
export function sweepAnswers(sql: SqlStorage, now: EpochMs): EpochMs | null {
  const old = sql.exec<{ key: string }>(
    "SELECT key FROM idempotency INDEXED BY idempotency_by_expiry WHERE expires_at <= ? LIMIT ?",
    now,
    IDEMPOTENCY_SWEEP_ROWS,
  );
  for (const row of old.toArray()) deleteAnswer(sql, row.key);
  return nextExpiry(sql);
}

export function nextExpiry(sql: SqlStorage): EpochMs | null {
  return sql.exec<{ at: number | null }>("SELECT min(expires_at) AS at FROM idempotency").one().at;
}

function deleteAnswer(sql: SqlStorage, key: string): void {
  sql.exec("DELETE FROM idempotency WHERE key = ?", key);
  sql.exec("DELETE FROM idempotency_answers WHERE key = ?", key);
}

function scopedKey(context: WriteContext): string {
  return `${context.actor.kind}/${context.actor.id}/${context.idempotency?.key ?? ""}`;
}
