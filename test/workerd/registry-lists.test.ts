import { expect, test } from "vitest";
import type { KeyFilter, KeyRecord } from "../../durable-objects/key-registry/api.ts";
import { SELECTIVE_ROWS } from "../../durable-objects/key-registry/bounds.ts";
import { planKeyList } from "../../durable-objects/key-registry/key-query.ts";
import { MAX_LIST_LIMIT } from "../../src/constants.ts";
import { context, created, done, hashOf, openRegistry, withFakeEdge } from "../support/registry-lab.ts";
import type { RegistryLab } from "../support/registry-lab.ts";

const DAY_MS = 86_400_000;

async function page(lab: RegistryLab, filter: KeyFilter, limit = 200, cursor: string | null = null) {
  const found = await lab.api.list(filter, limit, cursor);
  if (!found.ok) throw new Error(`${found.error.code}: ${found.error.detail}`);
  return found.value;
}

async function names(lab: RegistryLab, filter: KeyFilter): Promise<string[]> {
  return (await page(lab, filter)).data.map((key) => key.name);
}

test("each filter finds what it names, alone and together", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const soon = new Date(Date.now() + DAY_MS).toISOString();
  const later = new Date(Date.now() + 9 * DAY_MS).toISOString();
  const a = await created(lab, {
    name: "a",
    owner: "o1",
    environment: "test",
    scopes: ["x:read", "y:read"],
    tags: ["red"],
    expiresAt: later,
  });
  const b = await created(lab, { name: "b", owner: "o1", plan: "pro", tags: ["red", "blue"], expiresAt: soon });
  const c = await created(lab, {
    name: "c",
    owner: "o2",
    kind: "publishable",
    scopes: ["x:read"],
    bindings: { origins: ["https://a.example"] },
  });
  await created(lab, { name: "d", owner: "o2" });
  await lab.api.recordUse([
    { keyId: a.id, time: 2_000 },
    { keyId: b.id, time: 1_000 },
    { keyId: c.id, time: 9_000 },
  ]);
  expect(await names(lab, {})).toEqual(["d", "c", "b", "a"]);
  expect(await names(lab, { owner: "o1" })).toEqual(["b", "a"]);
  expect(await names(lab, { environment: "test" })).toEqual(["a"]);
  expect(await names(lab, { kind: "publishable" })).toEqual(["c"]);
  expect(await names(lab, { scope: "x:read" })).toEqual(["c", "a"]);
  expect(await names(lab, { tag: "red" })).toEqual(["b", "a"]);
  expect(await names(lab, { plan: "pro" })).toEqual(["b"]);
  expect(await names(lab, { expiresBefore: new Date(Date.now() + 10 * DAY_MS).toISOString() })).toEqual(["b", "a"]);
  expect(await names(lab, { expiresBefore: later })).toEqual(["b"]);
  // Never used counts as used before any time; then the longest unused.
  expect(await names(lab, { lastUsedBefore: new Date(9_000).toISOString() })).toEqual(["d", "b", "a"]);
  expect(await names(lab, { createdAfter: b.createdAt, owner: "o2" })).toEqual(expect.arrayContaining(["d"]));
  expect(await names(lab, { owner: "o1", scope: "x:read" })).toEqual(["a"]);
  expect(await names(lab, { tag: "red", plan: "pro", kind: "secret", environment: "live", status: "active" })).toEqual([
    "b",
  ]);
  expect(
    await names(lab, { owner: "o1", expiresBefore: later, lastUsedBefore: new Date(9_000).toISOString() }),
  ).toEqual(["b"]);
  expect(await names(lab, { owner: "nobody" })).toEqual([]);
});

test("createdAfter leaves out the key of that very moment", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const first = await created(lab, { name: "first" });
  await scheduler.wait(5);
  await created(lab, { name: "second" });
  expect(await names(lab, { createdAfter: first.createdAt })).toEqual(["second"]);
  expect(await names(lab, { createdAfter: first.createdAt, lastUsedBefore: new Date().toISOString() })).toEqual([
    "second",
  ]);
  expect(await names(lab, { createdAfter: first.createdAt, environment: "live", kind: "secret" })).toEqual(["second"]);
  expect(await names(lab, { createdAfter: new Date(0).toISOString() })).toEqual(["second", "first"]);
});

test("a list by status follows deadlines without any write in between", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const at = new Date(Date.now() + 400).toISOString();
  await created(lab, { name: "short", expiresAt: at });
  const disabled = await created(lab, { name: "off", expiresAt: at });
  await done(lab.api.setDisabled(disabled.id, true, context()));
  const old = await created(lab, { name: "pair" });
  await done(lab.api.rotate(old.id, { hash: hashOf(old.id), hint: "h", overlapSeconds: 3_600 }, context()));
  const gone = await created(lab, { name: "gone", expiresAt: at });
  await done(lab.api.revoke(gone.id, "retired", null, context()));
  expect(await names(lab, { status: "active" })).toEqual(["pair", "short"]);
  expect(await names(lab, { status: "rotating" })).toEqual(["pair"]);
  expect(await names(lab, { status: "disabled" })).toEqual(["off"]);
  expect(await names(lab, { status: "expired" })).toEqual([]);
  await scheduler.wait(450);
  expect(await names(lab, { status: "active" })).toEqual(["pair"]);
  expect(await names(lab, { status: "disabled" })).toEqual([]);
  expect(await names(lab, { status: "expired" })).toEqual(["off", "short"]);
  expect(await names(lab, { status: "revoked" })).toEqual(["gone"]);
  // A later expiry brings the key back.
  const short = (await page(lab, { q: "short" })).data[0];
  await done(lab.api.patch(short?.id ?? "", { expiresAt: null }, context()));
  expect(await names(lab, { status: "active" })).toEqual(["pair", "short"]);
});

test("q finds words by their start in name, owner, purpose, id and hint, and follows a patch", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  const key = await created(lab, {
    name: "Zürich invoices",
    owner: "cust:42-a",
    purpose: 'Nightly "batch" (export)',
    hint: "lk_live_QxYz…1234",
  });
  await created(lab, { name: "other" });
  for (const q of [
    "inv",
    "zurich",
    "ZÜR",
    "cust",
    "42",
    "night batch",
    "batch inv",
    "export)",
    "qxyz",
    "1234",
    key.id,
    key.id.slice(4, 20),
    '"inv*',
  ]) {
    expect([q, await names(lab, { q })]).toEqual([q, ["Zürich invoices"]]);
  }
  for (const q of ["voices", "inv other", "zzz", "NOT inv", "words:inv"])
    expect([q, await names(lab, { q })]).toEqual([q, []]);
  expect(await lab.api.list({ q: '" * (' }, 10, null)).toMatchObject({
    ok: false,
    error: { code: "request_invalid", pointer: "/q" },
  });
  await done(lab.api.patch(key.id, { name: "Renamed", tags: ["t1"], scopes: ["n:read"] }, context()));
  expect(await names(lab, { q: "inv" })).toEqual([]);
  expect(await names(lab, { q: "renam", owner: "cust:42-a", tag: "t1", scope: "n:read" })).toEqual(["Renamed"]);
  expect(await names(lab, { scope: "charges:read" })).toEqual(["other"]);
});

test("pages neither repeat nor miss a key while keys are made and changed in between", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  for (let count = 0; count < 7; count++)
    await created(lab, {
      name: `k${count}`,
      tags: ["all"],
      expiresAt: new Date(Date.now() + DAY_MS + count).toISOString(),
    });
  const filters: KeyFilter[] = [
    {},
    { tag: "all" },
    { owner: "acme" },
    { q: "k" },
    { expiresBefore: new Date(Date.now() + 2 * DAY_MS).toISOString() },
    { lastUsedBefore: new Date(Date.now() + DAY_MS).toISOString() },
  ];
  for (const filter of filters) {
    const before = (await names(lab, filter)).filter((name) => name.startsWith("k"));
    const seen: KeyRecord[] = [];
    let cursor: string | null = null;
    do {
      const next = await page(lab, filter, 2, cursor);
      seen.push(...next.data);
      cursor = next.nextCursor;
      const late = await created(lab, { name: "late", tags: ["all"] });
      await done(lab.api.patch(late.id, { purpose: "seen late" }, context()));
    } while (cursor !== null && seen.length < 100);
    const listed = seen.map((key) => key.name).filter((name) => name.startsWith("k"));
    expect([filter, listed]).toEqual([filter, before]);
    expect(new Set(seen.map((key) => key.id)).size).toBe(seen.length);
    if (filter.lastUsedBefore === undefined)
      expect(seen.filter((key) => key.name === "late").length).toBeLessThan(seen.length);
  }
});

test("a page holds at most 200 keys, and a cursor goes with its filters", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  await fill(lab, 300);
  expect((await page(lab, {}, 10_000)).data.length).toBe(MAX_LIST_LIMIT);
  expect((await page(lab, {}, 0)).data.length).toBe(1);
  const { nextCursor } = await page(lab, { owner: "owner-1" }, 1);
  expect(nextCursor).not.toBeNull();
  for (const [filter, cursor] of [
    [{ owner: "owner-2" }, nextCursor],
    [{}, "e30"],
    [{}, "%"],
    [{}, "x".repeat(5_000)],
  ] as const) {
    expect(await lab.api.list(filter, 1, cursor)).toMatchObject({
      ok: false,
      error: { code: "request_invalid", pointer: "/cursor" },
    });
  }
  expect(await lab.api.list({ expiresBefore: "soon" }, 1, null)).toMatchObject({
    ok: false,
    error: { pointer: "/expiresBefore" },
  });
});

/** Straight into the tables, with everything that a change would have written for lists. */
async function fill(lab: RegistryLab, count: number): Promise<void> {
  await lab.sql(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO keys (id, hash, lineage_id, name, owner, environment, kind, hint, scopes, plan, limits, owner_limited, bindings,
       policy, metadata, tags, state, phase, created_at, created_by, updated_at, expires_at, last_used_at, generation)
     SELECT 'key_' || i, 'h' || i, 'lin_' || i, 'name' || i, 'owner-' || (i % 100), iif(i % 2, 'live', 'test'),
       iif(i % 10, 'secret', 'publishable'), 'h', '[]', iif(i % 3, 'pro', NULL), '[]', 0, '{}', '{}', '{}', '[]', 'active',
       'active', i, 'root', i, 4000000000000 + i, iif(i % 4, i, 0), 1 FROM n`,
    count,
  );
  await lab.sql("INSERT INTO key_scopes (scope, seq) SELECT 'charges:read', seq FROM keys");
  await lab.sql("INSERT INTO key_tags (tag, seq) SELECT 'tag-' || (seq % 50), seq FROM keys");
  await lab.sql("INSERT INTO key_words (rowid, words) SELECT seq, name || ' ' || owner FROM keys");
}

test("with 100,000 keys every filter answers from an index, and reads few rows for a page", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  await fill(lab, 100_000);
  const filters: readonly KeyFilter[] = [
    {},
    { owner: "owner-7" },
    { environment: "test" },
    { status: "active" },
    { status: "revoked" },
    { status: "expired" },
    { kind: "publishable" },
    { scope: "charges:read" },
    { scope: "none:read" },
    { tag: "tag-7" },
    { plan: "pro" },
    { expiresBefore: new Date(4_000_000_000_500).toISOString() },
    { expiresBefore: new Date(4_000_000_099_000).toISOString() },
    { lastUsedBefore: new Date(50_000).toISOString() },
    { createdAfter: new Date(99_990).toISOString() },
    { createdAfter: new Date(10).toISOString() },
    { q: "name77" },
    { q: "owner" },
    { owner: "owner-7", environment: "live", status: "active", scope: "charges:read" },
    { environment: "test", kind: "publishable" },
    { q: "name77", owner: "owner-7" },
    { lastUsedBefore: new Date(50_000).toISOString(), tag: "tag-7" },
    { expiresBefore: new Date(4_000_000_099_000).toISOString(), status: "active" },
    { expiresBefore: new Date(4_000_000_099_000).toISOString(), owner: "owner-7" },
    { createdAfter: new Date(99_000).toISOString(), environment: "test", scope: "charges:read" },
  ];
  const limit = 50;
  for (const filter of filters) {
    let place: readonly number[] | null = null;
    // The first page, and one from the middle, where a cursor must not be walked to.
    for (const at of ["start", "middle"]) {
      if (at === "middle") place = middleOf(filter);
      const found = await lab.inside((_instance, state) => {
        const { sql } = state.storage;
        const query = planKeyList(sql, { filter, limit, after: place, now: Date.now() });
        const plan = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${query.sql}`, ...query.bindings).toArray();
        const rows = sql.exec(query.sql, ...query.bindings);
        const count = rows.toArray().length;
        return { plan: plan.map((step) => step.detail), read: rows.rowsRead, count };
      });
      const scans = found.plan.filter((step) => /^SCAN (?!key_words VIRTUAL TABLE INDEX)/.test(step));
      expect([filter, at, scans]).toEqual([filter, at, []]);
      // One filter: little more than the page. Several: at most the matches of one that has few, each looked up.
      const most = Object.keys(filter).length === 1 ? 4 * limit : 3 * SELECTIVE_ROWS;
      expect([filter, at, found.read <= most, found.read]).toEqual([filter, at, true, found.read]);
    }
  }
  expect((await page(lab, { owner: "owner-7", environment: "live", status: "active" }, 10)).data.length).toBe(10);
  // The worst case: two filters that match many keys each and none together. It costs the matches of one of them.
  const none = await lab.inside((_instance, { storage: { sql } }) => {
    const query = planKeyList(sql, {
      filter: { environment: "live", kind: "publishable" },
      limit,
      after: null,
      now: Date.now(),
    });
    const rows = sql.exec(query.sql, ...query.bindings);
    return { count: rows.toArray().length, read: rows.rowsRead };
  });
  expect(none.count).toBe(0);
  expect(none.read).toBeLessThanOrEqual(2 * 10_000);
  expect((await lab.api.status()).keysByStatus.active).toBe(100_000);
});

function middleOf(filter: KeyFilter): readonly number[] {
  if (filter.expiresBefore !== undefined) return [4_000_000_000_100, 100];
  return filter.lastUsedBefore !== undefined ? [20_000, 20_000] : [50_000];
}

test("100,000 keys that expire at once are swept in bounded steps, and no step shows one as active", async () => {
  const lab = openRegistry();
  await withFakeEdge(lab);
  await fill(lab, 100_000);
  await lab.sql("UPDATE keys SET expires_at = 5");
  let expired = 0;
  for (let step = 0; step < 6 && expired < 100_000; step++) {
    expect((await page(lab, { status: "active" }, 10)).data).toEqual([]);
    expired = (await lab.api.status()).keysByStatus.expired;
  }
  expect(expired).toBe(100_000);
});
