import { evictDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { DELIVERIES_PER_RUN } from "../../durable-objects/key-registry/bounds.ts";
import type { KeyRecord, NewWorkload, OwnerRecord, WriteContext } from "../../durable-objects/key-registry/api.ts";
import { statusAt } from "../../src/keys/status.ts";
import type { KeyStatus } from "../../src/keys/status.ts";
import {
  context,
  created,
  done,
  FakeEdge,
  hashOf,
  newKey,
  newWorkspace,
  openRegistry,
  withFakeEdge,
} from "../support/registry-lab.ts";
import type { RegistryLab } from "../support/registry-lab.ts";
import { seeded } from "../support/seeded.ts";

/** An owner that is stopped, and started again. */

const STATUSES = ["active", "rotating", "disabled", "expired", "revoked"] as const satisfies readonly KeyStatus[];
const ALL = ["admin:*"];

const disable = (lab: RegistryLab, owner = "acme", write = context()) =>
  done(lab.api.setOwnerDisabled(owner, true, ALL, write));
const enable = (lab: RegistryLab, owner = "acme", write = context()) =>
  done(lab.api.setOwnerDisabled(owner, false, ALL, write));

async function get(lab: RegistryLab, id: string): Promise<KeyRecord> {
  const found = await lab.api.get(id);
  if (!found.ok) throw new Error(found.error.detail);
  return found.value;
}

async function idsBy(lab: RegistryLab, status: KeyStatus): Promise<readonly string[]> {
  const page = await lab.api.list({ status }, 200, null);
  if (!page.ok) throw new Error(page.error.detail);
  return page.value.data.map((key) => key.id).toSorted();
}

async function ownerOf(lab: RegistryLab, id = "acme"): Promise<OwnerRecord> {
  const found = await lab.api.getOwner(id);
  if (!found.ok) throw new Error(found.error.detail);
  return found.value;
}

async function codeOf(
  result: Promise<{ readonly ok: boolean; readonly error?: { readonly code: string } }>,
): Promise<string> {
  return (await result).error?.code ?? "none";
}

/** Keys of `acme` that would take long to issue one by one. */
async function fill(lab: RegistryLab, count: number): Promise<void> {
  await created(lab);
  await lab.sql(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO keys (id, hash, lineage_id, name, owner, environment, kind, hint, scopes, limits, owner_limited, bindings,
       policy, metadata, tags, state, phase, created_at, created_by, updated_at, generation)
     SELECT 'key_' || i, 'h' || i, 'lin_' || i, 'n', 'acme', 'live', 'secret', 'h', '[]', '[]', 0, '{}', '{}', '{}', '[]',
       'active', 'active', i, 'root', i, 1 FROM n`,
    count - 1,
  );
}

async function pending(lab: RegistryLab): Promise<number> {
  return (await lab.api.status()).outboxPending;
}

describe("an owner that is disabled", () => {
  test("stops each of its keys, and enabled gives back exactly what each was", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    const [plain, off, gone, old] = [await created(lab), await created(lab), await created(lab), await created(lab)];
    const foreign = await created(lab, { owner: "beta" });
    await done(lab.api.setDisabled(off.id, true, context()));
    await done(lab.api.revoke(gone.id, "leaked", null, context()));
    const rotation = { hash: hashOf(`${lab.workspace} next`), hint: "h", overlapSeconds: 600 };
    const fresh = (await done(lab.api.rotate(old.id, rotation, context()))).value;
    const keys = [plain, off, gone, old, fresh, foreign];
    const stand = async () => await Promise.all(keys.map(async ({ id }) => (await get(lab, id)).status));
    const before = await stand();
    expect(before).toEqual(["active", "disabled", "revoked", "rotating", "active", "active"]);
    const heard = () => keys.map(({ id }) => edge.meter.get(id)?.state);
    const heardBefore = heard();

    const stopped = await disable(lab);
    expect(stopped).toMatchObject({ delivered: true, value: { keys: { active: 0, total: 5 }, generation: 2 } });
    expect(Date.parse(stopped.value.disabledAt ?? "")).toBeGreaterThan(0);
    expect(await ownerOf(lab)).toEqual(stopped.value);
    expect(await stand()).toEqual(["disabled", "disabled", "revoked", "disabled", "disabled", "active"]);
    expect(heard()).toEqual(["disabled", "disabled", "revoked", "disabled", "disabled", "active"]);
    for (const record of edge.kv.values()) expect(record).toEqual(edge.meter.get(record.id));
    // What lies underneath shows, so that nobody takes the one stop for the other.
    expect((await get(lab, plain.id)).ownStatus).toBe("active");
    expect((await get(lab, off.id)).ownStatus).toBe("disabled");
    expect((await get(lab, old.id)).ownStatus).toBe("rotating");
    for (const { id } of [gone, foreign]) expect(await get(lab, id)).not.toHaveProperty("ownStatus");

    const started = await enable(lab);
    expect(started).toMatchObject({ delivered: true, value: { keys: { active: 3, total: 5 }, generation: 3 } });
    expect(started.value).not.toHaveProperty("disabledAt");
    expect(await stand()).toEqual(before);
    expect(heard()).toEqual(heardBefore);
    for (const { id } of keys) expect(await get(lab, id)).not.toHaveProperty("ownStatus");
    expect(await pending(lab)).toBe(0);
  });

  test("stays so when it is put, and its limits still change", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    const key = await created(lab);
    const { disabledAt } = (await disable(lab)).value;
    const limits = [{ name: "shared", limit: 5, window: "minute", kind: "rate" }] as const;
    const put = await done(lab.api.putOwner("acme", { name: "Acme", limits, metadata: {} }, context()));
    expect(put.value).toMatchObject({ name: "Acme", limits, disabledAt, keys: { active: 0 } });
    expect(edge.meter.get(key.id)).toMatchObject({ state: "disabled", ownerLimited: true });
    await enable(lab);
    expect(edge.meter.get(key.id)).toMatchObject({ state: "active", ownerLimited: true });
  });

  test("gets no new key: issued, imported, rotated or of a workload; and no hash is claimed for one", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const key = await created(lab);
    await disable(lab);
    const conflict = { ok: false, error: { code: "conflict", detail: expect.stringContaining("acme is disabled") } };
    const input = newKey();
    expect(await lab.api.create(input, context())).toMatchObject(conflict);
    for (const dryRun of [true, false]) {
      const inputs = [newKey(), newKey({ owner: "beta" })];
      const { value } = await done(lab.api.import(inputs, dryRun, context()));
      expect(value).toMatchObject([
        { index: 0, result: conflict },
        { index: 1, result: { ok: true } },
      ]);
    }
    const rotation = { hash: hashOf(`${lab.workspace} r`), hint: "h", overlapSeconds: 60 };
    expect(await lab.api.rotate(key.id, rotation, context())).toMatchObject(conflict);
    const wanted: NewWorkload = {
      ...newKey(),
      hash: hashOf(`latchkey workload\n${lab.workspace}`),
      rule: "ci",
      maxIdentities: 1,
    };
    const refused = await lab.api.ensureWorkload(wanted, context());
    expect(refused).toMatchObject({ ok: false, error: { code: "conflict", pointer: "/owner" } });
    expect(await ownerOf(lab)).toMatchObject({ keys: { total: 1 } });
    // Another workspace may still have what was refused here.
    const other = openRegistry();
    await withFakeEdge(other);
    expect((await done(other.api.create(input, context()))).delivered).toBe(true);
    expect((await done(other.api.ensureWorkload(wanted, context()))).delivered).toBe(true);
    // And afterwards all of it goes.
    await enable(lab);
    expect(await codeOf(lab.api.create(newKey(), context()))).toBe("none");
    expect(await codeOf(lab.api.rotate(key.id, rotation, context()))).toBe("none");
  });

  test("repeats the first answer to an issuance from before", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const once: WriteContext = context({ idempotency: { key: "one", fingerprint: "f" } });
    const input = newKey();
    const first = await done(lab.api.create(input, once));
    await disable(lab);
    expect(await done(lab.api.create(input, once))).toMatchObject({ replayed: true, value: first.value });
  });

  test("has keys that are disabled, enabled, patched and revoked: it counts once the owner is enabled", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    const [off, on, gone] = [await created(lab), await created(lab), await created(lab)];
    await done(lab.api.setDisabled(on.id, true, context()));
    await disable(lab);
    expect((await done(lab.api.setDisabled(off.id, true, context()))).value).toMatchObject({ ownStatus: "disabled" });
    const enabled = (await done(lab.api.setDisabled(on.id, false, context()))).value;
    expect(enabled).toMatchObject({ status: "disabled", ownStatus: "active" });
    await done(lab.api.patch(on.id, { scopes: ["charges:write"] }, context()));
    await done(lab.api.revoke(gone.id, "leaked", null, context()));
    expect([off, on, gone].map(({ id }) => edge.meter.get(id)?.state)).toEqual(["disabled", "disabled", "revoked"]);
    await enable(lab);
    expect([off, on, gone].map(({ id }) => edge.meter.get(id)?.state)).toEqual(["disabled", "active", "revoked"]);
    expect(edge.meter.get(on.id)?.scopes).toEqual(["charges:write"]);
  });

  test("has workloads that are stopped with it, as their rule's exchange hears", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const wanted: NewWorkload = { ...newKey(), rule: "ci", maxIdentities: 1 };
    const { value: known } = await done(lab.api.ensureWorkload(wanted, context()));
    await disable(lab);
    const asked = await done(lab.api.ensureWorkload({ ...wanted, scopes: ["charges:write"] }, context()));
    expect(asked.value).toMatchObject({ id: known.id, status: "disabled" });
    await enable(lab);
    expect((await done(lab.api.ensureWorkload(wanted, context()))).value).toMatchObject({ status: "active" });
  });

  test("is audited as such; asking again changes nothing, an old ETag is refused, and one that is not there is not made", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    await created(lab);
    expect(await codeOf(lab.api.setOwnerDisabled("nobody", true, ALL, context()))).toBe("not_found");
    expect(await codeOf(lab.api.getOwner("nobody"))).toBe("not_found");
    const first = await disable(lab, "acme", context({ ifGeneration: 1 }));
    const again = await disable(lab);
    expect(again.value).toEqual(first.value);
    expect(await codeOf(lab.api.setOwnerDisabled("acme", false, ALL, context({ ifGeneration: 1 })))).toBe(
      "precondition_failed",
    );
    await enable(lab, "acme", context({ ifGeneration: 2 }));
    const page = await lab.api.listAudit({ subject: "acme" }, 10, null);
    expect(page.ok && page.value.data.map(({ action }) => action)).toEqual(["owner.enable", "owner.disable"]);
    expect(page.ok && page.value.data[0]?.before).toMatchObject({ disabledAt: first.value.disabledAt });
    expect(page.ok && page.value.data[0]?.after).not.toHaveProperty("disabledAt");
    expect(await lab.api.verifyAudit()).toMatchObject({ valid: true });
  });

  test("with an admin key that may do more than the caller is neither stopped nor started by them", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const admin = { kind: "admin", policy: { strict: true } } as const;
    const strong = await created(lab, { ...admin, scopes: ["keys:write", "audit:read"] });
    const by = (disabled: boolean, ...scopes: string[]) =>
      codeOf(lab.api.setOwnerDisabled("acme", disabled, scopes, context()));
    expect(await by(true, "owners:write", "keys:write")).toBe("scope_insufficient");
    expect((await get(lab, strong.id)).status).toBe("active");
    expect(await by(true, "owners:write", "keys:write", "audit:read")).toBe("none");
    expect(await by(false, "owners:write")).toBe("scope_insufficient");
    await done(lab.api.revoke(strong.id, "retired", null, context()));
    expect(await by(false, "owners:write")).toBe("none");
    // Another owner's admin keys are not this one's.
    await created(lab, { ...admin, owner: "beta", scopes: ["admin:*"] });
    expect(await by(true, "owners:write")).toBe("none");
  });
});

describe("an owner of very many keys", () => {
  const KEYS = 2 * DELIVERIES_PER_RUN + 200;

  test("is stopped in one transaction, and told in runs: a crash in the middle loses none of it", async () => {
    const lab = openRegistry();
    const first = await withFakeEdge(lab);
    await fill(lab, KEYS);
    first.meterTakes = 150;
    const stopped = await disable(lab);
    expect(stopped).toMatchObject({ delivered: false, value: { keys: { active: 0, total: KEYS } } });
    expect((await disable(lab)).delivered).toBe(false);
    await evictDurableObject(lab.stub);
    const second = await withFakeEdge(lab, new FakeEdge());
    await expect.poll(() => pending(lab), { timeout: 25_000, interval: 100 }).toBe(0);
    const told = new Set([...first.meter.values(), ...second.meter.values()].filter((key) => key.state === "disabled"));
    expect(new Set([...told].map(({ id }) => id)).size).toBe(KEYS);
    // Each heard of it at one generation, though it may have heard twice.
    expect(new Set([...told].map(({ generation }) => generation))).toEqual(new Set([2]));
    expect((await disable(lab)).delivered).toBe(true);
    expect(second.calls.filter((call) => call.startsWith("meter ")).length).toBeGreaterThanOrEqual(KEYS - 150);
  });

  test("is not called stopped before the last meter has heard of it, in the first answer or a repeated one", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    await fill(lab, KEYS);
    const once = context({ idempotency: { key: "stop", fingerprint: "f" } });
    edge.meterTakes = KEYS - 1;
    await disable(lab, "acme", once);
    await expect
      .poll(() => [...edge.meter.values()].filter((key) => key.state === "disabled").length, { timeout: 20_000 })
      .toBe(KEYS - 1);
    expect(await disable(lab, "acme", once)).toMatchObject({ replayed: true, delivered: false });
    edge.meterTakes = Infinity;
    // The same call, as a new one, tries what is left at once.
    expect(await disable(lab)).toMatchObject({ replayed: false, delivered: true });
    expect(await disable(lab, "acme", once)).toMatchObject({ replayed: true, delivered: true });
  });

  test("a revocation that has to be tried again does not wait for them, and KV waits for all of their meters", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    await fill(lab, KEYS);
    const leaked = await created(lab, { owner: "beta" });
    edge.meterFails = true;
    await disable(lab);
    await done(lab.api.revoke(leaked.id, "leaked", null, context()));
    edge.calls.length = 0;
    edge.meterFails = false;
    await lab.sql("UPDATE outbox SET next_at = 0");
    await lab.inside((instance) => instance.alarm());
    expect(edge.calls[0]).toBe(`meter ${leaked.lineageId} 2`);
    await expect.poll(() => pending(lab), { timeout: 25_000, interval: 100 }).toBe(0);
    const meters = edge.calls.filter((call) => call.startsWith("meter "));
    expect(meters).toHaveLength(KEYS + 1);
    expect(edge.calls.findIndex((call) => call.startsWith("kv "))).toBe(meters.length);
    expect([...edge.kv.values()].filter((key) => key.state === "disabled")).toHaveLength(KEYS);
  });
});

test("after any sequence of changes, lists, counts, records and the edge agree on every key", async () => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  console.log("seed", seed);
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const lab = openRegistry(newWorkspace());
  const edge = await withFakeEdge(lab);
  /** What a key is by itself. */
  const own = new Map<string, { owner: string; status: KeyStatus }>();
  const stopped = new Set<string>();
  const add = async (owner: string): Promise<void> => {
    const result = await lab.api.create(newKey({ owner }), context());
    expect(result.ok).toBe(!stopped.has(owner));
    if (result.ok) own.set(result.value.value.id, { owner, status: "active" });
  };
  for (const owner of ["acme", "beta", "acme", "beta"]) await add(owner);
  const step = async (): Promise<void> => {
    const id = pick([...own.keys()]);
    const key = own.get(id) ?? { owner: "", status: "active" };
    const act = pick(["add", "stop", "start", "rotate", "end", "disable", "enable", "revoke", "expire"] as const);
    if (act === "add") return await add(pick(["acme", "beta"]));
    if (act === "stop" || act === "start") {
      const owner = pick(["acme", "beta"]);
      if (act === "stop") stopped.add(owner);
      else stopped.delete(owner);
      await done(lab.api.setOwnerDisabled(owner, act === "stop", ALL, context()));
    } else if (act === "rotate" || act === "end") {
      const rotation = { hash: hashOf(crypto.randomUUID()), hint: "h", overlapSeconds: act === "end" ? 0 : 900 };
      const result = await lab.api.rotate(id, rotation, context());
      expect(result.ok).toBe(key.status === "active" && !stopped.has(key.owner));
      if (!result.ok) return;
      own.set(result.value.value.id, { owner: key.owner, status: "active" });
      key.status = act === "end" ? "expired" : "rotating";
    } else if (act === "disable" || act === "enable") {
      const result = await lab.api.setDisabled(id, act === "disable", context());
      expect(result.ok).toBe(key.status !== "revoked" && (act === "disable" || key.status !== "expired"));
      if (!result.ok || key.status === "expired") return;
      const rotated = (await get(lab, id)).notAfter !== null;
      key.status = act === "disable" ? "disabled" : rotated ? "rotating" : "active";
    } else if (act === "revoke") {
      if (random() < 0.5) return;
      await done(lab.api.revoke(id, "other", null, context()));
      key.status = "revoked";
    } else if (key.status === "active") {
      // A deadline that has passed, which no patch can set: brought about in the row, with the next change to tell the edge.
      await lab.sql("UPDATE keys SET expires_at = ? WHERE id = ?", Date.now() - 1, id);
      await done(lab.api.patch(id, { name: `expired ${own.size}` }, context()));
      key.status = "expired";
    }
  };
  for (let count = 0; count < 150; count++) {
    await step();
    if (count % 10 !== 9) continue;
    const expected = new Map<string, KeyStatus>();
    for (const [id, { owner, status }] of own) {
      const isStopped = stopped.has(owner) && (status === "active" || status === "rotating");
      expected.set(id, isStopped ? "disabled" : status);
    }
    for (const [id, status] of expected) {
      expect([id, (await get(lab, id)).status]).toEqual([id, status]);
      const heard = edge.meter.get(id);
      expect([id, heard === undefined ? "none" : statusAt(heard, Date.now())]).toEqual([id, status]);
    }
    const { keysByStatus } = await lab.api.status();
    for (const status of STATUSES) {
      const ids = [...expected].filter(([, one]) => one === status).map(([id]) => id);
      expect([status, await idsBy(lab, status)]).toEqual([status, ids.toSorted()]);
      expect([status, keysByStatus[status]]).toEqual([status, ids.length]);
    }
    expect([...edge.kv.values()].every((key) => key.generation === edge.meter.get(key.id)?.generation)).toBe(true);
  }
  expect(await lab.api.verifyAudit()).toMatchObject({ valid: true });
}, 60_000);
