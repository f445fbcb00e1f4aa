import { describe, expect, test } from "vitest";
import type { KeyRecord, NewWorkload, RegistryError, WriteContext } from "../../durable-objects/key-registry/api.ts";
import type { Result } from "../../src/result.ts";
import { context, created, done, hashOf, newKey, openRegistry, withFakeEdge } from "../support/registry-lab.ts";
import type { RegistryLab } from "../support/registry-lab.ts";

const RULE_ACTOR = { kind: "system", id: "trust:ci", address: null, requestId: "req_1" } as const;

/** The hash has the workspace in it, as the real one has: in a test each has its own. */
function workload(lab: RegistryLab, change: Partial<NewWorkload> = {}): NewWorkload {
  const subject = change.name ?? "repo:acme/api:ref:refs/heads/main";
  return {
    hash: hashOf(`latchkey workload\n${lab.workspace} ${subject}`),
    rule: "ci",
    maxIdentities: 10,
    name: subject,
    owner: "acme",
    environment: "live",
    scopes: ["charges:read"],
    plan: null,
    limits: [],
    policy: {},
    metadata: { workload: { rule: "ci", issuer: "https://issuer.test", subject } },
    ...change,
  };
}

function byRule(change: Partial<WriteContext> = {}): WriteContext {
  return context({ actor: RULE_ACTOR, ...change });
}

async function ensured(lab: RegistryLab, change: Partial<NewWorkload> = {}): Promise<KeyRecord> {
  return (await done(lab.api.ensureWorkload(workload(lab, change), byRule()))).value;
}

async function actionsOf(lab: RegistryLab, id: string): Promise<readonly string[]> {
  const page = await lab.api.listAudit({ subject: id }, 200, null);
  if (!page.ok) throw new Error(page.error.detail);
  return page.value.data.map((entry) => `${entry.action} by ${entry.actor.id}`).reverse();
}

function faultOf(result: Result<unknown, RegistryError>): string {
  return result.ok ? "none" : `${result.error.code} ${result.error.pointer ?? ""}`.trim();
}

describe("a workload's identity", () => {
  test("comes into being once, audited as its rule's doing, and its meter and KV hear of it", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    const first = await done(lab.api.ensureWorkload(workload(lab), byRule()));
    const again = await done(lab.api.ensureWorkload(workload(lab), byRule()));
    expect(first.value).toMatchObject({
      kind: "workload",
      status: "active",
      hint: "workload:ci",
      tags: ["trust:ci"],
      createdBy: "trust:ci",
      generation: 1,
      metadata: { workload: { rule: "ci", issuer: "https://issuer.test" } },
    });
    expect(first.delivered && again.delivered).toBe(true);
    expect(again.value).toEqual(first.value);
    expect(edge.meter.get(first.value.id)).toMatchObject({ kind: "workload", state: "active" });
    expect([...edge.kv.keys()]).toHaveLength(1);
    expect(await actionsOf(lab, first.value.id)).toEqual(["key.create by trust:ci"]);
    const page = await lab.api.list({ kind: "workload", tag: "trust:ci" }, 10, null);
    expect(page.ok && page.value.data.map((key) => key.id)).toEqual([first.value.id]);
  });

  test("is one, however many ask for it at the same time", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const records = await Promise.all(Array.from({ length: 12 }, () => ensured(lab)));
    expect(new Set(records.map((record) => record.lineageId)).size).toBe(1);
    expect((await lab.api.status()).keysIssuedTotal).toBe(1);
    expect(await actionsOf(lab, records[0]?.id ?? "")).toEqual(["key.create by trust:ci"]);
  });

  test("follows its rule when that changes, with an entry in the audit trail, and keeps its lineage", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    const before = await ensured(lab);
    const limits = [{ name: "burst", limit: 5, window: "minute", kind: "rate" }] as const;
    const after = await ensured(lab, { scopes: ["charges:write"], limits, policy: { strict: true } });
    expect(after).toMatchObject({
      id: before.id,
      lineageId: before.lineageId,
      generation: 2,
      scopes: ["charges:write"],
    });
    expect(edge.meter.get(before.id)).toMatchObject({ scopes: ["charges:write"], limits, policy: { strict: true } });
    expect(await actionsOf(lab, before.id)).toEqual(["key.create by trust:ci", "key.update by trust:ci"]);
    expect(await ensured(lab, { scopes: ["charges:write"], limits, policy: { strict: true } })).toEqual(after);
  });

  test("that was revoked or disabled stays so, whatever its rule says, until an operator enables it", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const { id } = await ensured(lab);
    await done(lab.api.setDisabled(id, true, context()));
    expect(await ensured(lab)).toMatchObject({ id, status: "disabled" });
    expect(await ensured(lab, { scopes: ["charges:write"] })).toMatchObject({ id, status: "disabled" });
    await done(lab.api.setDisabled(id, false, context()));
    expect(await ensured(lab)).toMatchObject({ id, status: "active" });
    const { value: revoked } = await done(lab.api.revoke(id, "compromised", "a fork's job", context()));
    expect(await ensured(lab, { scopes: ["charges:read", "charges:write"] })).toEqual(revoked);
  });

  test("keeps what an operator says of it, and takes what it may do from its rule alone", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const { id } = await ensured(lab);
    const patch = {
      bindings: { ips: ["192.0.2.0/24"] },
      tags: ["watched"],
      purpose: "Deploys",
      expiresAt: "2099-01-01T00:00:00.000Z",
    };
    await done(lab.api.patch(id, patch, context()));
    expect(await ensured(lab, { scopes: ["charges:write"] })).toMatchObject({ ...patch, scopes: ["charges:write"] });
    const changes = { name: "x", scopes: ["a:b"], plan: "pro", limits: [], policy: { strict: false }, metadata: {} };
    for (const [name, value] of Object.entries(changes))
      expect(faultOf(await lab.api.patch(id, { [name]: value }, context()))).toBe(`request_invalid /${name}`);
  });

  test("has no secret: it is never rotated, and nobody creates or imports one", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const { id } = await ensured(lab);
    const rotation = { hash: hashOf("next"), hint: "h", overlapSeconds: 0 };
    expect(faultOf(await lab.api.rotate(id, rotation, context()))).toBe("conflict");
    expect(faultOf(await lab.api.create(newKey({ kind: "workload" }), context()))).toBe("request_invalid /kind");
    const imported = await done(lab.api.import([newKey({ kind: "workload" })], false, context()));
    expect(imported.value.map(({ result }) => faultOf(result))).toEqual(["request_invalid /kind"]);
    expect((await lab.api.status()).keysIssuedTotal).toBe(1);
  });

  test("does not take over a key that was imported under its hash", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    const squatter = await created(lab, { hash: workload(lab).hash });
    expect(faultOf(await lab.api.ensureWorkload(workload(lab), byRule()))).toBe("conflict /hash");
    expect((await lab.api.get(squatter.id)).ok).toBe(true);
  });

  test("is refused past its rule's bound, which another rule's identities do not count to", async () => {
    const lab = openRegistry();
    await withFakeEdge(lab);
    for (const name of ["a", "b", "c"]) await ensured(lab, { name, maxIdentities: 3 });
    expect(faultOf(await lab.api.ensureWorkload(workload(lab, { name: "d", maxIdentities: 3 }), byRule()))).toBe(
      "conflict",
    );
    expect(await ensured(lab, { name: "a", maxIdentities: 3 })).toMatchObject({ status: "active" });
    expect(await ensured(lab, { name: "d", maxIdentities: 3, rule: "other" })).toMatchObject({ status: "active" });
    expect(await ensured(lab, { name: "d2", maxIdentities: 4 })).toMatchObject({ status: "active" });
    expect((await lab.api.status()).keysIssuedTotal).toBe(5);
  });

  test("is not said to be delivered while its meter has not heard of it", async () => {
    const lab = openRegistry();
    const edge = await withFakeEdge(lab);
    edge.meterFails = true;
    expect((await done(lab.api.ensureWorkload(workload(lab), byRule()))).delivered).toBe(false);
    expect((await done(lab.api.ensureWorkload(workload(lab), byRule()))).delivered).toBe(false);
    edge.meterFails = false;
    await lab.api.drain();
    expect((await done(lab.api.ensureWorkload(workload(lab), byRule()))).delivered).toBe(true);
  });
});
