import { coversAdminScopes } from "../../src/keys/admin-scopes.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import type { Limit } from "../../src/limits/limit.ts";
import type { Result } from "../../src/result.ts";
import { ok } from "../../src/result.ts";
import type { OwnerContacts, OwnerRecord, Page, RegistryError } from "./api.ts";
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
  readonly contacts: OwnerContacts | null;
  /** Since when the owner is stopped; `null` while it is not. */
  readonly disabledAt: EpochMs | null;
}

type OwnerRow = {
  readonly id: string;
  readonly name: string | null;
  readonly limits: string;
  readonly metadata: string;
  readonly created_at: number;
  readonly updated_at: number;
  readonly generation: number;
  readonly disabled_at: number | null;
  readonly contacts: string | null;
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
    const made = {
      id,
      name: null,
      limits: [],
      metadata: {},
      createdAt: now,
      updatedAt: now,
      generation: 1,
      contacts: null,
      disabledAt: null,
    };
    this.save(made);
    return made;
  }

  save(owner: StoredOwner): void {
    this.#sql.exec(
      `INSERT INTO owners (id, name, limits, metadata, created_at, updated_at, generation, disabled_at, contacts)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, limits = excluded.limits, metadata = excluded.metadata,
         updated_at = excluded.updated_at, generation = excluded.generation, disabled_at = excluded.disabled_at,
         contacts = excluded.contacts`,
      owner.id,
      owner.name,
      JSON.stringify(owner.limits),
      JSON.stringify(owner.metadata),
      owner.createdAt,
      owner.updatedAt,
      owner.generation,
      owner.disabledAt,
      owner.contacts === null ? null : JSON.stringify(owner.contacts),
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

  /**
   * Stops all of an owner's keys, but the revoked ones, or lets them be again what they are by themselves: a new generation for
   * each. One statement, so that no crash leaves half of them; `phase` by the rules of `statusOf`.
   */
  setKeysDisabled(id: string, disabled: boolean, now: EpochMs): void {
    this.#sql.exec(
      `UPDATE keys INDEXED BY keys_by_owner SET owner_disabled = ?1, generation = generation + 1, updated_at = ?2,
         phase = CASE WHEN end_at <= ?2 THEN 'expired' WHEN ?1 = 1 OR state = 'disabled' THEN 'disabled'
           WHEN not_after IS NULL THEN 'active' ELSE 'rotating' END
       WHERE owner = ?3 AND state <> 'revoked'`,
      disabled ? 1 : 0,
      now,
      id,
    );
  }

  /** Whether the owner has an admin key that may do more than whoever holds `scopes`. There are few admin keys, of all owners. */
  hasStrongerAdminKey(id: string, scopes: readonly string[]): boolean {
    return this.#sql
      .exec<{ scopes: string }>(
        "SELECT scopes FROM keys INDEXED BY keys_by_kind WHERE kind = 'admin' AND owner = ? AND state <> 'revoked'",
        id,
      )
      .toArray()
      .some((row) => !coversAdminScopes(scopes, readJson(row.scopes)));
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
      ...(owner.contacts === null ? {} : { contacts: owner.contacts }),
      ...(owner.disabledAt === null ? {} : { disabledAt: toTimestamp(owner.disabledAt) }),
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
    contacts: row.contacts === null ? null : readJson(row.contacts),
    disabledAt: row.disabled_at,
  };
}

/** What whoever would bring a key of a disabled owner to life is told. */
export function ownerDisabledDetail(id: string): string {
  return `The owner ${id} is disabled. Enable it first.`;
}
