import type { EpochMs } from "../../src/keys/record.ts";
import type { Limit } from "../../src/limits/limit.ts";
import type { Result } from "../../src/result.ts";
import { ok } from "../../src/result.ts";
import type { OwnerRecord, Page, RegistryError } from "./api.ts";
import { clampLimit, decodeCursor, encodeCursor, toPage } from "./cursor.ts";
import { readJson, toTimestamp } from "./edge-record.ts";
import { countKeys } from "./keys-table.ts";

/** Owners: made by their first key or by `PUT`, with limits that all of their keys share. */

export interface StoredOwner {
  readonly id: string;
  readonly name: string | null;
  readonly limits: readonly Limit[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly createdAt: EpochMs;
  readonly updatedAt: EpochMs;
  readonly generation: number;
}

type OwnerRow = {
  readonly id: string;
  readonly name: string | null;
  readonly limits: string;
  readonly metadata: string;
  readonly created_at: number;
  readonly updated_at: number;
  readonly generation: number;
};

export class OwnersTable {
  readonly #sql: SqlStorage;
  readonly #workspace: string;

  constructor(sql: SqlStorage, workspace: string) {
    this.#sql = sql;
    this.#workspace = workspace;
  }

  byId(id: string): StoredOwner | null {
    const row = this.#sql.exec<OwnerRow>("SELECT * FROM owners WHERE id = ?", id).toArray()[0];
    return row === undefined ? null : fromRow(row);
  }

  /** The same owner, as a newer state: for a registry that is behind what it told before. */
  raiseGeneration(id: string, generation: number): void {
    this.#sql.exec("UPDATE owners SET generation = max(generation, ?) WHERE id = ?", generation, id);
  }

  /** The owner of a key that is being made. */
  ensure(id: string, now: EpochMs): StoredOwner {
    const owner = this.byId(id);
    if (owner !== null) return owner;
    const made = { id, name: null, limits: [], metadata: {}, createdAt: now, updatedAt: now, generation: 1 };
    this.save(made);
    return made;
  }

  save(owner: StoredOwner): void {
    this.#sql.exec(
      `INSERT INTO owners (id, name, limits, metadata, created_at, updated_at, generation) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, limits = excluded.limits, metadata = excluded.metadata,
         updated_at = excluded.updated_at, generation = excluded.generation`,
      owner.id,
      owner.name,
      JSON.stringify(owner.limits),
      JSON.stringify(owner.metadata),
      owner.createdAt,
      owner.updatedAt,
      owner.generation,
    );
  }

  /** Tells all of an owner's keys, but the revoked ones, whether there are shared limits: a new generation for each. */
  setKeysLimited(id: string, limited: boolean, now: EpochMs): void {
    this.#sql.exec(
      `UPDATE keys INDEXED BY keys_by_owner SET owner_limited = ?, generation = generation + 1, updated_at = ?
       WHERE owner = ? AND state <> 'revoked'`,
      limited ? 1 : 0,
      now,
      id,
    );
  }

  /** In order of their names. */
  list(limit: number, cursor: string | null): Result<Page<OwnerRecord>, RegistryError> {
    const place = decodeCursor(cursor, "owners", ["string"]);
    if (!place.ok) return place;
    const rows = clampLimit(limit);
    const found = this.#sql.exec<OwnerRow>(
      "SELECT * FROM owners WHERE id > ? ORDER BY id LIMIT ?",
      place.value?.[0] ?? "",
      rows + 1,
    );
    const show = (owner: StoredOwner): OwnerRecord => this.toRecord(owner);
    return ok(toPage(found.toArray().map(fromRow), rows, show, (owner) => encodeCursor("owners", [owner.id])));
  }

  /** `keys.active` counts what works: active and rotating. The caller has swept expired keys. */
  toRecord(owner: StoredOwner): OwnerRecord {
    const counts = countKeys(this.#sql, owner.id);
    return {
      id: owner.id,
      workspace: this.#workspace,
      name: owner.name,
      limits: owner.limits,
      metadata: owner.metadata,
      createdAt: toTimestamp(owner.createdAt),
      updatedAt: toTimestamp(owner.updatedAt),
      generation: owner.generation,
      keys: {
        active: counts.active + counts.rotating,
        total: Object.values(counts).reduce((sum, count) => sum + count, 0),
      },
    };
  }
}

function fromRow(row: OwnerRow): StoredOwner {
  return {
    id: row.id,
    name: row.name,
    limits: readJson(row.limits),
    metadata: readJson(row.metadata),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    generation: row.generation,
  };
}
