import type { EdgeRecord, KeyHash } from "./record.ts";

/** Where a key's record stands in the KV namespace `KEYS`. */
export function recordKey(hash: KeyHash): string {
  return `key:${hash}`;
}

/**
 * Whether a value read from storage is a record that this version understands. Storage is written by the registry
 * alone, so this guards against another version's shape, not against an attacker: the fields that decide are looked at.
 */
export function isEdgeRecord(value: unknown): value is EdgeRecord {
  if (typeof value !== "object" || value === null) return false;
  // Each member is looked at below before it is believed.
  const record = value as Partial<Record<keyof EdgeRecord, unknown>>;
  return (
    record.v === 1 &&
    typeof record.id === "string" &&
    typeof record.lineageId === "string" &&
    typeof record.workspace === "string" &&
    typeof record.owner === "string" &&
    typeof record.generation === "number" &&
    (record.state === "active" || record.state === "disabled" || record.state === "revoked") &&
    Array.isArray(record.scopes) &&
    Array.isArray(record.limits)
  );
}
