import type { EdgeRecord } from "../../src/keys/record.ts";

/** A key that may do everything, for tests of what happens after the check. */
export function proxyRecord(changes: Partial<EdgeRecord> = {}): EdgeRecord {
  return {
    v: 1,
    id: "key_01hzzzzzzzzzzzzzzzzzzzzzzz",
    lineageId: "lin_01hzzzzzzzzzzzzzzzzzzzzzzz",
    workspace: "default",
    owner: "acme",
    environment: "live",
    kind: "secret",
    hint: "lk_live_AbCd…wxyz",
    scopes: ["reports:read", "charges:*"],
    plan: null,
    limits: [],
    ownerLimited: false,
    bindings: {},
    policy: {},
    metadata: {},
    state: "active",
    notBefore: null,
    expiresAt: null,
    notAfter: null,
    rotatedAt: null,
    generation: 1,
    ...changes,
  };
}
