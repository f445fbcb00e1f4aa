import { evictDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import type { AuditEntry, AuditFilter } from "../../durable-objects/key-registry/api.ts";
import { AUDIT_CHUNK_ROWS } from "../../durable-objects/key-registry/bounds.ts";
import { context, created, done, failureOf, hashOf, openRegistry, withFakeEdge } from "../support/registry-lab.ts";
import type { RegistryLab } from "../support/registry-lab.ts";

async function entries(lab: RegistryLab, filter: AuditFilter = {}): Promise<readonly AuditEntry[]> {
  const page = await lab.api.listAudit(filter, 200, null);
  if (!page.ok) throw new Error(page.error.detail);
  return page.value.data;
}

/** As an intruder with the database in hand would: the triggers are gone first. */
async function tamper(lab: RegistryLab, statement: string): Promise<void> {
  await lab.sql("DROP TRIGGER IF EXISTS audit_is_not_changed");
  await lab.sql("DROP TRIGGER IF EXISTS audit_is_not_deleted");
  await lab.sql(statement);
}

async function filled(keys: number): Promise<RegistryLab> {
  const lab = openRegistry();
  await withFakeEdge(lab);
  for (let count = 0; count < keys; count++) await created(lab);
  return lab;
}

test("every change leaves an entry with its actor, address, and the key before and after", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const actor = { kind: "admin_key", id: "key_admin", address: "198.51.100.9", requestId: "req_9" } as const;
  const key = await created(lab);
  await done(lab.api.patch(key.id, { name: "Renamed" }, context({ actor })));
  await done(lab.api.setDisabled(key.id, true, context()));
  await done(lab.api.setDisabled(key.id, false, context()));
  const next = (await done(lab.api.rotate(key.id, { hash: hashOf(key.id), hint: "h", overlapSeconds: 60 }, context())))
    .value;
  await done(lab.api.revoke(key.id, "leaked", "on a forum", context()));
  await done(lab.api.putOwner("acme", { name: "Acme", limits: [], metadata: {} }, context()));
  const all = [...(await entries(lab))].reverse();
  expect(all.map((entry) => entry.action)).toEqual([
    "key.create",
    "key.update",
    "key.disable",
    "key.enable",
    "key.rotate",
    "key.create",
    "key.revoke",
    "owner.put",
  ]);
  expect(all.map((entry) => entry.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(all[1]).toMatchObject({
    actor,
    subject: { kind: "key", id: key.id },
    before: { name: "Invoices", generation: 1 },
    after: { name: "Renamed", generation: 2 },
  });
  expect(all[5]).toMatchObject({ subject: { id: next.id }, before: null, note: `replaces ${key.id}` });
  expect(all[6]).toMatchObject({ note: "on a forum", after: { status: "revoked", revokedReason: "leaked" } });
  expect(await lab.api.verifyAudit()).toMatchObject({
    valid: true,
    entries: 8,
    head: all[7]?.hash,
    firstBadSequence: null,
  });
  await evictDurableObject(lab.stub);
  expect(await lab.api.verifyAudit()).toMatchObject({ valid: true, entries: 8 });
});

test("a write that changes nothing leaves no entry", async () => {
  const lab = await filled(1);
  const [key] = await entries(lab);
  await lab.api.setDisabled(key?.subject.id ?? "", false, context());
  await lab.api.patch("key_unknown", { name: "x" }, context());
  expect((await entries(lab)).length).toBe(1);
});

test("entries can be neither changed nor deleted", async () => {
  const lab = await filled(1);
  expect(await failureOf(() => lab.sql("UPDATE audit SET note = 'x'"))).toContain("append-only");
  expect(await failureOf(() => lab.sql("DELETE FROM audit"))).toContain("append-only");
});

test.each([
  ["a changed note", "UPDATE audit SET note = 'x' WHERE sequence = 3", 3],
  ["a changed actor", "UPDATE audit SET actor_id = 'someone' WHERE sequence = 2", 2],
  ["a changed time", "UPDATE audit SET time = time - 1 WHERE sequence = 4", 4],
  ["a changed record", "UPDATE audit SET after = '{}' WHERE sequence = 1", 1],
  ["a column that does not parse", "UPDATE audit SET before = '{' WHERE sequence = 2", 2],
  ["a removed entry", "DELETE FROM audit WHERE sequence = 3", 3],
  ["a removed first entry", "DELETE FROM audit WHERE sequence = 1", 1],
  ["a removed last entry", "DELETE FROM audit WHERE sequence = 5", 5],
  ["an emptied log", "DELETE FROM audit", 1],
  ["a new hash for changed content", "UPDATE audit SET note = 'x', hash = 'abc' WHERE sequence = 5", 5],
])("the chain shows %s", async (_what, statement, sequence) => {
  const lab = await filled(5);
  await tamper(lab, statement);
  expect(await lab.api.verifyAudit()).toMatchObject({ valid: false, firstBadSequence: sequence });
});

test("a chain longer than one chunk is verified whole", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const key = await created(lab);
  for (let count = 0; count < AUDIT_CHUNK_ROWS; count++) {
    await lab.api.setDisabled(key.id, count % 2 === 0, context());
  }
  expect(await lab.api.verifyAudit()).toMatchObject({ valid: true, entries: AUDIT_CHUNK_ROWS + 1 });
  await tamper(lab, `UPDATE audit SET note = 'x' WHERE sequence = ${AUDIT_CHUNK_ROWS + 1}`);
  expect(await lab.api.verifyAudit()).toMatchObject({ valid: false, firstBadSequence: AUDIT_CHUNK_ROWS + 1 });
});

test("the audit list is filtered, paged, newest first, and stable while entries are added", async () => {
  const lab = await filled(4);
  const actor = { kind: "admin_key", id: "key_admin", address: null, requestId: null } as const;
  const [, first] = [...(await entries(lab))].reverse();
  const id = first?.subject.id ?? "";
  await done(lab.api.patch(id, { name: "x" }, context({ actor })));
  expect((await entries(lab, { subject: id })).map((entry) => entry.action)).toEqual(["key.update", "key.create"]);
  expect((await entries(lab, { actor: "key_admin" })).length).toBe(1);
  expect((await entries(lab, { action: "key.create" })).length).toBe(4);
  expect((await entries(lab, { subject: id, action: "key.create" })).length).toBe(1);
  const seen: number[] = [];
  let cursor: string | null = null;
  do {
    const page = await lab.api.listAudit({}, 2, cursor);
    if (!page.ok) throw new Error(page.error.detail);
    seen.push(...page.value.data.map((entry) => entry.sequence));
    cursor = page.value.nextCursor;
    if (seen.length === 2) await created(lab);
  } while (cursor !== null);
  expect(seen).toEqual([5, 4, 3, 2, 1]);
  expect(await lab.api.listAudit({}, 2, "nonsense")).toMatchObject({ ok: false, error: { code: "request_invalid" } });
});

test("from is inclusive and to is exclusive", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  await created(lab);
  await scheduler.wait(5);
  await created(lab);
  await scheduler.wait(5);
  await created(lab);
  const [third, second, first] = await entries(lab);
  const times = { from: second?.time ?? "", to: third?.time ?? "" };
  expect((await entries(lab, times)).map((entry) => entry.sequence)).toEqual([2]);
  expect((await entries(lab, { from: times.from })).map((entry) => entry.sequence)).toEqual([3, 2]);
  expect((await entries(lab, { to: first?.time ?? "" })).length).toBe(0);
  expect(await lab.api.listAudit({ from: "yesterday" }, 2, null)).toMatchObject({
    ok: false,
    error: { pointer: "/from" },
  });
});
