import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { control } from "../support/control.ts";
import { type Library, startLibrary } from "../support/library-lab.ts";

/** Another Worker asks through its service binding: the same check, on the same balances, with the authority of its `props`. */

let library: Library;
beforeAll(async () => {
  library = await startLibrary();
});
afterAll(() => library.stop());

const api = (workspace?: string) => control({ url: library.url(), rootToken: library.rootToken }, workspace);
const daily = (limit: number, name = "daily") => ({ name, limit, window: "day", kind: "quota" });

describe("the Verifier entrypoint, called by another Worker", () => {
  test("answers as POST /verify does, and draws on the same balance as the proxy", async () => {
    const { id, lineageId, key } = await api().issue({ limits: [daily(4)], metadata: { tier: "gold" } });
    const byRpc = await library.verify({ key });
    expect(byRpc).toMatchObject({
      valid: true,
      code: "valid",
      keyId: id,
      lineageId,
      owner: "acme",
      workspace: "default",
      environment: "live",
      scopes: ["reports:read", "charges:write"],
      metadata: { tier: "gold" },
      expiresAt: null,
      limits: [{ name: "daily", limit: 4, remaining: 3 }],
    });
    const byHttp = await api().call("POST", "/verify", { body: { key } });
    expect(Object.keys(byHttp.body).toSorted()).toEqual(Object.keys(byRpc).toSorted());
    expect((await library.ask("/x", { key })).status).toBe(200);
    expect(await library.verify({ key, cost: 2 })).toMatchObject({ valid: false, code: "quota_exhausted" });
    expect(await library.verify({ key, cost: 0 })).toMatchObject({ valid: true, limits: [{ remaining: 1 }] });
    expect(await library.verify({ key })).toMatchObject({ valid: true, limits: [{ remaining: 0 }] });
    const over = await library.verify({ key });
    expect(over).toMatchObject({ valid: false, code: "quota_exhausted", retryAfterSeconds: expect.any(Number) });
    expect((await library.ask("/x", { key })).status).toBe(429);
  });

  test("asks for scopes, address, origin and country, and for a route as if it were called", async () => {
    const { key } = await api().issue({
      scopes: ["invoices:*"],
      bindings: { ips: ["198.51.100.0/24"], countries: ["NO"] },
    });
    const place = { key, ip: "198.51.100.7", country: "no" };
    const codeOf = async (input: object): Promise<unknown> => (await library.verify(input))["code"];
    expect(await codeOf({ ...place, scopes: ["invoices:read"] })).toBe("valid");
    expect(await codeOf({ ...place, scopes: ["charges:write"] })).toBe("scope_insufficient");
    expect(await codeOf({ key })).toBe("ip_not_allowed");
    expect(await codeOf({ ...place, ip: "203.0.113.1" })).toBe("ip_not_allowed");
    expect(await codeOf({ ...place, country: "DE" })).toBe("country_not_allowed");
    const route = { ...place, host: "api.lab.test", method: "GET", path: "/billing/invoices/9" };
    expect(await library.verify(route)).toMatchObject({ valid: true, limits: [{ name: "invoices", remaining: 4 }] });
    expect(await codeOf({ ...route, path: "/billing/nothing" })).toBe("route_not_found");
    // An upstream of another workspace, which does not take this one's keys.
    expect(await codeOf({ ...route, path: "/x", host: "tenant.lab.test" })).toBe("key_invalid");
  });

  test("never throws for what a client sent as its key, nor for a question that is wrong", async () => {
    for (const key of ["", "x", "a b", "ключ", "x".repeat(512), `lk_live_${"0".repeat(38)}`])
      expect(await library.verify({ key }), key).toMatchObject({ valid: false, code: "key_invalid", limits: [] });
    for (const input of [null, 7, "key", [], {}, { key: 7 }, { key: "x", scope: ["a:b"] }, { key: "x", cost: -1 }])
      expect(await library.verify(input), JSON.stringify(input)).toMatchObject({
        valid: false,
        code: "request_invalid",
      });
  });

  test("a binding's props say whose keys it may ask about; of another workspace's it hears nothing", async () => {
    const mine = await api().issue();
    const theirs = await api("other").issue();
    expect(await library.verify({ key: theirs.key }, "LATCHKEY_OTHER")).toMatchObject({
      valid: true,
      keyId: theirs.id,
      workspace: "other",
    });
    for (const [key, binding] of [
      [mine.key, "LATCHKEY_OTHER"],
      [theirs.key, "LATCHKEY"],
    ] as const) {
      const answer = await library.verify({ key }, binding);
      expect(Object.keys(answer).toSorted()).toEqual(["code", "detail", "limits", "valid"]);
      expect(answer).toMatchObject({ valid: false, code: "key_invalid" });
    }
    // The input cannot name a workspace.
    expect(await library.verify({ key: theirs.key, workspace: "other" })).toMatchObject({ code: "request_invalid" });
  });

  test("a revoked key is refused within 5 s of the answer, a strict one at once", async () => {
    const [warm, strict] = [await api().issue(), await api().issue({ policy: { strict: true } })];
    expect(await library.verify({ key: warm.key })).toMatchObject({ valid: true });
    expect(await library.verify({ key: strict.key })).toMatchObject({ valid: true });
    await api().revoke(strict.id);
    expect(await library.verify({ key: strict.key })).toMatchObject({ valid: false, code: "key_revoked" });
    const { answeredAt } = await api().revoke(warm.id);
    await expect
      .poll(async () => (await library.verify({ key: warm.key }))["code"], { timeout: 6_000, interval: 50 })
      .toBe("key_revoked");
    expect(Date.now() - answeredAt).toBeLessThanOrEqual(5_000);
  });

  test("its checks are in /usage, a look without a charge is not", async () => {
    const { id, key } = await api().issue();
    await library.verify({ key, cost: 3 });
    await library.verify({ key, cost: 0 });
    await library.verify({ key, scopes: ["never:granted"] });
    const totals = async () => (await api().call<{ totals: object }>("GET", `/usage?key=${id}`)).body.totals;
    await expect
      .poll(totals, { timeout: 5_000, interval: 100 })
      .toMatchObject({ requests: 2, allowed: 1, refused: 1, cost: 3 });
  });
});

test("an owner's limits hold over every way in: proxy, verify, batch, authorize and RPC", async () => {
  const owner = "every-way";
  await api().call("PUT", `/owners/${owner}`, { body: { limits: [daily(25, "owner-daily")] } });
  const keys = [await api().issue({ owner }), await api().issue({ owner }), await api().issue({ owner })];
  let turn = 0;
  const next = (): string => keys[turn++ % keys.length]?.key ?? "";
  const ways: Readonly<Record<string, () => Promise<boolean>>> = {
    proxy: async () => (await library.ask("/x", { key: next() })).status === 200,
    verify: async () => (await api().call("POST", "/verify", { body: { key: next() } })).body["valid"] === true,
    batch: async () => {
      const body = { keys: [{ key: next() }] };
      const answer = await api().call<{ results: { valid: boolean }[] }>("POST", "/verify/batch", { body });
      return answer.body.results[0]?.valid === true;
    },
    authorize: async () => {
      const headers = { "x-original-method": "GET", "x-original-uri": "/x", "x-forwarded-host": "api.lab.test" };
      return (await library.ask("/_latchkey/v1/authorize", { key: next(), headers })).status === 200;
    },
    rpc: async () => (await library.verify({ key: next() }))["valid"] === true,
  };
  const passed = new Map<string, number>();
  for (let round = 0; round < 8; round++) {
    for (const [name, go] of Object.entries(ways)) {
      if (await go()) passed.set(name, (passed.get(name) ?? 0) + 1);
    }
  }
  expect([...passed.values()].reduce((sum, count) => sum + count, 0)).toBe(25);
  // Every way was let in, and every way was stopped: each had 8 turns.
  expect([...passed.values()]).toEqual([5, 5, 5, 5, 5]);
});
