import type { Limit } from "../../src/limits/limit.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { OwnerContacts, OwnerRecord, RegistryError } from "./api.ts";
import { checkGeneration, fail } from "./change.ts";
import type { Change } from "./change.ts";
import { sweepExpired } from "./keys-table.ts";
import type { StoredOwner } from "./owners-table.ts";

/** What happens to an owner. Each function is one write, inside its transaction. */

type Outcome = Result<OwnerRecord, RegistryError>;

export interface OwnerInput {
  readonly name: string | null;
  readonly limits: readonly Limit[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly contacts?: OwnerContacts | undefined;
}

/** The whole owner, but whether it is stopped: who sets limits says nothing of that. */
export function putOwner(change: Change, id: string, { name, limits, metadata, contacts }: OwnerInput): Outcome {
  const before = change.parts.owners.byId(id);
  const lost = checkGeneration(change.context, before);
  if (lost !== null) return lost;
  const after: StoredOwner = {
    id,
    name,
    limits,
    metadata,
    createdAt: before?.createdAt ?? change.now,
    updatedAt: change.now,
    generation: (before?.generation ?? 0) + 1,
    contacts: contacts === undefined || Object.keys(contacts).length === 0 ? null : contacts,
    disabledAt: before?.disabledAt ?? null,
  };
  change.replaceOwner(before, after);
  return show(change, after);
}

/**
 * The reversible stop of all keys of an owner, and its end. Asking for what is already so changes nothing.
 *
 * @param scopes what the caller holds: as with a single admin key, nobody stops or starts one that may do more.
 */
export function setOwnerDisabled(change: Change, id: string, disabled: boolean, scopes: readonly string[]): Outcome {
  const { owners } = change.parts;
  const owner = owners.byId(id);
  if (owner === null) return fail("not_found", "No such owner.");
  const lost = checkGeneration(change.context, owner);
  if (lost !== null) return lost;
  if (owners.hasStrongerAdminKey(id, scopes)) {
    const detail = "This owner has an admin key with scopes that the caller does not hold.";
    return fail("scope_insufficient", detail);
  }
  if ((owner.disabledAt !== null) === disabled) return show(change, change.keepOwner(owner));
  return show(change, change.switchOwner(owner, disabled ? change.now : null));
}

function show(change: Change, owner: StoredOwner): Outcome {
  sweepExpired(change.parts.sql, change.now);
  return ok(change.parts.owners.toRecord(owner));
}
