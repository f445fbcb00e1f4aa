import { settingsOf } from "../../src/alerts/config.ts";
import type { AlertSettings } from "../../src/alerts/config.ts";
import { IDEMPOTENCY_TTL_SECONDS } from "../../src/constants.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import { readJson } from "../key-registry/edge-record.ts";
import type { AlertRefusal, AlertWrite } from "./api.ts";

/** What the object remembers besides its lists: what the configuration says, when what was told, first answers to writes. */
export class SettingsTable {
  readonly #sql: SqlStorage;
  #settings: string | null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#settings = this.#read("settings");
  }

  /** Nobody is told anything before the configuration is known. */
  settings(): AlertSettings {
    return this.#settings === null ? settingsOf(undefined) : readJson<AlertSettings>(this.#settings);
  }

  /** `false`: it is what is known. */
  learn(settings: AlertSettings): boolean {
    const text = JSON.stringify(settings);
    if (text === this.#settings) return false;
    this.#write("settings", text);
    this.#settings = text;
    return true;
  }

  told(): { readonly flushes: Readonly<Record<string, EpochMs>>; readonly sent: readonly EpochMs[] } {
    const text = this.#read("told");
    return text === null ? { flushes: {}, sent: [] } : readJson(text);
  }

  keepTold(told: { readonly flushes: Readonly<Record<string, EpochMs>>; readonly sent: readonly EpochMs[] }): void {
    this.#write("told", JSON.stringify(told));
  }

  sweptAt(): EpochMs {
    return Number(this.#read("swept_at") ?? 0);
  }

  keepSwept(now: EpochMs): void {
    this.#write("swept_at", String(now));
  }

  /** The first answer to the same Idempotency-Key, `null` where there is none, or a conflict. */
  answerTo<T>(write: AlertWrite, now: EpochMs): Result<{ readonly value: T } | null, AlertRefusal> {
    if (write.idempotency === null) return ok(null);
    const row = this.#sql
      .exec<{ fingerprint: string; answer: string }>(
        "SELECT fingerprint, answer FROM answers WHERE key = ? AND expires_at > ?",
        write.idempotency.key,
        now,
      )
      .toArray()[0];
    if (row === undefined) return ok(null);
    if (row.fingerprint !== write.idempotency.fingerprint) {
      return err({ code: "idempotency_conflict", detail: "This Idempotency-Key was used with another request." });
    }
    return ok({ value: readJson<T>(row.answer) });
  }

  keepAnswer(write: AlertWrite, value: unknown, now: EpochMs): void {
    if (write.idempotency === null) return;
    const { key, fingerprint } = write.idempotency;
    this.#sql.exec("DELETE FROM answers WHERE expires_at <= ? OR key = ?", now, key);
    this.#sql.exec(
      "INSERT INTO answers (key, fingerprint, answer, expires_at) VALUES (?, ?, ?, ?)",
      key,
      fingerprint,
      JSON.stringify(value),
      now + IDEMPOTENCY_TTL_SECONDS * 1_000,
    );
  }

  #read(name: string): string | null {
    return (
      this.#sql.exec<{ value: string }>("SELECT value FROM settings WHERE name = ?", name).toArray()[0]?.value ?? null
    );
  }

  #write(name: string, value: string): void {
    this.#sql.exec("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", name, value);
  }
}
