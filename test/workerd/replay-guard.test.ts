import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import { useProofAt, useSignatureAt } from "../../durable-objects/replay-guard/client.ts";
import { MAX_REPLAY_ID_CHARACTERS } from "../../src/constants.ts";

const nowSeconds = (): number => Date.now() / 1_000;

describe("proofs", () => {
  test("are taken once, and not again after the object was evicted", async () => {
    const stub = env.REPLAY_GUARD.getByName("dpop/evicted");
    const proof = { id: "a", iat: nowSeconds(), nonce: null };
    expect(await stub.useProof(proof)).toEqual({ outcome: "fresh" });
    expect(await stub.useProof(proof)).toEqual({ outcome: "replayed" });
    await evictDurableObject(stub);
    const told = await stub.useProof(proof);
    if (told.outcome !== "nonce") throw new Error(`expected a nonce, not ${told.outcome}`);
    const again = { id: "b", iat: nowSeconds(), nonce: told.nonce };
    expect(await stub.useProof(again)).toEqual({ outcome: "fresh" });
    await evictDurableObject(stub);
    const toldAnew = await stub.useProof(again);
    expect(toldAnew.outcome).toBe("nonce");
    expect(toldAnew).not.toEqual(told);
  });

  test("of one key meet one object, wherever they come from, and 100 at once of the same one are one", async () => {
    const use = { id: "same", iat: nowSeconds(), nonce: null };
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => useProofAt(env.REPLAY_GUARD, { workspace: "w", jkt: "thumb" }, use)),
    );
    expect(answers.filter(({ outcome }) => outcome === "fresh")).toHaveLength(1);
    expect(answers.filter(({ outcome }) => outcome === "replayed")).toHaveLength(99);
  });

  test("1,000 of them are one row", async () => {
    const stub = env.REPLAY_GUARD.getByName("dpop/rows");
    const iat = nowSeconds();
    for (let index = 0; index < 1_000; index++) await stub.useProof({ id: `p${index}`, iat, nonce: null });
    const rows = await runInDurableObject(stub, (_object, { storage }) =>
      storage.sql.exec<{ rows: number }>("SELECT COUNT(*) AS rows FROM state").one(),
    );
    expect(rows).toEqual({ rows: 1 });
  });
});

describe("signatures", () => {
  test("are taken once, and not again after the object was evicted", async () => {
    const stub = env.REPLAY_GUARD.getByName("signature/evicted");
    const first = { id: "a", created: Math.floor(nowSeconds()) };
    expect(await stub.useSignature(first)).toEqual({ outcome: "fresh" });
    await evictDurableObject(stub);
    expect(await stub.useSignature(first)).toEqual({ outcome: "replayed" });
    expect(await stub.useSignature({ ...first, id: "b" })).toEqual({ outcome: "fresh" });
    await evictDurableObject(stub);
    expect(await stub.useSignature({ ...first, id: "b" })).toEqual({ outcome: "replayed" });
  });

  test("write one row each, and no row is ever deleted", async () => {
    const stub = env.REPLAY_GUARD.getByName("signature/rows");
    const created = Math.floor(nowSeconds());
    for (let index = 0; index < 20; index++) await stub.useSignature({ id: `s${index}`, created });
    const count = () =>
      runInDurableObject(stub, (_object, { storage }) =>
        storage.sql.exec<{ rows: number }>("SELECT COUNT(*) AS rows FROM signatures").one(),
      );
    expect(await count()).toEqual({ rows: 20 });
    await evictDurableObject(stub);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 600_000 });
    try {
      const later = Math.floor(nowSeconds());
      for (let index = 0; index < 20; index++) {
        expect(await stub.useSignature({ id: `t${index}`, created: later })).toEqual({ outcome: "fresh" });
      }
    } finally {
      vi.useRealTimers();
    }
    expect(await count()).toEqual({ rows: 20 });
  });
});

test("an id that is too long is a bug of the caller's", async () => {
  const id = "x".repeat(MAX_REPLAY_ID_CHARACTERS + 1);
  await runInDurableObject(env.REPLAY_GUARD.getByName("dpop/bounds"), (guard) => {
    expect(() => guard.useProof({ id, iat: nowSeconds(), nonce: null })).toThrow(RangeError);
    expect(() => guard.useSignature({ id, created: nowSeconds() })).toThrow(RangeError);
  });
});

test("a guard that cannot be reached, or does not answer in time, is unavailable: nothing is let in", async () => {
  const broken = (answer: () => Promise<never>): Env["REPLAY_GUARD"] =>
    ({ getByName: () => ({ useProof: answer, useSignature: answer }) }) as unknown as Env["REPLAY_GUARD"]; // what is used of it
  const down = broken(() => Promise.reject(new Error("Network connection lost.")));
  expect(await useProofAt(down, { workspace: "w", jkt: "k" }, { id: "a", iat: 1, nonce: null })).toEqual({
    outcome: "unavailable",
  });
  expect(await useSignatureAt(down, { workspace: "w", keyId: "k" }, { id: "a", created: 1 })).toEqual({
    outcome: "unavailable",
  });
  const silent = broken(() => new Promise<never>(() => undefined));
  expect(await useProofAt(silent, { workspace: "w", jkt: "k" }, { id: "a", iat: 1, nonce: null })).toEqual({
    outcome: "unavailable",
  });
});

test("no workspace shares an object with another", async () => {
  const names: string[] = [];
  const noting = { getByName: (name: string) => (names.push(name), env.REPLAY_GUARD.getByName(name)) };
  const guards = noting as unknown as Env["REPLAY_GUARD"]; // Only names are looked at.
  for (const workspace of ["a", "b"]) {
    await useProofAt(guards, { workspace, jkt: "same" }, { id: "same", iat: nowSeconds(), nonce: null });
    await useSignatureAt(guards, { workspace, keyId: "same" }, { id: "same", created: nowSeconds() });
  }
  expect(new Set(names).size).toBe(4);
});
