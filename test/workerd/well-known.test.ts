import { env, exports } from "cloudflare:workers";
import { createLocalJWKSet, jwtVerify } from "jose";
import { describe, expect, test, vi } from "vitest";
import { createTokenKeys } from "../../src/tokens/signing-keys.ts";
import { answerJwks, answerResourceMetadata, answerServerMetadata } from "../../src/tokens/well-known.ts";

/** What is read about tokens without a credential. */

const BASE = "https://api.example.com";
const DOCUMENTS = [
  "/.well-known/jwks.json",
  "/.well-known/oauth-authorization-server",
  "/.well-known/oauth-protected-resource",
] as const;

function ask(target: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(BASE + target, init);
}

describe("the documents", () => {
  test.each(DOCUMENTS)("%s: public, cached for minutes, revalidated by its tag, readable by pages", async (path) => {
    const answered = await ask(path);
    expect(answered.status).toBe(200);
    expect(answered.headers.get("Cache-Control")).toBe("public, max-age=300");
    expect(answered.headers.get("Access-Control-Allow-Origin")).toBe("*");
    await answered.json();
    const tag = answered.headers.get("ETag") ?? "";
    for (const sent of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) {
      const again = await ask(path, { headers: { "If-None-Match": sent } });
      expect([sent, again.status, again.headers.get("ETag"), await again.text()]).toEqual([sent, 304, tag, ""]);
    }
    expect((await ask(path, { headers: { "If-None-Match": '"other"' } })).status).toBe(200);
    const head = await ask(path, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test.each(DOCUMENTS)("%s: takes a preflight, and no other method", async (path) => {
    const preflight = await ask(path, { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("Access-Control-Allow-Origin")]).toEqual([204, "*"]);
    const posted = await ask(path, { method: "POST" });
    expect([posted.status, posted.headers.get("Allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
  });

  test.each([
    "/.well-known/jwks.json/",
    "/.well-known/jwks.json2",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server/tenant",
    "/.well-known/",
    "/a/.well-known/jwks.json",
  ])("%s belongs to the API: it asks for a key", async (path) => {
    expect((await ask(path)).status).toBe(401);
  });

  test("a query changes nothing", async () => {
    expect((await ask("/.well-known/jwks.json?a=/b")).status).toBe(200);
  });
});

describe("RFC 7517: the public keys", () => {
  test("hold public members alone, and verify what is signed here", async () => {
    const answered = await ask("/.well-known/jwks.json");
    expect(answered.headers.get("Content-Type")).toBe("application/jwk-set+json");
    const set = await answered.json<{ keys: Record<string, unknown>[] }>();
    expect(set.keys.map((key) => Object.keys(key).toSorted())).toEqual([
      ["alg", "crv", "kid", "kty", "use", "x", "y"],
      ["alg", "crv", "kid", "kty", "use", "x", "y"],
    ]);
    const keys = createTokenKeys({}, env.SIGNING_KEYS, () => "");
    const signed = await keys.sign("at+jwt", { sub: "acme" }, () => undefined);
    if (!signed.ok) throw new Error("nothing was signed");
    await jwtVerify(signed.value, createLocalJWKSet(set), { typ: "at+jwt" });
  });

  test("are 503 with Retry-After where they cannot be read, and not kept while there are none", async () => {
    const request = new Request(`${BASE}/.well-known/jwks.json`);
    const none = { stands: () => null, find: vi.fn(), sign: vi.fn() };
    const published = vi.fn().mockResolvedValueOnce({ ok: false, error: "unavailable" });
    const refused = await answerJwks(request, { ...none, published }, () => undefined);
    expect(refused).toMatchObject({ ok: false, error: { code: "storage_unavailable" } });
    published.mockResolvedValueOnce({ ok: true, value: { keys: [] } });
    const empty = await answerJwks(request, { ...none, published }, () => undefined);
    expect(empty.ok && empty.value.headers.get("Cache-Control")).toBe("no-store");
  });
});

describe("RFC 8414 and RFC 9728: where everything is", () => {
  const UPSTREAMS = { upstreams: { api: { url: "https://origin.test" } } };

  test("the issuer is the origin that was asked, and every endpoint stands below it", async () => {
    const metadata = await (await ask("/.well-known/oauth-authorization-server")).json<Record<string, string>>();
    expect(metadata["issuer"]).toBe(BASE);
    for (const [name, value] of Object.entries(metadata))
      if (name.endsWith("_endpoint") || name === "jwks_uri") expect(new URL(value).origin).toBe(BASE);
    expect(metadata).toMatchObject({
      response_types_supported: [],
      grant_types_supported: ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
    });
    expect(await (await ask("/.well-known/oauth-protected-resource")).json()).toMatchObject({
      resource: BASE,
      authorization_servers: [BASE],
    });
  });

  test("or the configured one, on every host", async () => {
    const config = { ...UPSTREAMS, tokens: { issuer: "https://issuer.test" } };
    const request = new Request(`${BASE}/.well-known/oauth-authorization-server`);
    expect(await answerServerMetadata(request, config).json()).toMatchObject({
      issuer: "https://issuer.test",
      jwks_uri: "https://issuer.test/.well-known/jwks.json",
      token_endpoint: "https://issuer.test/_latchkey/oauth/token",
      protected_resources: [BASE],
    });
    expect(await answerResourceMetadata(request, config).json()).toMatchObject({
      resource: BASE,
      authorization_servers: ["https://issuer.test"],
    });
  });
});
