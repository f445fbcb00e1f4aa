import type { EpochMs } from "../../src/keys/record.ts";
import { err } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { AuditNote, RegistryError, WriteContext } from "./api.ts";
import { appendAudit } from "./audit-log.ts";
import { DELIVERIES_PER_RUN, DELIVERY_SAFETY_MS } from "./bounds.ts";
import { OWNER_METER } from "./delivery.ts";
import { toKeyRecord, toTimestamp } from "./edge-record.ts";
import { insertKey, updateKey } from "./keys-table.ts";
import type { KeysTable } from "./keys-table.ts";
import { ALL_KEYS_OF, OWNER_TARGET } from "./outbox.ts";
import type { Outbox, Priority } from "./outbox.ts";
import type { OwnersTable, StoredOwner } from "./owners-table.ts";
import type { StoredKey } from "./stored-key.ts";

export interface ChangeParts {
  readonly sql: SqlStorage;
  readonly keys: KeysTable;
  readonly owners: OwnersTable;
  readonly outbox: Outbox;
  readonly workspace: string;
}

/**
 * One write, inside its transaction: whatever it does to a key or owner goes through here, and so comes with its audit
 * entry and outbox row. Synchronous throughout; throws only for bugs, which undo the transaction.
 */
export class Change {
  readonly parts: ChangeParts;
  readonly context: WriteContext;
  readonly now: EpochMs;
  readonly #meters = new Set<string>();

  constructor(parts: ChangeParts, context: WriteContext, now: EpochMs) {
    this.parts = parts;
    this.context = context;
    this.now = now;
  }

  /** Nothing changes, and the answer says of an earlier change whether its meter has heard of it. */
  keepKey(key: StoredKey): StoredKey {
    this.#meters.add(key.lineageId);
    return key;
  }

  /** Meters that have something to hear, or whose hearing is asked about, in the order of the changes. */
  get meters(): readonly string[] {
    return [...this.#meters];
  }

  addKey(key: StoredKey, action: string, note: string | null): void {
    insertKey(this.parts.sql, key, this.now);
    this.#audit({
      action,
      subject: { kind: "key", id: key.id },
      before: null,
      after: toKeyRecord(key, this.now),
      note,
    });
    this.#enqueueKey(key, 2);
  }

  /** Stores `after`, which has everything but the new generation and time. Answers it whole. */
  replaceKey(before: StoredKey, after: StoredKey, action: string, note: string | null): StoredKey {
    const next = { ...after, generation: before.generation + 1, updatedAt: this.now };
    updateKey(this.parts.sql, before, next, this.now);
    const shown = [toKeyRecord(before, this.now), toKeyRecord(next, this.now)] as const;
    this.#audit({ action, subject: { kind: "key", id: before.id }, before: shown[0], after: shown[1], note });
    this.#enqueueKey(next, next.state === "active" && next.notAfter === null ? 2 : 0);
    return next;
  }

  replaceOwner(before: StoredOwner | null, after: StoredOwner): void {
    const { owners, outbox } = this.parts;
    owners.save(after);
    const wasLimited = (before?.limits.length ?? 0) > 0;
    const isLimited = after.limits.length > 0;
    const subject = { kind: "owner", id: after.id } as const;
    this.#audit({
      action: "owner.put",
      subject,
      before: before === null ? null : showOwner(before),
      after: showOwner(after),
      note: null,
    });
    const meter = OWNER_METER + after.id;
    const target = OWNER_TARGET + after.id;
    outbox.put(
      { ...this.#turn(meter), target, meter, generation: after.generation, priority: 0, revokedAt: null },
      this.now,
    );
    if (wasLimited !== isLimited) {
      owners.setKeysLimited(after.id, isLimited, this.now);
      this.#enqueueKeysOf(after.id, 2);
    }
  }

  /** Stops the owner's keys, or ends that: see `OwnersTable.setKeysDisabled`. The owner's own entry in the audit trail covers them. */
  switchOwner(before: StoredOwner, disabledAt: EpochMs | null): StoredOwner {
    const after = { ...before, disabledAt, generation: before.generation + 1, updatedAt: this.now };
    const isDisabled = disabledAt !== null;
    this.parts.owners.save(after);
    this.parts.owners.setKeysDisabled(before.id, isDisabled, this.now);
    this.#audit({
      action: isDisabled ? "owner.disable" : "owner.enable",
      subject: { kind: "owner", id: before.id },
      before: showOwner(before),
      after: showOwner(after),
      note: null,
    });
    this.#meters.add(ALL_KEYS_OF + before.id);
    this.#enqueueKeysOf(before.id, isDisabled ? 1 : 2);
    return after;
  }

  /** Nothing changes, and the answer says of an earlier switch whether all meters have heard of it; those that have not are tried. */
  keepOwner(owner: StoredOwner): StoredOwner {
    this.#meters.add(ALL_KEYS_OF + owner.id);
    const untold = this.parts.outbox.untoldMetersOfOwner(owner.id, DELIVERIES_PER_RUN - 1);
    for (const meter of untold) this.#meters.add(meter);
    return owner;
  }

  /** What is changed elsewhere. */
  noteAction(note: AuditNote): void {
    this.#audit({ ...note, before: null });
  }

  #enqueueKeysOf(owner: string, priority: Priority): void {
    // As many as the answer can wait for; the rest is the alarm's from now.
    const lineages = this.parts.outbox.putKeysOfOwner(owner, priority, this.now, DELIVERIES_PER_RUN - 1);
    for (const lineage of lineages) this.#meters.add(lineage);
  }

  #enqueueKey(key: StoredKey, priority: Priority): void {
    this.parts.outbox.put(
      {
        ...this.#turn(key.lineageId),
        target: key.id,
        meter: key.lineageId,
        generation: key.generation,
        priority,
        revokedAt: key.state === "revoked" ? key.revokedAt : null,
      },
      this.now,
    );
  }

  /** The first ones are delivered at once, with the alarm behind them; the rest of a large import is the alarm's from now. */
  #turn(meter: string): { readonly nextAt: EpochMs } {
    this.#meters.add(meter);
    return { nextAt: this.#meters.size <= DELIVERIES_PER_RUN ? this.now + DELIVERY_SAFETY_MS : this.now };
  }

  #audit(entry: Omit<Parameters<typeof appendAudit>[1], "actor">): void {
    appendAudit(this.parts.sql, { ...entry, actor: this.context.actor }, this.now);
  }
}

function showOwner(owner: StoredOwner): unknown {
  const { name, limits, metadata, generation, contacts, disabledAt } = owner;
  const stop = disabledAt === null ? {} : { disabledAt: toTimestamp(disabledAt) };
  return { name, limits, metadata, generation, ...(contacts === null ? {} : { contacts }), ...stop };
}

export function fail(code: RegistryError["code"], detail: string, pointer?: string): Result<never, RegistryError> {
  return err(pointer === undefined ? { code, detail } : { code, detail, pointer });
}

/** `If-Match`. */
export function checkGeneration(
  context: WriteContext,
  present: { readonly generation: number } | null,
): Result<never, RegistryError> | null {
  if (context.ifGeneration === null || context.ifGeneration === present?.generation) return null;
  return fail("precondition_failed", "It was changed since it was read.");
}
