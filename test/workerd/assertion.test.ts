import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { createLocalJWKSet, jwtVerify } from "jose";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { defineConfig } from "../../src/config.ts";
import { defineGateway } from "../../src/define-gateway.ts";
import { compileConfig } from "../../src/gateway/routes.ts";

/** What an origin is shown of each request, where its route asks for it. */

const BASE = "https://api.example.com";
const SHOWN = { url: "https://origin.test", assertion: true, open: true } as const;
const config = defineConfig({
  upstreams: {
    shown: { ...SHOWN, hosts: ["api.example.com"], audience: "https://shown.test" },
    bare: { ...SHOWN, hosts: ["bare.example.com"], assertion: false },
  },
  routes: [
    { upstream: "shown", method: "GET", path: "/long/*", assertion: { ttlSeconds: 60 } },
    { upstream: "shown", method: "GET", path: "/plain/*", assertion: false },
    { upstream: "bare", method: "POST", path: "/charges", assertion: true },
  ],
});
const gateway = defineGateway(config);

async function issue(limit: number): Promise<{ readonly key: string; readonly id: string }> {
  const input = {
    name: "Shown",
    owner: "acme",
    environment: "live",
    scopes: ["reports:read", "charges:write"],
    limits: [{ name: "daily", limit, window: "day", kind: "quota" }],
  };
  const headers = { Authorization: `Bearer ${env.LATCHKEY_ROOT_TOKEN ?? ""}`, "Content-Type": "application/json" };
  const made = await exports.default.fetch(`${BASE}/_latchkey/v1/keys`, {
    method: "POST",
    headers,
    body: JSON.stringify(input),
  });
  return await made.json();
}

let key: string;
let keyId: string;
beforeAll(async () => {
  ({ key, id: keyId } = await issue(100));
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function call(url: string, init: RequestInit = {}, bindings: Env = env, handler = gateway): Promise<Response> {
  const headers = new Headers(init.headers);
  if (!headers.has("Authorization")) headers.set("Authorization", `Bearer ${key}`);
  // The runtime's own type of a request that has come in.
  const request = new Request(url, { ...init, headers }) as Request<unknown, IncomingRequestCfProperties>;
  return await handler.fetch(request, bindings, createExecutionContext());
}

/** The headers that the origin got. */
async function arriving(url: string, init: RequestInit = {}): Promise<Headers> {
  const sent = vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response("ok"));
  const response = await call(url, init);
  expect(response.status).toBe(200);
  expect(response.headers.has("X-Latchkey-Assertion")).toBe(false);
  const [target, options] = sent.mock.calls[0] ?? [];
  return new Headers(target instanceof Request ? target.headers : options?.headers);
}

async function verified(assertion: string | null, audience = "https://shown.test") {
  const set = await (await exports.default.fetch(`${BASE}/.well-known/jwks.json`)).json<{ keys: [] }>();
  const expected = { typ: "latchkey-assertion+jwt", audience, algorithms: ["ES256"] };
  return (await jwtVerify(assertion ?? "", createLocalJWKSet(set), expected)).payload;
}

describe("an assertion", () => {
  test("says which key, which request and for how long, signed by the key that signs tokens", async () => {
    const headers = await arriving(`${BASE}/things/7?secret=1`, { method: "PUT" });
    const claims = await verified(headers.get("X-Latchkey-Assertion"));
    expect(claims).toEqual({
      iss: BASE,
      sub: "acme",
      aud: "https://shown.test",
      iat: expect.any(Number),
      exp: (claims.iat ?? 0) + 30,
      jti: headers.get("X-Request-Id"),
      client_id: keyId,
      scope: "reports:read charges:write",
      lk_workspace: "default",
      lk_lineage: expect.stringMatching(/^lin_/),
      lk_environment: "live",
      htm: "PUT",
      htu: `${BASE}/things/7`,
    });
  });

  test("is shown where the route, or its upstream, asks for it, and lives as long as that says", async () => {
    const long = await verified((await arriving(`${BASE}/long/x`)).get("X-Latchkey-Assertion"));
    expect((long.exp ?? 0) - (long.iat ?? 0)).toBe(60);
    vi.restoreAllMocks();
    expect((await arriving(`${BASE}/plain/x`)).has("X-Latchkey-Assertion")).toBe(false);
    vi.restoreAllMocks();
    expect((await arriving("https://bare.example.com/x")).has("X-Latchkey-Assertion")).toBe(false);
    vi.restoreAllMocks();
    const charge = await arriving("https://bare.example.com/charges", { method: "POST" });
    expect(await verified(charge.get("X-Latchkey-Assertion"), "bare")).toMatchObject({ htm: "POST" });
  });

  test("never comes from a client", async () => {
    const forged = { headers: { "X-Latchkey-Assertion": "forged", X_Latchkey_Assertion: "forged" } };
    expect((await arriving(`${BASE}/plain/x`, forged)).has("X-Latchkey-Assertion")).toBe(false);
    vi.restoreAllMocks();
    const headers = await arriving(`${BASE}/x`, forged);
    expect([...headers].filter(([, value]) => value.includes("forged"))).toEqual([]);
    await verified(headers.get("X-Latchkey-Assertion"));
  });

  test("is no access token, though it has the audience of one", async () => {
    const assertion = (await arriving(`${BASE}/x`)).get("X-Latchkey-Assertion") ?? "";
    const headers = { Authorization: `Bearer ${assertion}` };
    const request = new Request(`${BASE}/x`, { headers }) as Request<unknown, IncomingRequestCfProperties>;
    expect((await gateway.fetch(request, env, createExecutionContext())).status).toBe(401);
  });

  test("comes with the answer of forward auth, for the original request", async () => {
    const asked = {
      "X-Original-Method": "DELETE",
      "X-Original-URI": "/things/8?x=1",
      "X-Original-Host": "api.example.com",
    };
    const response = await call("https://keys.example.com/_latchkey/v1/authorize", { headers: asked });
    expect(response.status).toBe(200);
    expect(await verified(response.headers.get("X-Latchkey-Assertion"))).toMatchObject({
      iss: "https://keys.example.com",
      htm: "DELETE",
      htu: expect.stringMatching(/^https?:\/\/api\.example\.com\/things\/8$/),
    });
  });
});

describe("where it cannot be signed", () => {
  const objects = { getByName: () => new Proxy({}, { get: () => () => Promise.reject(new Error("down")) }) };
  // Deliberately not what Env promises.
  const cut = { ...env, SIGNING_KEYS: objects } as unknown as Env;

  test("the request is refused before the origin is asked, and costs nothing; routes that ask for none go on", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    // An isolate of its own, which has no copy of the keys.
    const other = defineGateway(defineConfig({ ...config }));
    const headers = { Authorization: `Bearer ${(await issue(3)).key}` };
    const sent = vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response("ok"));
    const asked = { "X-Original-Method": "GET", "X-Original-URI": "/x", "X-Original-Host": "api.example.com" };
    for (let round = 0; round < 5; round++) {
      const refused = await call(`${BASE}/x`, { headers }, cut, other);
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(0);
      expect(await refused.json()).toMatchObject({ code: "verification_unavailable" });
      const answer = await call(`${BASE}/_latchkey/v1/authorize`, { headers: { ...headers, ...asked } }, cut, other);
      expect([answer.status, answer.headers.has("X-Latchkey-Key-Id")]).toEqual([503, false]);
    }
    expect(sent).not.toHaveBeenCalled();
    const statuses: number[] = [];
    for (let round = 0; round < 4; round++)
      statuses.push((await call(`${BASE}/plain/x`, { headers }, cut, other)).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    expect(sent).toHaveBeenCalledTimes(3);
  });
});

test.each([0, 61, 1.5, "30"])("a lifetime of %j is refused at its place", (ttlSeconds) => {
  // What a configuration that was not written in TypeScript may hold.
  const assertion = { ttlSeconds } as { ttlSeconds: number };
  const compiled = compileConfig({ upstreams: { api: { url: "https://origin.test", assertion } } }, {});
  expect(compiled).toMatchObject({ ok: false, error: [{ place: "upstreams.api.assertion.ttlSeconds" }] });
});
