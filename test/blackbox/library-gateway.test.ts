import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { control } from "../support/control.ts";
import { type Ask, type Library, startLibrary, type Told } from "../support/library-lab.ts";

/** The Worker as someone deploys it with a configuration of their own: what it says is what happens. */

let library: Library;
/** Of the workspace `default`, with every scope of `library-config.ts`. */
let key: string;
beforeAll(async () => {
  library = await startLibrary();
  ({ key } = await api().issue({ scopes: ["invoices:read", "charges:write"] }));
});
afterAll(() => library.stop());

const api = (workspace?: string) => control({ url: library.url(), rootToken: library.rootToken }, workspace);

async function codeOf(path: string, options: Ask): Promise<string> {
  const told = await library.ask(path, options);
  return told.status < 400 ? String(told.status) : `${told.status} ${String(told.json()["code"])}`;
}

/** Units of the limit `daily` that the meter says are left. */
async function left(of: string): Promise<number | undefined> {
  const { limits } = (await library.ask("/_latchkey/v1/whoami", { key: of })).json() as {
    limits: { name: string; remaining: number }[];
  };
  return limits.find(({ name }) => name === "daily")?.remaining;
}

const daily = (limit: number) => ({ name: "daily", limit, window: "day", kind: "quota" });

describe("several upstreams", () => {
  test("host and path prefix decide which one answers, the exact host and the longest prefix first", async () => {
    const open = await library.ask("/x", { key });
    expect(open.json()).toMatchObject({ path: "/x", headers: { "x-forwarded-host": "api.lab.test" } });
    expect((await library.ask("/billing/invoices/7", { key })).json()).toMatchObject({ billing: true });
    // The open upstream of the same host does not stand in for the closed one.
    expect(await codeOf("/billing/other", { key })).toBe("404 route_not_found");
    expect((await library.ask("/v1/a", { key, host: "any.lab.test" })).json()).toMatchObject({ path: "/v1/a" });
    expect(await codeOf("/a", { key, host: "any.lab.test" })).toBe("404 route_not_found");
    expect(await codeOf("/x", { key, host: "elsewhere.test" })).toBe("404 route_not_found");
  });

  test("a service binding is one of them: it is called under the client's host, with the holder, without the key", async () => {
    const told = await library.ask("/billing/charges?a=%2F", {
      key,
      method: "POST",
      body: "abc",
      headers: { "x-latchkey-owner": "mallory", "content-type": "text/plain" },
    });
    expect(told.status).toBe(200);
    expect(told.text).not.toContain(key);
    expect(told.json()).toMatchObject({
      method: "POST",
      url: "http://api.lab.test/charges?a=%2F",
      body: "abc",
      headers: { "x-latchkey-owner": "acme", "x-request-id": told.headers["x-request-id"] },
    });
  });

  test("a refused request never reaches the service", async () => {
    const before = await library.billingCalls();
    const { key: poor } = await api().issue({ scopes: ["reports:read"] });
    expect(await codeOf("/billing/invoices/7", { key: poor })).toBe("403 scope_insufficient");
    expect(await codeOf("/billing/charges", { key, method: "POST", body: "x".repeat(11) })).toBe("413 body_too_large");
    expect(await codeOf("/billing/charges", { key })).toBe("404 route_not_found");
    expect(await codeOf("/billing/invoices/7", {})).toBe("401 key_missing");
    expect(await library.billingCalls()).toBe(before);
  });

  test("an upstream of another workspace takes that one's keys alone, and one for live keys no test key", async () => {
    const other = await api("other").issue({ scopes: ["a:b"] });
    expect(other.key).toMatch(/^oth_live_/);
    const trial = await api("other").issue({ scopes: ["a:b"], environment: "test" });
    const host = "tenant.lab.test";
    expect(await codeOf("/x", { key: other.key, host })).toBe("200");
    expect(await codeOf("/x", { key: trial.key, host })).toBe("403 environment_mismatch");
    expect(await codeOf("/x", { key, host })).toBe("401 key_invalid");
    expect(await codeOf("/x", { key: other.key })).toBe("401 key_invalid");
  });

  test("a route's own cost and limits count beside the key's, and only on that route", async () => {
    const { key: limited } = await api().issue({ scopes: ["invoices:read"], limits: [daily(100)] });
    for (const statuses of ["200", "200", "200", "429 rate_limited"])
      expect(await codeOf("/billing/invoices/1", { key: limited })).toBe(statuses);
    expect(await codeOf("/x", { key: limited })).toBe("200");
    expect(await left(limited)).toBe(100 - 3 * 2 - 1);
  });

  test("a route whose own limit is used up takes nothing from the others, at any cost", async () => {
    for (const policy of [{}, { strict: true }]) {
      const { key: limited } = await api().issue({ scopes: ["invoices:read"], policy, limits: [daily(40)] });
      for (let call = 0; call < 3; call++) expect(await codeOf("/billing/invoices/1", { key: limited })).toBe("200");
      expect(await codeOf("/billing/invoices/1", { key: limited })).toBe("429 rate_limited");
      // Dearer than what was refused, and at once.
      expect(await codeOf("/paid/x", { key: limited, host: "dead.lab.test" })).toBe("502 upstream_unreachable");
      expect(await library.verify({ key: limited, cost: 3 })).toMatchObject({ code: "valid" });
      expect(await codeOf("/billing/invoices/1", { key: limited })).toBe("429 rate_limited");
    }
  });

  test("the realm and the timing of the configuration are shown", async () => {
    expect((await library.ask("/x")).headers["www-authenticate"]).toBe('Bearer realm="lab"');
    expect((await library.ask("/x", { key })).headers["server-timing"]).toMatch(/^latchkey;dur=\d+$/);
  });
});

describe("HEAD", () => {
  test("is asked of the origin, charged like the GET that the route names, and answered without a body", async () => {
    const { key: limited } = await api().issue({ scopes: ["invoices:read"], limits: [daily(10)] });
    const told = await library.ask("/billing/invoices/7", { key: limited, method: "HEAD" });
    expect(told).toMatchObject({ status: 200, text: "" });
    expect(await left(limited)).toBe(8);
    const refused = await library.ask("/billing/invoices/7", { method: "HEAD" });
    expect(refused).toMatchObject({ status: 401, text: "" });
  });
});

describe("a preflight", () => {
  const ask = (path: string, origin: string, method = "GET", extra: Ask = {}): Promise<Told> =>
    library.ask(path, {
      ...extra,
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": method, "access-control-request-headers": "authorization" },
    });

  test("is answered here where the policy says so: no key, no call to the origin, no charge", async () => {
    const before = await library.billingCalls();
    const told = await ask("/billing/invoices/7", "https://a.pages.example");
    expect(told.status).toBe(204);
    expect(told.headers).toMatchObject({
      "access-control-allow-origin": "https://a.pages.example",
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-credentials": "true",
      "access-control-max-age": "60",
    });
    expect(told.headers["access-control-allow-headers"]?.toLowerCase()).toContain("authorization");
    const stranger = await ask("/billing/invoices/7", "https://evil.example");
    expect(stranger.headers).not.toHaveProperty("access-control-allow-origin");
    expect(await library.billingCalls()).toBe(before);
  });

  test("goes to the origin without a key where the policy says so, and as nobody", async () => {
    const told = await ask("/x", "https://app.example.com");
    expect(told.status).toBe(200);
    const { method, headers } = told.json() as { method: string; headers: Record<string, string> };
    expect(method).toBe("OPTIONS");
    expect(headers["access-control-request-method"]).toBe("GET");
    expect(Object.keys(headers).filter((name) => name.startsWith("x-latchkey"))).toEqual([]);
  });

  test("needs a key like any request where nothing is said, and leads nowhere where no route is", async () => {
    expect((await ask("/x", "https://app.example.com", "GET", { host: "tenant.lab.test" })).status).toBe(401);
    expect((await ask("/billing/invoices/7", "https://app.example.com", "DELETE")).status).toBe(404);
    // Without the field it is an OPTIONS like any other.
    const plain = await library.ask("/x", { method: "OPTIONS", headers: { origin: "https://app.example.com" } });
    expect(plain.status).toBe(401);
  });

  test("and what follows it can be read by the page, refusals too", async () => {
    const headers = { origin: "https://app.example.com" };
    for (const told of [
      await library.ask("/billing/invoices/7", { key, headers }),
      await library.ask("/billing/invoices/7", { headers }),
    ]) {
      expect(told.headers["access-control-allow-origin"]).toBe("https://app.example.com");
      expect(told.headers["access-control-expose-headers"]).toContain("X-Request-Id");
    }
    const stranger = await library.ask("/billing/invoices/7", { key, headers: { origin: "https://evil.example" } });
    expect(stranger.headers).not.toHaveProperty("access-control-allow-origin");
  });
});

describe("a refund", () => {
  const cases = [
    {
      what: "an unreachable upstream is refunded where the policy says so",
      host: "dead.lab.test",
      path: "/x",
      cost: 0,
    },
    { what: "and not where the route says otherwise", host: "dead.lab.test", path: "/paid/x", cost: 3 },
    { what: "an upstream that times out is refunded", host: "slow.lab.test", path: "/slow/2000", cost: 0 },
    { what: "not one that answers", host: "slow.lab.test", path: "/status/503", cost: 1 },
    { what: "nor one that the policy does not name", host: "slow.lab.test", path: "/fail", cost: 1 },
  ];
  test.each(cases)("$what: the key's and the owner's balance", async ({ host, path, cost }) => {
    const owner = `refunded-${cases.findIndex((one) => one.path === path)}`;
    const limits = [{ ...daily(50), name: "owner-daily" }];
    await api().call("PUT", `/owners/${owner}`, { body: { limits } });
    for (const policy of [{}, { strict: true }]) {
      const { key: limited } = await api().issue({ owner, policy, limits: [daily(10)] });
      expect((await library.ask(path, { key: limited, host })).status).toBeGreaterThanOrEqual(500);
      expect(await left(limited)).toBe(10 - cost);
      // What came back can be used: the whole rest passes, and not one more.
      for (let used = cost; used < 10; used++) expect(await codeOf("/x", { key: limited })).toBe("200");
      expect(await codeOf("/x", { key: limited })).toBe("429 quota_exhausted");
    }
    const { key: last } = await api().issue({ owner });
    const view = (await library.ask("/_latchkey/v1/whoami", { key: last })).json() as { limits: object[] };
    expect(view.limits).toMatchObject([{ name: "owner-daily", remaining: 50 - 20 }]);
  });
});

describe("a plan", () => {
  test("that a key is moved to in the middle of a window keeps what was used", async () => {
    const { id, key: planned } = await api().issue({ plan: "small" });
    for (let used = 0; used < 4; used++) expect(await codeOf("/x", { key: planned })).toBe("200");
    const moved = await api().call("PATCH", `/keys/${id}`, { body: { plan: "large" } });
    expect(moved).toMatchObject({ status: 200, body: { plan: "large" } });
    expect(await left(planned)).toBe(8 - 4);
    for (let used = 4; used < 8; used++) expect(await codeOf("/x", { key: planned })).toBe("200");
    expect(await codeOf("/x", { key: planned })).toBe("429 quota_exhausted");
    // Back on the small one it is over its limit, and stays refused.
    await api().call("PATCH", `/keys/${id}`, { body: { plan: "small" } });
    expect(await left(planned)).toBe(0);
    expect(await codeOf("/x", { key: planned })).toBe("429 quota_exhausted");
    await api().call("PATCH", `/keys/${id}`, { body: { plan: null } });
    expect((await library.ask("/_latchkey/v1/whoami", { key: planned })).json()).toMatchObject({ limits: [] });
  });

  test("that the configuration does not have is refused at issuance", async () => {
    const answer = await api().call("POST", "/keys", {
      body: { name: "x", owner: "acme", environment: "live", scopes: ["a:b"], plan: "huge" },
    });
    expect(answer).toMatchObject({ status: 400, body: { code: "request_invalid", errors: [{ pointer: "/plan" }] } });
  });
});

describe("bindings of the platform's word", () => {
  test("a country and a client certificate count as the platform names them, not as a header does", async () => {
    const { key: bound } = await api().issue({ bindings: { countries: ["NO"] } });
    expect(await codeOf("/x", { key: bound, cf: { country: "NO" } })).toBe("200");
    expect(await codeOf("/x", { key: bound, cf: { country: "DE" } })).toBe("403 country_not_allowed");
    expect(await codeOf("/x", { key: bound, headers: { "cf-ipcountry": "NO" } })).toBe("403 country_not_allowed");
    const certificateSha256 = ["ab".repeat(32)];
    const { key: withCertificate } = await api().issue({ bindings: { certificateSha256 } });
    const presented = (certVerified: string, certFingerprintSHA256: string) => ({
      tlsClientAuth: { certPresented: "1", certVerified, certFingerprintSHA256 },
    });
    const codeWith = (cf: Record<string, unknown>) => codeOf("/x", { key: withCertificate, cf });
    expect(await codeWith(presented("SUCCESS", "ab".repeat(32)))).toBe("200");
    expect(await codeWith(presented("SUCCESS", "cd".repeat(32)))).toBe("403 certificate_required");
    expect(await codeWith(presented("FAILED:self signed certificate", "ab".repeat(32)))).toBe(
      "403 certificate_required",
    );
    expect(await codeWith({})).toBe("403 certificate_required");
  });
});
