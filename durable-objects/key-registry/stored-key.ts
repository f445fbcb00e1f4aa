import type { EpochMs, EdgeRecord, KeyHash, KeyId } from "../../src/keys/record.ts";
import type { RevocationReason } from "./api.ts";

/** A key as the registry holds it in memory: the edge's facts, and what only operators see. */
export interface StoredKey extends Omit<EdgeRecord, "v"> {
  /** Order of creation within the workspace; 0 before it is stored. */
  readonly seq: number;
  readonly hash: KeyHash;
  readonly name: string;
  readonly tags: readonly string[];
  readonly purpose: string | null;
  readonly createdAt: EpochMs;
  readonly createdBy: string;
  readonly updatedAt: EpochMs;
  readonly rotatedFrom: KeyId | null;
  readonly revokedAt: EpochMs | null;
  readonly revokedReason: RevocationReason | null;
  /** The owner is stopped, and so is this key, whatever its own `state`: see `stateAtEdge`. Says nothing of a revoked key. */
  readonly ownerDisabled: boolean;
  readonly lastUsedAt: EpochMs | null;
}

/** A row of `keys`. Lists and objects are JSON; times are epoch ms. */
export type KeyRow = {
  readonly seq: number;
  readonly id: string;
  readonly hash: string;
  readonly lineage_id: string;
  readonly name: string;
  readonly owner: string;
  readonly environment: string;
  readonly kind: string;
  readonly hint: string;
  readonly scopes: string;
  readonly plan: string | null;
  readonly limits: string;
  readonly owner_limited: number;
  readonly owner_disabled: number;
  readonly bindings: string;
  readonly policy: string;
  readonly metadata: string;
  readonly tags: string;
  readonly purpose: string | null;
  readonly state: string;
  readonly phase: string;
  readonly created_at: number;
  readonly created_by: string;
  readonly updated_at: number;
  readonly not_before: number | null;
  readonly expires_at: number | null;
  readonly not_after: number | null;
  readonly rotated_at: number | null;
  readonly rotated_from: string | null;
  readonly revoked_at: number | null;
  readonly revoked_reason: string | null;
  /** 0: never. */
  readonly last_used_at: number;
  readonly generation: number;
  readonly tokens_revoked_at: number | null;
  /** JSON, or `null` for none. */
  readonly revoked_tokens: string | null;
};
