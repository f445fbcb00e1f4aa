import { IDEMPOTENCY_TTL_SECONDS, SIGNING_KEYS_REMEMBERED, SIGNING_LOG_ENTRIES } from "../../src/constants.ts";
import type { SigningAlgorithm } from "../../src/tokens/token-keys.ts";
import type { Actor } from "../key-registry/api.ts";
import type { KeyState, PublicJwk, SigningAction, SigningKeyRecord, SigningLogEntry, SigningPolicy } from "./api.ts";
import type { KeyPair } from "./key-pair.ts";
import type { Wrapped } from "./wrapping.ts";

/** A key as it is stored. `wrapped` is `null` once it signs no more. */
export interface KeyRow extends SigningKeyRecord {
  readonly jwk: PublicJwk;
  readonly wrapped: Wrapped | null;
}

/** A pair that was made and wrapped, and is not in use yet. */
export interface FreshKey extends Omit<KeyPair, "pkcs8"> {
  readonly wrapped: Wrapped;
}

/** What the home object keeps. Synchronous: every change is one transaction of the caller's. */
export class KeyRows {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Those that are published. */
  published(): KeyRow[] {
    return this.#sql
      .exec<Row>("SELECT * FROM keys WHERE state <> 'removed' ORDER BY published_at, rowid")
      .toArray()
      .map(readRow);
  }

  /** All that are remembered, newest first. */
  all(): SigningKeyRecord[] {
    const rows = this.#sql.exec<Row>("SELECT * FROM keys ORDER BY published_at DESC, rowid DESC").toArray();
    return rows.map(readRow).map(({ kid, alg, state, publishedAt, startedAt, retiredAt, removedAt }) => ({
      kid,
      alg,
      state,
      publishedAt,
      startedAt,
      retiredAt,
      removedAt,
    }));
  }

  add({ kid, alg, jwk, wrapped }: FreshKey, state: "current" | "next", now: number): void {
    this.#sql.exec(
      "INSERT INTO keys (kid, alg, jwk, state, published_at, started_at, wrapped, iv, secret) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      kid,
      alg,
      JSON.stringify(jwk),
      state,
      now,
      state === "current" ? now : null,
      wrapped.bytes,
      wrapped.iv,
      wrapped.secret,
    );
  }

  /** A key that signs no more has no private part. */
  move(kid: string, state: "current" | "retired" | "removed", now: number): void {
    const time = { current: "started_at", retired: "retired_at", removed: "removed_at" }[state];
    this.#sql.exec(`UPDATE keys SET state = ?, ${time} = ? WHERE kid = ?`, state, now, kid);
    if (state !== "current")
      this.#sql.exec("UPDATE keys SET wrapped = NULL, iv = NULL, secret = NULL WHERE kid = ?", kid);
    this.#sql.exec(
      "DELETE FROM keys WHERE state = 'removed' AND kid NOT IN (SELECT kid FROM keys WHERE state = 'removed' ORDER BY removed_at DESC LIMIT ?)",
      SIGNING_KEYS_REMEMBERED,
    );
  }

  /** Only while it is still wrapped as `before` says. */
  rewrap(kid: string, before: Wrapped, after: Wrapped): void {
    this.#sql.exec(
      "UPDATE keys SET wrapped = ?, iv = ?, secret = ? WHERE kid = ? AND secret = ? AND iv = ?",
      after.bytes,
      after.iv,
      after.secret,
      kid,
      before.secret,
      before.iv,
    );
  }

  note(time: number, action: SigningAction, kids: readonly string[], by: Author): void {
    this.#sql.exec(
      "INSERT INTO log (time, action, actor, kids, reason) VALUES (?, ?, ?, ?, ?)",
      time,
      action,
      JSON.stringify(by.actor),
      JSON.stringify(kids),
      by.reason,
    );
    this.#sql.exec("DELETE FROM log WHERE sequence <= (SELECT max(sequence) FROM log) - ?", SIGNING_LOG_ENTRIES);
  }

  /** Newest first. */
  log(limit: number): SigningLogEntry[] {
    const rows = this.#sql.exec<LogRow>("SELECT * FROM log ORDER BY sequence DESC LIMIT ?", limit).toArray();
    // Written by `note` from these very types, so their shapes are known.
    return rows.map((row) => ({
      sequence: row.sequence,
      time: row.time,
      action: row.action as SigningAction,
      actor: JSON.parse(row.actor) as Actor,
      kids: JSON.parse(row.kids) as string[],
      reason: row.reason,
    }));
  }

  version(): number {
    return this.#read<number>("version") ?? 0;
  }

  raiseVersion(): void {
    this.#write("version", this.version() + 1);
  }

  policy(): SigningPolicy | null {
    return this.#read<SigningPolicy>("policy");
  }

  setPolicy(policy: SigningPolicy): void {
    this.#write("policy", policy);
  }

  /** The first answer to a repeated write, as the text that was kept. */
  answerTo(key: string, now: number): { readonly fingerprint: string; readonly answer: string } | null {
    const found = this.#sql
      .exec<{ fingerprint: string; answer: string }>(
        "SELECT fingerprint, answer FROM answers WHERE key = ? AND expires_at > ?",
        key,
        now,
      )
      .toArray()[0];
    return found ?? null;
  }

  keepAnswer(key: string, fingerprint: string, answer: string, now: number): void {
    this.#sql.exec("DELETE FROM answers WHERE expires_at <= ? OR key = ?", now, key);
    this.#sql.exec(
      "INSERT INTO answers (key, fingerprint, answer, expires_at) VALUES (?, ?, ?, ?)",
      key,
      fingerprint,
      answer,
      now + IDEMPOTENCY_TTL_SECONDS * 1_000,
    );
  }

  #read<T>(name: string): T | null {
    const row = this.#sql.exec<{ value: string }>("SELECT value FROM settings WHERE name = ?", name).toArray()[0];
    // Written by `#write` under the same name, so its shape is known.
    return row === undefined ? null : (JSON.parse(row.value) as T);
  }

  #write(name: string, value: unknown): void {
    this.#sql.exec("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", name, JSON.stringify(value));
  }
}

/** Who made a change, and why. */
export interface Author {
  readonly actor: Actor;
  readonly reason: string | null;
}

type Row = {
  kid: string;
  alg: string;
  jwk: string;
  state: string;
  published_at: number;
  started_at: number | null;
  retired_at: number | null;
  removed_at: number | null;
  wrapped: ArrayBuffer | null;
  iv: ArrayBuffer | null;
  secret: string | null;
};

type LogRow = { sequence: number; time: number; action: string; actor: string; kids: string; reason: string | null };

function readRow(row: Row): KeyRow {
  const { wrapped, iv, secret } = row;
  // Written by `add` and `move` from these very types, so their shapes are known.
  return {
    kid: row.kid,
    alg: row.alg as SigningAlgorithm,
    jwk: JSON.parse(row.jwk) as PublicJwk,
    state: row.state as KeyState,
    publishedAt: row.published_at,
    startedAt: row.started_at,
    retiredAt: row.retired_at,
    removedAt: row.removed_at,
    wrapped: wrapped === null || iv === null || secret === null ? null : { bytes: wrapped, iv, secret },
  };
}
