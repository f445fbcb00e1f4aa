import type { EdgeRecord, EpochMs, KeyHash, KeyState } from "../../src/keys/record.ts";
import { statusAt } from "../../src/keys/status.ts";
import type { KeyStatus } from "../../src/keys/status.ts";
import type { KeyRecord } from "./api.ts";
import type { KeyRow, StoredKey } from "./stored-key.ts";

/** One key in its three forms: the row, the record at the edge, and the record that the control API shows. */

export function fromRow(row: KeyRow): StoredKey {
  return {
    seq: row.seq,
    id: row.id,
    // The column holds nothing but hashes.
    hash: row.hash as KeyHash,
    lineageId: row.lineage_id,
    // Two-valued columns hold what `NewKey` had; the same goes for `kind`, `state` and `revoked_reason`.
    environment: row.environment as StoredKey["environment"],
    kind: row.kind as StoredKey["kind"],
    state: row.state as StoredKey["state"],
    revokedReason: row.revoked_reason as StoredKey["revokedReason"],
    workspace: "",
    name: row.name,
    owner: row.owner,
    hint: row.hint,
    plan: row.plan,
    ownerLimited: row.owner_limited === 1,
    ownerDisabled: row.owner_disabled === 1,
    scopes: readJson(row.scopes),
    limits: readJson(row.limits),
    bindings: readJson(row.bindings),
    policy: readJson(row.policy),
    metadata: readJson(row.metadata),
    tags: readJson(row.tags),
    purpose: row.purpose,
    createdAt: row.created_at,
    createdBy: row.created_by,
    updatedAt: row.updated_at,
    notBefore: row.not_before,
    expiresAt: row.expires_at,
    notAfter: row.not_after,
    rotatedAt: row.rotated_at,
    rotatedFrom: row.rotated_from,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at === 0 ? null : row.last_used_at,
    generation: row.generation,
    ...(row.tokens_revoked_at === null ? {} : { tokensRevokedAt: row.tokens_revoked_at }),
    ...(row.revoked_tokens === null ? {} : { revokedTokens: readJson(row.revoked_tokens) }),
  };
}

/**
 * The state that the edge goes by: a disabled owner disables its keys. The key's own state stays as it is underneath, and is what
 * the edge hears again once the owner is enabled.
 */
export function stateAtEdge({ state, ownerDisabled }: Pick<StoredKey, "state" | "ownerDisabled">): KeyState {
  return ownerDisabled && state === "active" ? "disabled" : state;
}

/** The status that operators see and lists go by: the one that clients meet. */
export function statusOf(
  key: Pick<StoredKey, "state" | "ownerDisabled" | "expiresAt" | "notAfter">,
  now: EpochMs,
): KeyStatus {
  return statusAt({ ...key, state: stateAtEdge(key) }, now);
}

/** What KV and the meter hold: no hash, no name, nothing that only operators need. */
export function toEdgeRecord(key: StoredKey): EdgeRecord {
  return {
    v: 1,
    id: key.id,
    lineageId: key.lineageId,
    workspace: key.workspace,
    owner: key.owner,
    environment: key.environment,
    kind: key.kind,
    hint: key.hint,
    scopes: key.scopes,
    plan: key.plan,
    limits: key.limits,
    ownerLimited: key.ownerLimited,
    bindings: key.bindings,
    policy: key.policy,
    metadata: key.metadata,
    state: stateAtEdge(key),
    notBefore: key.notBefore,
    expiresAt: key.expiresAt,
    notAfter: key.notAfter,
    rotatedAt: key.rotatedAt,
    generation: key.generation,
    ...(key.tokensRevokedAt === undefined ? {} : { tokensRevokedAt: key.tokensRevokedAt }),
    ...(key.revokedTokens === undefined ? {} : { revokedTokens: key.revokedTokens }),
  };
}

/** What operators see, with the status at `now`. No hash. */
export function toKeyRecord(key: StoredKey, now: EpochMs): KeyRecord {
  const status = statusOf(key, now);
  return {
    id: key.id,
    lineageId: key.lineageId,
    workspace: key.workspace,
    name: key.name,
    owner: key.owner,
    environment: key.environment,
    kind: key.kind,
    status,
    ...(key.ownerDisabled && status === "disabled" ? { ownStatus: statusAt(key, now) } : {}),
    hint: key.hint,
    scopes: key.scopes,
    plan: key.plan,
    limits: key.limits,
    bindings: key.bindings,
    policy: key.policy,
    metadata: key.metadata,
    tags: key.tags,
    purpose: key.purpose,
    createdAt: toTimestamp(key.createdAt),
    createdBy: key.createdBy,
    updatedAt: toTimestamp(key.updatedAt),
    notBefore: toTimestampOrNull(key.notBefore),
    expiresAt: toTimestampOrNull(key.expiresAt),
    notAfter: toTimestampOrNull(key.notAfter),
    rotatedFrom: key.rotatedFrom,
    revokedAt: toTimestampOrNull(key.revokedAt),
    revokedReason: key.revokedReason,
    lastUsedAt: toTimestampOrNull(key.lastUsedAt),
    ...(key.tokensRevokedAt === undefined ? {} : { tokensRevokedAt: toTimestamp(key.tokensRevokedAt) }),
    generation: key.generation,
  };
}

/** RFC 3339 UTC with milliseconds. */
export function toTimestamp(time: EpochMs): string {
  return new Date(time).toISOString();
}

function toTimestampOrNull(time: EpochMs | null): string | null {
  return time === null ? null : toTimestamp(time);
}

/** Reads a column that this object wrote with `JSON.stringify` from a value of the same type. */
export function readJson<T>(text: string): T {
  // What stands in the column is what was put there, typed, by `writeKey` and its like.
  return JSON.parse(text) as T;
}
