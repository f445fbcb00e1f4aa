import { evictDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import type { KeyRecord } from "../../durable-objects/key-registry/api.ts";
import { IDEMPOTENCY_TTL_SECONDS, MAX_METADATA_BYTES } from "../../src/constants.ts";
import {
  context,
  created,
  done,
  failureOf,
  hashOf,
  newKey,
  openRegistry,
  withFakeEdge,
} from "../support/registry-lab.ts";

const LIMIT = { name: "shared", limit: 10, window: "minute", kind: "rate" } as const;

async function allRows(lab: ReturnType<typeof openRegistry>): Promise<string> {
  const tables = [
    "keys",
    "key_scopes",
    "key_tags",
    "key_counts",
    "owners",
    "audit",
    "audit_head",
    "outbox",
    "idempotency",
    "idempotency_answers",
  ];
  const rows = await Promise.all(tables.map((table) => lab.sql(`SELECT * FROM ${table}`)));
  return JSON.stringify(rows);
}

test("a created key is listed, read and known to meter and KV before the answer", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const input = newKey({ tags: ["blue"], metadata: { team: 7 } });
  const written = await done(lab.api.create(input, context()));
  expect(written).toMatchObject({ replayed: false, delivered: true });
  const key = written.value;
  expect(key).toMatchObject({
    status: "active",
    generation: 1,
    workspace: lab.workspace,
    createdBy: "root",
    tags: ["blue"],
    metadata: { team: 7 },
    rotatedFrom: null,
  });
  expect(key.id).toMatch(/^key_[0-9a-hjkmnp-tv-z]{26}$/);
  expect(edge.meter.get(key.id)).toMatchObject({ v: 1, generation: 1, state: "active", lineageId: key.lineageId });
  expect(edge.kv.get(`key:${input.hash}`)).toMatchObject({ id: key.id, generation: 1 });
  expect(await lab.api.get(key.id)).toEqual({ ok: true, value: key });
  expect(await lab.api.list({}, 10, null)).toEqual({ ok: true, value: { data: [key], nextCursor: null } });
  expect((await lab.api.status()).outboxPending).toBe(0);
});

test("no answer of the registry holds a hash", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const input = newKey();
  const first = await lab.api.create(input, context({ idempotency: { key: "a", fingerprint: "f" } }));
  const key = first.ok ? first.value.value : null;
  await lab.api.revoke(key?.id ?? "", "leaked", "seen", context());
  const answers = [
    first,
    await lab.api.list({}, 10, null),
    await lab.api.listAudit({}, 10, null),
    await lab.api.getOwner("acme"),
    await lab.api.create(input, context()),
  ];
  expect(JSON.stringify(answers)).not.toContain(input.hash);
  const kept = await lab.sql("SELECT body FROM idempotency_answers");
  expect(new TextDecoder().decode(kept[0]?.["body"] as ArrayBuffer)).not.toContain(input.hash);
});

test.each(["keys", "audit", "outbox", "idempotency", "key_scopes", "owners"])(
  "a failure at %s leaves no part of a change behind",
  async (table) => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const key = await created(lab);
    const before = await allRows(lab);
    await lab.sql(`CREATE TRIGGER broken BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'injected'); END`);
    const write = context({ idempotency: { key: "x", fingerprint: "f" } });
    const fresh = newKey({ owner: "other", scopes: ["a:read", "b:read"] });
    expect(await failureOf(() => lab.api.create(fresh, write))).toContain("injected");
    if (table === "keys" || table === "audit" || table === "outbox") {
      const rotation = { hash: hashOf(crypto.randomUUID()), hint: "h", overlapSeconds: 60 };
      expect(await failureOf(() => lab.api.rotate(key.id, rotation, write))).toContain("injected");
    }
    if (table === "audit" || table === "outbox") {
      expect(await failureOf(() => lab.api.revoke(key.id, "leaked", null, write))).toContain("injected");
      expect(
        await failureOf(() => lab.api.putOwner("acme", { name: null, limits: [LIMIT], metadata: {} }, write)),
      ).toContain("injected");
    }
    await lab.sql("DROP TRIGGER broken");
    expect(await allRows(lab)).toBe(before);
    // And the same request goes through afterwards.
    expect(await lab.api.create(fresh, write)).toMatchObject({ ok: true });
  },
);

test("the same key comes into being once, also when two calls race", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const input = newKey();
  const results = await Promise.all([lab.api.create(input, context()), lab.api.create(input, context())]);
  expect(results.map((result) => (result.ok ? "ok" : result.error.code)).toSorted()).toEqual(["conflict", "ok"]);
});

test("no workspace can take over another's key by its hash", async () => {
  const mine = openRegistry();
  const theirs = openRegistry();
  await withFakeEdge(mine);
  const edge = await withFakeEdge(theirs);
  const input = newKey();
  const key = (await done(mine.api.create(input, context()))).value;
  expect(await theirs.api.create(input, context())).toMatchObject({ ok: false, error: { code: "conflict" } });
  for (const dryRun of [true, false]) {
    const imported = await done(theirs.api.import([input], dryRun, context()));
    expect(imported.value[0]?.result).toMatchObject({ ok: false, error: { code: "conflict" } });
  }
  expect(edge.kv.size).toBe(0);
  expect(await theirs.api.get(key.id)).toMatchObject({ ok: false, error: { code: "not_found" } });
  expect(await theirs.api.revoke(key.id, "other", null, context())).toMatchObject({
    ok: false,
    error: { code: "not_found" },
  });
});

test("a rotation makes a key of the same lineage, and both reach the meter in one call", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const old = await created(lab, { tags: ["t"], limits: [LIMIT], metadata: { a: 1 } });
  edge.calls.length = 0;
  const rotation = { hash: hashOf(`${old.id} next`), hint: "lk_live_EfGh…stuv", overlapSeconds: 3_600 };
  const next = (await done(lab.api.rotate(old.id, rotation, context()))).value;
  expect(next).toMatchObject({
    lineageId: old.lineageId,
    rotatedFrom: old.id,
    name: old.name,
    owner: old.owner,
    scopes: old.scopes,
    limits: old.limits,
    tags: old.tags,
    metadata: old.metadata,
    status: "active",
    generation: 1,
    hint: "lk_live_EfGh…stuv",
    expiresAt: null,
  });
  const replaced = await lab.api.get(old.id);
  expect(replaced).toMatchObject({ ok: true, value: { status: "rotating", generation: 2 } });
  const told = edge.calls.filter((call) => call.startsWith("meter"));
  expect(told).toEqual([expect.stringMatching(new RegExp(`^meter ${old.lineageId} (2,1|1,2)$`))]);
  const notAfter = edge.meter.get(old.id)?.notAfter ?? 0;
  expect(notAfter - (edge.meter.get(old.id)?.rotatedAt ?? 0)).toBe(3_600_000);
  expect(edge.kv.get(`key:${rotation.hash}`)?.id).toBe(next.id);
});

test("a rotation's overlap never outlasts the old key's own expiry, and the lifetime starts anew", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  const old = await created(lab, { expiresAt });
  const next = (
    await done(lab.api.rotate(old.id, { hash: hashOf(old.id), hint: "h", overlapSeconds: 3_600 }, context()))
  ).value;
  const replaced = await lab.api.get(old.id);
  expect(replaced.ok && replaced.value.notAfter).toBe(expiresAt);
  const lifetime = (key: KeyRecord): number => Date.parse(key.expiresAt ?? "") - Date.parse(key.createdAt);
  expect(Math.abs(lifetime(next) - lifetime(old))).toBeLessThan(1_000);
});

test("an overlap of 0 ends the old key at once", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const old = await created(lab);
  await done(lab.api.rotate(old.id, { hash: hashOf(old.id), hint: "h", overlapSeconds: 0 }, context()));
  expect(await lab.api.get(old.id)).toMatchObject({ ok: true, value: { status: "expired" } });
});

test("only an active key can be rotated", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const rotate = (id: string, salt: string) =>
    lab.api.rotate(id, { hash: hashOf(id + salt), hint: "h", overlapSeconds: 60 }, context());
  const rotating = await created(lab);
  await done(rotate(rotating.id, "1"));
  const disabled = await created(lab);
  await done(lab.api.setDisabled(disabled.id, true, context()));
  const revoked = await created(lab);
  await done(lab.api.revoke(revoked.id, "retired", null, context()));
  for (const key of [rotating, disabled, revoked]) {
    expect(await rotate(key.id, "2")).toMatchObject({ ok: false, error: { code: "conflict" } });
  }
  expect(await rotate("key_unknown", "3")).toMatchObject({ ok: false, error: { code: "not_found" } });
});

test("a revocation is for good, and a second one changes nothing", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  const first = await done(lab.api.revoke(key.id, "leaked", "on a forum", context()));
  expect(first).toMatchObject({
    delivered: true,
    value: { status: "revoked", revokedReason: "leaked", generation: 2 },
  });
  expect(edge.meter.get(key.id)?.state).toBe("revoked");
  const second = await done(lab.api.revoke(key.id, "retired", null, context({ ifGeneration: 1 })));
  expect(second.value).toEqual(first.value);
  for (const refused of [
    lab.api.patch(key.id, { name: "x" }, context()),
    lab.api.setDisabled(key.id, false, context()),
    lab.api.setDisabled(key.id, true, context()),
  ]) {
    expect(await refused).toMatchObject({ ok: false, error: { code: "conflict" } });
  }
  expect((await lab.api.status()).revocationDelivery.count).toBe(1);
});

test("disable and enable are reversible, repeatable, and not for expired keys", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab);
  await done(lab.api.setDisabled(key.id, true, context()));
  const again = await done(lab.api.setDisabled(key.id, true, context()));
  expect(again.value).toMatchObject({ status: "disabled", generation: 2 });
  expect(edge.meter.get(key.id)?.state).toBe("disabled");
  const enabled = await done(lab.api.setDisabled(key.id, false, context()));
  expect(enabled.value).toMatchObject({ status: "active", generation: 3 });
  const old = await created(lab);
  await done(lab.api.rotate(old.id, { hash: hashOf(old.id), hint: "h", overlapSeconds: 0 }, context()));
  expect(await lab.api.setDisabled(old.id, false, context())).toMatchObject({ ok: false, error: { code: "conflict" } });
});

test("a patch merges, keeps what it does not name, and refuses what no key may be", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const key = await created(lab, {
    metadata: { a: 1, b: { c: 2, d: 3 } },
    bindings: { ips: ["192.0.2.0/24"] },
    tags: ["x"],
  });
  const patched = await done(
    lab.api.patch(
      key.id,
      { metadata: { b: { c: null }, e: 5 }, bindings: { countries: ["DE"] }, plan: "pro" },
      context(),
    ),
  );
  expect(patched.value).toMatchObject({
    metadata: { a: 1, b: { d: 3 }, e: 5 },
    bindings: { ips: ["192.0.2.0/24"], countries: ["DE"] },
    plan: "pro",
    tags: ["x"],
    generation: 2,
  });
  expect((await done(lab.api.patch(key.id, { metadata: null, plan: null }, context()))).value).toMatchObject({
    metadata: {},
    plan: null,
  });
  expect(await lab.api.patch(key.id, { scopes: [] }, context())).toMatchObject({
    ok: false,
    error: { code: "request_invalid", pointer: "/scopes" },
  });
  const size = (bytes: number) => ({ metadata: { x: "y".repeat(bytes - '{"x":""}'.length) } });
  expect(await lab.api.patch(key.id, size(MAX_METADATA_BYTES), context())).toMatchObject({ ok: true });
  expect(await lab.api.patch(key.id, size(MAX_METADATA_BYTES + 1), context())).toMatchObject({
    ok: false,
    error: { pointer: "/metadata" },
  });
  const shown = await created(lab, {
    kind: "publishable",
    scopes: ["a:read"],
    bindings: { origins: ["https://a.example"] },
  });
  expect(await lab.api.patch(shown.id, { bindings: { origins: null } }, context())).toMatchObject({
    ok: false,
    error: { pointer: "/bindings/origins" },
  });
  expect(await lab.api.patch(shown.id, { scopes: ["a:write"] }, context())).toMatchObject({
    ok: false,
    error: { pointer: "/scopes/0" },
  });
  expect(
    await lab.api.patch(shown.id, { scopes: ["a:write"] }, context({ publishableScopes: ["a:write"] })),
  ).toMatchObject({ ok: true });
});

test("what a write answers is what is stored, to the last field", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const key = await created(lab, { notBefore: new Date(Date.now() + 1_000).toISOString() });
  const later = new Date(Date.now() + 60_000).toISOString();
  const patch = {
    name: "n",
    scopes: ["s:read"],
    plan: "p",
    limits: [LIMIT],
    bindings: { countries: ["DE"] },
    policy: { strict: true },
    metadata: { m: 1 },
    tags: ["t"],
    purpose: "u",
    notBefore: null,
    expiresAt: later,
  };
  const patched = await done(lab.api.patch(key.id, patch, context()));
  expect(patched.value).toMatchObject({ ...patch, generation: 2 });
  await evictDurableObject(lab.stub);
  expect(await lab.api.get(key.id)).toEqual({ ok: true, value: patched.value });
  const { name: _name, tags: _tags, purpose: _purpose, notBefore, expiresAt, ...facts } = patch;
  expect(edge.meter.get(key.id)).toMatchObject({ ...facts, notBefore, expiresAt: Date.parse(expiresAt) });
  const rotated = await done(
    lab.api.rotate(key.id, { hash: hashOf(key.id), hint: "h2", overlapSeconds: 60 }, context()),
  );
  expect(await lab.api.get(rotated.value.id)).toEqual({ ok: true, value: rotated.value });
  const revoked = await done(lab.api.revoke(rotated.value.id, "policy", null, context()));
  expect(await lab.api.get(rotated.value.id)).toEqual({ ok: true, value: revoked.value });
});

test("a change that was meant for an older state is refused", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const key = await created(lab);
  const results = await Promise.all(
    ["x", "y"].map((name) => lab.api.patch(key.id, { name }, context({ ifGeneration: 1 }))),
  );
  expect(results.map((result) => (result.ok ? "ok" : result.error.code))).toEqual(["ok", "precondition_failed"]);
});

test("an import gives each key its own result, and a dry run changes nothing", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const known = newKey();
  await done(lab.api.create(known, context()));
  const fresh = newKey({ name: "fresh" });
  const batch = [
    fresh,
    known,
    fresh,
    newKey({ scopes: [] }),
    { ...newKey(), hash: hashOf("x").slice(1) as typeof fresh.hash },
  ];
  const before = await allRows(lab);
  const dry = await done(lab.api.import(batch, true, context({ idempotency: { key: "d", fingerprint: "f" } })));
  expect(await allRows(lab)).toBe(before);
  const wet = await done(lab.api.import(batch, false, context()));
  for (const { value } of [dry, wet]) {
    expect(value.map(({ index, result }) => [index, result.ok ? "ok" : result.error.code])).toEqual([
      [0, "ok"],
      [1, "conflict"],
      [2, "conflict"],
      [3, "request_invalid"],
      [4, "request_invalid"],
    ]);
  }
  expect(edge.kv.has(`key:${fresh.hash}`)).toBe(true);
  // A dry run claimed nothing: what was only looked at is still free for others.
  const entries = await lab.api.listAudit({ action: "key.import" }, 10, null);
  expect(entries.ok && entries.value.data.length).toBe(1);
});

test("a dry run claims no hash", async () => {
  const [mine, theirs] = [openRegistry(), openRegistry()];
  await withFakeEdge(theirs);
  const input = newKey();
  await done(mine.api.import([input], true, context()));
  expect(await theirs.api.create(input, context())).toMatchObject({ ok: true });
});

test("1,000 keys are imported with one audit entry each, the answer is kept, and 1,001 are refused", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const batch = Array.from({ length: 1_000 }, () => newKey({ metadata: { filler: "z".repeat(1_000) } }));
  const write = context({ idempotency: { key: "bulk", fingerprint: "f" } });
  const first = await done(lab.api.import(batch, false, write));
  expect(first.value.every(({ result }) => result.ok)).toBe(true);
  while ((await lab.api.drain()).outboxPending > 0);
  expect(edge.kv.size).toBe(1_000);
  const again = await done(lab.api.import(batch, false, write));
  expect(again).toMatchObject({ replayed: true, delivered: true });
  expect(again.value).toEqual(first.value);
  expect(await lab.sql("SELECT count(*) AS n FROM audit")).toEqual([{ n: 1_000 }]);
  expect(await lab.api.import([...batch, newKey()], false, context())).toMatchObject({
    ok: false,
    error: { code: "request_invalid" },
  });
});

test("an owner comes into being with its first key, and its counts follow every change", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  expect(await lab.api.getOwner("acme")).toMatchObject({ ok: false, error: { code: "not_found" } });
  const first = await created(lab);
  const second = await created(lab);
  await created(lab, { expiresAt: new Date(Date.now() + 150).toISOString() });
  await done(lab.api.rotate(first.id, { hash: hashOf(first.id), hint: "h", overlapSeconds: 60 }, context()));
  await done(lab.api.revoke(second.id, "retired", null, context()));
  expect(await lab.api.getOwner("acme")).toMatchObject({
    ok: true,
    value: { generation: 1, keys: { active: 3, total: 4 } },
  });
  await scheduler.wait(200);
  expect(await lab.api.getOwner("acme")).toMatchObject({ ok: true, value: { keys: { active: 2, total: 4 } } });
  expect((await lab.api.status()).keysByStatus).toEqual({
    active: 1,
    rotating: 1,
    disabled: 0,
    expired: 1,
    revoked: 1,
  });
  await created(lab, { owner: "beta" });
  const owners = await lab.api.listOwners(1, null);
  expect(owners).toMatchObject({ ok: true, value: { data: [{ id: "acme" }] } });
  const rest = await lab.api.listOwners(1, owners.ok ? owners.value.nextCursor : null);
  expect(rest).toMatchObject({ ok: true, value: { data: [{ id: "beta" }], nextCursor: null } });
});

test("shared limits of an owner reach its meter and all its keys that are not revoked", async () => {
  const lab = openRegistry();
  const edge = await withFakeEdge(lab);
  const [one, two, gone] = [await created(lab), await created(lab), await created(lab)];
  const other = await created(lab, { owner: "beta" });
  await done(lab.api.revoke(gone.id, "retired", null, context()));
  const put = (limits: readonly (typeof LIMIT)[]) =>
    lab.api.putOwner("acme", { name: "Acme", limits, metadata: {} }, context());
  edge.calls.length = 0;
  expect(await done(put([LIMIT]))).toMatchObject({ value: { generation: 2, limits: [LIMIT] }, delivered: true });
  expect(edge.calls[0]).toBe("owner acme 2");
  expect(edge.ownerLimits.get("acme")).toEqual({ generation: 2, limits: [LIMIT] });
  for (const key of [one, two]) expect(edge.meter.get(key.id)).toMatchObject({ ownerLimited: true, generation: 2 });
  expect(edge.meter.get(gone.id)).toMatchObject({ ownerLimited: false, generation: 2 });
  expect(edge.meter.get(other.id)).toMatchObject({ ownerLimited: false, generation: 1 });
  const born = await created(lab);
  expect(edge.meter.get(born.id)?.ownerLimited).toBe(true);
  // Other limits: the meter of the owner hears it, the keys do not change.
  await done(put([{ ...LIMIT, limit: 20 as 10 }]));
  expect(edge.meter.get(one.id)?.generation).toBe(2);
  await done(put([]));
  expect(edge.meter.get(one.id)).toMatchObject({ ownerLimited: false, generation: 3 });
  expect(edge.ownerLimits.get("acme")).toEqual({ generation: 4, limits: [] });
  expect((await lab.api.status()).outboxPending).toBe(0);
});

test("a repeated write hears the first answer and changes nothing; with another body it is a conflict", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const write = context({ idempotency: { key: "once", fingerprint: "body-1" } });
  const first = await done(lab.api.create(newKey(), write));
  await evictDurableObject(lab.stub);
  const again = await done(lab.api.create(newKey(), write));
  expect(again.replayed).toBe(true);
  expect(again.value).toEqual(first.value);
  expect(await lab.sql("SELECT count(*) AS n FROM keys")).toEqual([{ n: 1 }]);
  const other = context({ idempotency: { key: "once", fingerprint: "body-2" } });
  expect(await lab.api.create(newKey(), other)).toMatchObject({ ok: false, error: { code: "idempotency_conflict" } });
  const stranger = { kind: "admin_key", id: "key_1", address: null, requestId: null } as const;
  expect((await done(lab.api.create(newKey(), { ...other, actor: stranger }))).replayed).toBe(false);
});

test("two equal writes at the same time are one", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const write = context({ idempotency: { key: "twin", fingerprint: "f" } });
  const twins = await Promise.all([done(lab.api.create(newKey(), write)), done(lab.api.create(newKey(), write))]);
  expect(twins.filter((twin) => twin.replayed).length).toBe(1);
  expect(twins[0]?.value).toEqual(twins[1]?.value);
});

test("first answers are forgotten after 24 h, by the alarm", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  await done(lab.api.create(newKey(), context({ idempotency: { key: "old", fingerprint: "f" } })));
  await lab.sql("UPDATE idempotency SET expires_at = expires_at - ?", IDEMPOTENCY_TTL_SECONDS * 1_000);
  expect(
    (await done(lab.api.create(newKey(), context({ idempotency: { key: "old", fingerprint: "g" } })))).replayed,
  ).toBe(false);
  await lab.sql("UPDATE idempotency SET expires_at = expires_at - ?", IDEMPOTENCY_TTL_SECONDS * 1_000);
  await lab.inside((instance) => instance.alarm());
  expect(await lab.sql("SELECT count(*) AS n FROM idempotency_answers")).toEqual([{ n: 0 }]);
});

test("last uses only move forward, and name the lineages that were used", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const [used, idle] = [await created(lab), await created(lab)];
  const start = Date.now() + 10_000;
  await lab.api.recordUse([
    { keyId: used.id, time: start + 5 },
    { keyId: used.id, time: start + 1 },
    { keyId: "key_unknown", time: start },
  ]);
  await lab.api.recordUse([{ keyId: used.id, time: start + 3 }]);
  expect(await lab.api.get(used.id)).toMatchObject({
    value: { lastUsedAt: new Date(start + 5).toISOString(), generation: 1 },
  });
  expect(await lab.api.get(idle.id)).toMatchObject({ value: { lastUsedAt: null } });
  expect(await lab.api.lineagesUsedSince(start, 10)).toEqual([used.lineageId]);
  expect([...(await lab.api.lineagesUsedSince(0, 10))].toSorted()).toEqual([used.lineageId, idle.lineageId].toSorted());
});
