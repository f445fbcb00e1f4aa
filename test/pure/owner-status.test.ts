import { expect, test } from "vitest";
import { toEdgeRecord, toKeyRecord } from "../../durable-objects/key-registry/edge-record.ts";
import type { StoredKey } from "../../durable-objects/key-registry/stored-key.ts";
import { digestKey } from "../../src/keys/digest.ts";
import { statusAt } from "../../src/keys/status.ts";

/** What a key is while its owner is disabled. */

const NOW = 1_000_000;

const KEY: StoredKey = {
  seq: 1,
  id: "key_1",
  hash: digestKey("one"),
  lineageId: "lin_1",
  workspace: "default",
  name: "Invoices",
  owner: "acme",
  environment: "live",
  kind: "secret",
  hint: "h",
  scopes: [],
  plan: null,
  limits: [],
  ownerLimited: false,
  ownerDisabled: false,
  bindings: {},
  policy: {},
  metadata: {},
  tags: [],
  purpose: null,
  state: "active",
  createdAt: 0,
  createdBy: "root",
  updatedAt: 0,
  notBefore: null,
  expiresAt: null,
  notAfter: null,
  rotatedAt: null,
  rotatedFrom: null,
  revokedAt: null,
  revokedReason: null,
  lastUsedAt: null,
  generation: 1,
};

/** Every state with every deadline, past, just now and to come. */
const ENDS = [null, NOW - 1, NOW, NOW + 1];
const KEYS: readonly StoredKey[] = (["active", "disabled", "revoked"] as const).flatMap((state) =>
  ENDS.flatMap((expiresAt) => ENDS.map((notAfter) => ({ ...KEY, state, expiresAt, notAfter }))),
);

const stop = (key: StoredKey): StoredKey => ({ ...key, ownerDisabled: true });

test("operators are shown the status that the edge goes by, of every key", () => {
  for (const key of [...KEYS, ...KEYS.map(stop)])
    expect(toKeyRecord(key, NOW).status).toBe(statusAt(toEdgeRecord(key), NOW));
});

test("no key of a disabled owner works, and one that had ended by itself is called what it was", () => {
  for (const key of KEYS) {
    const before = toKeyRecord(key, NOW).status;
    const stopped = toKeyRecord(stop(key), NOW);
    expect(stopped.status).toBe(before === "active" || before === "rotating" ? "disabled" : before);
    // What it was shows where the owner's stop could hide it, and nowhere else.
    expect(stopped.ownStatus).toBe(stopped.status === "disabled" ? before : undefined);
    expect(toKeyRecord(key, NOW)).not.toHaveProperty("ownStatus");
  }
});

test("a deadline that passes while the owner is disabled counts", () => {
  const key = stop({ ...KEY, expiresAt: NOW + 10 });
  expect([toKeyRecord(key, NOW).status, toKeyRecord(key, NOW + 10).status]).toEqual(["disabled", "expired"]);
  expect(statusAt(toEdgeRecord(key), NOW + 10)).toBe("expired");
});
