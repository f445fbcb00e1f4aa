import type { Quiet } from "../../src/alerts/silence.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { Page, RegistryError } from "../key-registry/api.ts";
import { clampLimit, decodeCursor, encodeCursor, toPage } from "../key-registry/cursor.ts";
import { readJson } from "../key-registry/edge-record.ts";
import { SWEEP_ROWS } from "./bounds.ts";

/** Silences and maintenance windows. Those that are not over are in memory too. */
export class QuietsTable {
  readonly #sql: SqlStorage;
  readonly #present = new Map<string, Quiet>();

  constructor(sql: SqlStorage, now: EpochMs) {
    this.#sql = sql;
    for (const { body } of sql.exec<{ body: string }>("SELECT body FROM quiets WHERE ends_at > ?", now)) {
      const quiet = readJson<Quiet>(body);
      this.#present.set(quiet.id, quiet);
    }
  }

  /** Those that are not over. */
  present(now: EpochMs): readonly Quiet[] {
    for (const { id, endsAt } of this.#present.values()) if (endsAt <= now) this.#present.delete(id);
    return [...this.#present.values()];
  }

  byId(id: string): Quiet | null {
    const row = this.#sql.exec<{ body: string }>("SELECT body FROM quiets WHERE id = ?", id).toArray()[0];
    return row === undefined ? null : readJson<Quiet>(row.body);
  }

  save(quiet: Quiet): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO quiets (id, type, ends_at, body) VALUES (?, ?, ?, ?)",
      quiet.id,
      quiet.type,
      quiet.endsAt,
      JSON.stringify(quiet),
    );
    this.#present.set(quiet.id, quiet);
  }

  /** Newest first, those that are over too. */
  list(type: Quiet["type"], limit: number, cursor: string | null): Result<Page<Quiet>, RegistryError> {
    const place = decodeCursor(cursor, type, ["string"]);
    if (!place.ok) return place;
    const rows = clampLimit(limit);
    const found = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM quiets WHERE type = ? AND id < ? ORDER BY id DESC LIMIT ?",
        type,
        String(place.value?.[0] ?? "~"),
        rows + 1,
      )
      .toArray()
      .map(({ body }) => readJson<Quiet>(body));
    return ok(
      toPage(
        found,
        rows,
        (quiet) => quiet,
        ({ id }) => encodeCursor(type, [id]),
      ),
    );
  }

  sweep(until: EpochMs): void {
    this.#sql.exec(
      "DELETE FROM quiets WHERE id IN (SELECT id FROM quiets INDEXED BY quiets_by_end WHERE ends_at <= ? LIMIT ?)",
      until,
      SWEEP_ROWS,
    );
  }
}
