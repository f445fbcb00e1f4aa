import { MAX_METADATA_BYTES } from "../../src/constants.ts";
import { checkDeadlines, checkIssuance } from "../../src/keys/issuance.ts";
import type { IssuanceFault } from "../../src/keys/issuance.ts";
import type { EpochMs, KeyId } from "../../src/keys/record.ts";
import { newId } from "../../src/platform/ids.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { KeyPatch, KeyRecord, RegistryError, RevocationReason, Rotation } from "./api.ts";
import { checkGeneration, fail } from "./change.ts";
import type { Change } from "./change.ts";
import { statusOf, toKeyRecord } from "./edge-record.ts";
import { nextCreationTime } from "./keys-table.ts";
import { mergePatch } from "./merge-patch.ts";
import { toEpochMs } from "./new-key.ts";
import { ownerDisabledDetail } from "./owners-table.ts";
import type { StoredKey } from "./stored-key.ts";
import { refuseWorkloadPatch } from "./workloads.ts";

/** What happens to a key that exists. Each function is one write, inside its transaction. */

type Outcome = Result<KeyRecord, RegistryError>;

function withKey(change: Change, id: KeyId, apply: (key: StoredKey) => Outcome): Outcome {
  const key = change.parts.keys.byId(id);
  return key === null ? fail("not_found", "No such key.") : apply(key);
}

/** Merge-patch of everything but identity. A revoked key stays as it was when it was revoked. */
export function patchKey(change: Change, id: KeyId, patch: KeyPatch): Outcome {
  return withKey(change, id, (key) => {
    const lost = checkGeneration(change.context, key);
    if (lost !== null) return lost;
    if (key.state === "revoked") return fail("conflict", "A revoked key cannot be changed.");
    const ofTheRule = refuseWorkloadPatch(key, patch);
    if (ofTheRule !== null) return ofTheRule;
    const next = applyPatch(key, patch);
    if (new TextEncoder().encode(JSON.stringify(next.metadata)).length > MAX_METADATA_BYTES) {
      return fail("request_invalid", `metadata may have ${MAX_METADATA_BYTES} bytes as JSON.`, "/metadata");
    }
    const fault = [
      ...checkIssuance(next, change.context.publishableScopes),
      ...checkNewDeadlines(key, next, change.now),
    ][0];
    if (fault !== undefined) return fail("request_invalid", fault.detail, fault.pointer);
    return ok(toKeyRecord(change.replaceKey(key, next, "key.update", null), change.now));
  });
}

/** A deadline that stays may well be past: an expired key can still be renamed. */
function checkNewDeadlines(before: StoredKey, after: StoredKey, now: EpochMs): readonly IssuanceFault[] {
  const notBefore = before.notBefore === after.notBefore ? null : after.notBefore;
  const expiresAt = before.expiresAt === after.expiresAt ? null : after.expiresAt;
  return checkDeadlines({ notBefore, expiresAt }, now);
}

function applyPatch(key: StoredKey, patch: KeyPatch): StoredKey {
  return {
    ...key,
    name: patch.name ?? key.name,
    scopes: patch.scopes ?? key.scopes,
    limits: patch.limits ?? key.limits,
    tags: patch.tags ?? key.tags,
    plan: patch.plan === undefined ? key.plan : patch.plan,
    purpose: patch.purpose === undefined ? key.purpose : patch.purpose,
    notBefore: patch.notBefore === undefined ? key.notBefore : toEpochMs(patch.notBefore),
    expiresAt: patch.expiresAt === undefined ? key.expiresAt : toEpochMs(patch.expiresAt),
    bindings: mergePatch(key.bindings, patch.bindings),
    policy: mergePatch(key.policy, patch.policy),
    metadata: mergePatch(key.metadata, patch.metadata),
  };
}

/**
 * A new key of the same lineage; the old one goes on until the overlap's end. Without an expiry of its own the new key
 * gets the old one's lifetime anew, counted from now; a key that never expired is replaced by one that never does.
 */
export function rotateKey(change: Change, id: KeyId, rotation: Rotation): Outcome {
  return withKey(change, id, (key) => {
    const lost = checkGeneration(change.context, key);
    if (lost !== null) return lost;
    const refusal = checkRotation(change, key, rotation);
    if (refusal !== null) return refusal;
    const createdAt = nextCreationTime(change.parts.sql, change.now);
    const expiresAt = rotation.expiresAt === undefined ? renewedExpiry(key, change.now) : toEpochMs(rotation.expiresAt);
    const overlapEnd = change.now + rotation.overlapSeconds * 1_000;
    const notAfter = Math.min(overlapEnd, key.expiresAt ?? Infinity);
    const successor: StoredKey = {
      ...key,
      seq: 0,
      id: newId("key_", createdAt),
      hash: rotation.hash,
      hint: rotation.hint,
      rotatedFrom: key.id,
      createdAt,
      createdBy: change.context.actor.id,
      updatedAt: createdAt,
      expiresAt,
      // A start that lies behind us says nothing of the new key, and might stand after its expiry.
      notBefore: key.notBefore !== null && key.notBefore > change.now ? key.notBefore : null,
      lastUsedAt: null,
      generation: 1,
    };
    const fault = [
      ...checkIssuance(successor, change.context.publishableScopes),
      ...checkDeadlines(successor, change.now),
    ][0];
    if (fault !== undefined) return fail("request_invalid", fault.detail, fault.pointer);
    change.replaceKey(key, { ...key, rotatedAt: change.now, notAfter }, "key.rotate", `replaced by ${successor.id}`);
    change.addKey(successor, "key.create", `replaces ${key.id}`);
    return ok(toKeyRecord(successor, change.now));
  });
}

function checkRotation(change: Change, key: StoredKey, rotation: Rotation): Result<never, RegistryError> | null {
  const status = statusOf(key, change.now);
  if (status === "disabled" && key.ownerDisabled) return fail("conflict", ownerDisabledDetail(key.owner));
  if (status === "rotating") {
    return fail("conflict", "This key is being replaced already; rotate the key that replaces it.");
  }
  if (status !== "active") return fail("conflict", `A key that is ${status} cannot be rotated.`);
  if (change.parts.keys.byHash(rotation.hash) !== null) return fail("conflict", "The new key exists already.");
  return null;
}

function renewedExpiry(key: StoredKey, now: EpochMs): EpochMs | null {
  return key.expiresAt === null ? null : now + (key.expiresAt - key.createdAt);
}

/** For good. A key that was revoked before is answered as it is: the first reason stands. */
export function revokeKey(change: Change, id: KeyId, reason: RevocationReason, note: string | null): Outcome {
  return withKey(change, id, (key) => {
    if (key.state === "revoked") return ok(toKeyRecord(change.keepKey(key), change.now));
    const lost = checkGeneration(change.context, key);
    if (lost !== null) return lost;
    const next: StoredKey = { ...key, state: "revoked", revokedAt: change.now, revokedReason: reason };
    return ok(toKeyRecord(change.replaceKey(key, next, "key.revoke", note), change.now));
  });
}

/**
 * The reversible stop, and its end. Asking for what is already so changes nothing. While the owner is disabled this sets what the
 * key will be afterwards.
 */
export function setKeyDisabled(change: Change, id: KeyId, disabled: boolean): Outcome {
  return withKey(change, id, (key) => {
    const lost = checkGeneration(change.context, key);
    if (lost !== null) return lost;
    const status = statusOf(key, change.now);
    if (status === "revoked") return fail("conflict", "A revoked key stays revoked.");
    if (status === "expired" && !disabled) return fail("conflict", "An expired key cannot be enabled.");
    const state = disabled ? "disabled" : "active";
    if (key.state === state) return ok(toKeyRecord(change.keepKey(key), change.now));
    const action = disabled ? "key.disable" : "key.enable";
    return ok(toKeyRecord(change.replaceKey(key, { ...key, state }, action, null), change.now));
  });
}
