import { isKeyHash } from "../../src/keys/digest.ts";
import { checkDeadlines, checkIssuance } from "../../src/keys/issuance.ts";
import type { EpochMs, KeyId, LineageId } from "../../src/keys/record.ts";
import { newId } from "../../src/platform/ids.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { ImportOutcome, KeyRecord, NewKey, RegistryError, WriteContext } from "./api.ts";
import { fail } from "./change.ts";
import type { Change, ChangeParts } from "./change.ts";
import { toKeyRecord } from "./edge-record.ts";
import { nextCreationTime } from "./keys-table.ts";
import type { KeysTable } from "./keys-table.ts";
import { ownerDisabledDetail } from "./owners-table.ts";
import type { OwnersTable } from "./owners-table.ts";
import type { StoredKey } from "./stored-key.ts";

/** Keys that come into being: created one by one, or imported by their hashes. */

export interface Identity {
  readonly id: KeyId;
  readonly lineageId: LineageId;
  readonly createdAt: EpochMs;
  readonly createdBy: string;
  readonly ownerLimited: boolean;
  readonly ownerDisabled: boolean;
}

/** What must hold before a hash is claimed for this workspace; `null` when it does. */
export function checkNewKey(
  input: NewKey,
  { keys, owners }: Pick<ChangeParts, "keys" | "owners">,
  context: WriteContext,
): Result<never, RegistryError> | null {
  if (input.kind === "workload") {
    return fail("request_invalid", "A workload's record comes into being by its trust rule.", "/kind");
  }
  if (!isKeyHash(input.hash)) {
    return fail("request_invalid", "The hash is not a SHA-256 in base64url.", "/hash");
  }
  const problem = checkIssuance(input, context.publishableScopes)[0];
  if (problem !== undefined) return fail("request_invalid", problem.detail, problem.pointer);
  return checkUnknown(input, keys) ?? checkOwner(input, owners);
}

function checkUnknown(input: NewKey, keys: KeysTable): Result<never, RegistryError> | null {
  const known = keys.byHash(input.hash);
  return known === null ? null : fail("conflict", `This key exists already, as ${known.id}.`, "/hash");
}

/** A key of a disabled owner would be one that does not work, made by someone who thinks that it does. */
export function checkOwner(
  { owner }: { readonly owner: string },
  owners: OwnersTable,
): Result<never, RegistryError> | null {
  const isDisabled = (owners.byId(owner)?.disabledAt ?? null) !== null;
  return isDisabled ? fail("conflict", ownerDisabledDetail(owner), "/owner") : null;
}

export function createKey(change: Change, input: NewKey): Result<KeyRecord, RegistryError> {
  const refusal = checkUnknown(input, change.parts.keys) ?? checkOwner(input, change.parts.owners);
  if (refusal !== null) return refusal;
  const fault = checkDeadlines(input, change.now)[0];
  if (fault !== undefined) return fail("request_invalid", fault.detail, fault.pointer);
  return ok(addNewKey(change, input, "key.create"));
}

export function addNewKey(change: Change, input: NewKey, action: string): KeyRecord {
  const createdAt = nextCreationTime(change.parts.sql, change.now);
  const owner = change.parts.owners.ensure(input.owner, change.now);
  const key = buildKey(input, change.parts.workspace, {
    id: newId("key_", createdAt),
    lineageId: newId("lin_", createdAt),
    createdAt,
    createdBy: change.context.actor.id,
    ownerLimited: owner.limits.length > 0,
    ownerDisabled: owner.disabledAt !== null,
  });
  change.addKey(key, action, null);
  return toKeyRecord(key, change.now);
}

function buildKey(input: NewKey, workspace: string, identity: Identity): StoredKey {
  return {
    ...identity,
    seq: 0,
    workspace,
    hash: input.hash,
    hint: input.hint,
    name: input.name,
    owner: input.owner,
    environment: input.environment,
    kind: input.kind,
    scopes: input.scopes,
    plan: input.plan,
    limits: input.limits,
    bindings: input.bindings,
    policy: input.policy,
    metadata: input.metadata,
    tags: input.tags,
    purpose: input.purpose,
    notBefore: toEpochMs(input.notBefore),
    expiresAt: toEpochMs(input.expiresAt),
    state: "active",
    notAfter: null,
    rotatedAt: null,
    rotatedFrom: null,
    updatedAt: identity.createdAt,
    revokedAt: null,
    revokedReason: null,
    lastUsedAt: null,
    generation: 1,
  };
}

export function toEpochMs(time: string | null): EpochMs | null {
  return time === null ? null : Date.parse(time);
}

/**
 * Imports what is new and right; says of the rest what is wrong. Keys that have expired already are welcome, so that
 * their holders hear so. A dry run answers the records as they would be, under ids that are not kept.
 *
 * @param foreign hashes that belong to other workspaces.
 */
export function importKeys(
  change: Change,
  inputs: readonly NewKey[],
  foreign: ReadonlySet<string>,
  dryRun: boolean,
): ImportOutcome[] {
  const seen = new Set<string>();
  return inputs.map((input, index) => {
    const invalid = checkNewKey(input, change.parts, change.context);
    if (invalid !== null) return { index, result: invalid };
    if (seen.has(input.hash)) {
      return { index, result: fail("conflict", "This hash stands in the batch more than once.", "/hash") };
    }
    seen.add(input.hash);
    if (foreign.has(input.hash)) {
      return { index, result: fail("conflict", "This key belongs to another workspace.", "/hash") };
    }
    return { index, result: ok(dryRun ? previewKey(change, input) : addNewKey(change, input, "key.import")) };
  });
}

function previewKey(change: Change, input: NewKey): KeyRecord {
  const identity = {
    id: newId("key_", change.now),
    lineageId: newId("lin_", change.now),
    createdAt: change.now,
    createdBy: change.context.actor.id,
    ownerLimited: false,
    ownerDisabled: false,
  };
  return toKeyRecord(buildKey(input, change.parts.workspace, identity), change.now);
}
