import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEdges, type Edges } from "../../scripts/lab/edges.ts";
import { control, type IssuedKey } from "../support/control.ts";
import { ACCESS_TOKEN, API_KEY, exchange, EXCHANGE, type FormFields, partOf, post, tryIt } from "../support/oauth.ts";

/** `POST /_latchkey/oauth/token` against RFC 6749, RFC 8693 and RFC 9068, from outside. */

let harness: Edges;
let issued: IssuedKey;
beforeAll(async () => {
  harness = await startEdges({ count: 1 });
  issued = await control(harness.home).issue({ scopes: ["reports:*", "charges:write"] });
});
afterAll(() => harness.stop());

const send = (target: string, init?: RequestInit) => harness.home.fetch(target, init);
const ask = (fields: FormFields, headers?: Record<string, string>) => post(send, "token", fields, headers);
const basic = (name: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(name)}:${encodeURIComponent(secret)}`).toString("base64")}`,
});
const subject = (): FormFields => ({
  grant_type: EXCHANGE,
  subject_token: issued.key,
  subject_token_type: API_KEY,
});

describe("RFC 8693 token exchange", () => {
  it("§2.2.1: a key is exchanged for a token: its type, its end, its scope", async () => {
    const { status, headers, body } = await ask(subject());
    expect(status).toBe(200);
    expect(body).toEqual({
      access_token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/),
      issued_token_type: ACCESS_TOKEN,
      token_type: "Bearer",
      expires_in: 300,
      scope: "reports:* charges:write",
    });
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("content-type")).toBe("application/json");
  });

  it("§2.1: scope asks for less, and less is given", async () => {
    const { body } = await ask({ ...subject(), scope: "reports:read" });
    expect(body["scope"]).toBe("reports:read");
    expect(partOf(String(body["access_token"]), 1)["scope"]).toBe("reports:read");
  });

  it.each([
    ["RFC 6749 §5.2 grant_type is missing", { grant_type: "" }, "invalid_request"],
    ["RFC 6749 §5.2 the grant is another", { grant_type: "password" }, "unsupported_grant_type"],
    ["§2.1 subject_token is missing", { subject_token: "" }, "invalid_request"],
    ["§2.1 subject_token_type is missing", { subject_token_type: "" }, "invalid_request"],
    ["§2.1 subject_token_type is unknown", { subject_token_type: "urn:example:x" }, "invalid_request"],
    ["§2.1 actor_token_type without actor_token", { actor_token_type: API_KEY }, "invalid_request"],
    ["§2.1 actor_token without actor_token_type", { actor_token: "x".repeat(20) }, "invalid_request"],
    [
      "§2.1 a token of another type is wanted",
      { requested_token_type: "urn:ietf:params:oauth:token-type:saml2" },
      "invalid_request",
    ],
    ["§2.2.2 the subject is no key", { subject_token: "x".repeat(40) }, "invalid_request"],
    ["§2.2.2 the audience is unknown", { audience: "elsewhere" }, "invalid_target"],
    ["§2.2.2 the resource is unknown", { resource: "not a uri" }, "invalid_target"],
    ["RFC 8707 §2 the resource has a fragment", { resource: "http://localhost/x#y" }, "invalid_target"],
    ["§2.2.2 two audiences", { audience: ["demo", "elsewhere"] }, "invalid_target"],
    ["RFC 6749 §5.2 the scope is wider", { scope: "reports:read admin:everything" }, "invalid_scope"],
    ["RFC 6749 §3.3 the scope is malformed", { scope: "no scope at all" }, "invalid_scope"],
    ["RFC 6749 §3.2 a parameter twice", { scope: ["reports:read", "reports:read"] }, "invalid_request"],
    ["the actor is no key", { actor_token: "x".repeat(40), actor_token_type: API_KEY }, "invalid_request"],
  ])("%s: %o is %s", async (_name, change, error) => {
    const { status, headers, body } = await ask({ ...subject(), ...change });
    expect({ status, error: body["error"] }).toEqual({ status: 400, error });
    expect(headers.get("cache-control")).toBe("no-store");
    expect(String(body["error_description"])).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    expect(JSON.stringify(body)).not.toContain(issued.key);
  });

  it("RFC 6749 §3.2: only POST is taken, and only a form", async () => {
    const got = await send("/_latchkey/oauth/token");
    expect({ status: got.status, allow: got.headers.get("allow") }).toEqual({ status: 405, allow: "POST" });
    const json = await send("/_latchkey/oauth/token", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(subject()),
    });
    expect({ status: json.status, body: await json.json() }).toMatchObject({
      status: 400,
      body: { error: "invalid_request" },
    });
  });

  it("§2.1: audience by name and resource by URI lead to one upstream", async () => {
    for (const target of [
      { audience: "demo" },
      { resource: `${harness.home.url}/reports` },
      { audience: "demo", resource: `${harness.home.url}/` },
    ]) {
      const token = await exchange(send, issued.key, target);
      expect(partOf(token, 1)["aud"]).toBe("demo");
    }
  });

  it("§4.1: an actor stands in act, the one before it within", async () => {
    const [one, two] = await Promise.all([
      control(harness.home).issue({ owner: "agent-one" }),
      control(harness.home).issue({ owner: "agent-two" }),
    ]);
    const first = await exchange(send, issued.key, { actor_token: one.key, actor_token_type: API_KEY });
    const second = await exchange(send, first, { actor_token: two.key, actor_token_type: API_KEY });
    expect(partOf(second, 1)).toMatchObject({
      sub: "acme",
      client_id: issued.id,
      act: { sub: "agent-two", client_id: two.id, act: { sub: "agent-one", client_id: one.id } },
    });
    expect(await tryIt(send, second)).toBe(200);
  });

  it("a key of another workspace neither acts nor stands surety", async () => {
    const other = await control(harness.home, "elsewhere").issue();
    const acting = await ask({ ...subject(), actor_token: other.key, actor_token_type: API_KEY });
    expect(acting).toMatchObject({ status: 400, body: { error: "invalid_request" } });
    const vouching = await ask(subject(), basic(other.id, other.key));
    expect(vouching).toMatchObject({ status: 401, body: { error: "invalid_client" } });
  });

  it("admin and publishable keys are not exchanged", async () => {
    const api = control(harness.home);
    const admin = await api.issue({ kind: "admin", scopes: ["keys:read"], policy: { strict: true } });
    const publishable = await api.issue({
      kind: "publishable",
      scopes: ["reports:read"],
      bindings: { origins: ["https://app.example.com"] },
    });
    expect((await ask({ ...subject(), subject_token: admin.key })).body["error"]).toBe("unauthorized_client");
    expect((await ask({ ...subject(), subject_token: publishable.key })).body["error"]).toBe("unauthorized_client");
  });
});

describe("RFC 6749 §4.4 client credentials", () => {
  const grant = { grant_type: "client_credentials" };

  it("§2.3.1: the key is the client's secret, by HTTP Basic or in the body", async () => {
    const ways: readonly (readonly [FormFields, Record<string, string>])[] = [
      [grant, basic(issued.id, issued.key)],
      [grant, basic("acme", issued.key)],
      [grant, basic(issued.key, "")],
      [{ ...grant, client_id: issued.id, client_secret: issued.key }, {}],
      [{ ...grant, client_secret: issued.key }, {}],
    ];
    for (const [fields, headers] of ways) {
      const { status, body } = await ask(fields, headers);
      expect(status).toBe(200);
      expect(body).not.toHaveProperty("issued_token_type");
      expect(await tryIt(send, String(body["access_token"]))).toBe(200);
    }
  });

  it("§5.2: a wrong secret, and a key under another's name, are invalid_client with a challenge", async () => {
    for (const header of [basic(issued.id, "x".repeat(40)), basic("key_of_somebody", issued.key)]) {
      const { status, headers, body } = await ask(grant, header);
      expect({ status, error: body["error"] }).toEqual({ status: 401, error: "invalid_client" });
      expect(headers.get("www-authenticate")).toMatch(/^Basic realm=/);
    }
    expect(await ask(grant)).toMatchObject({ status: 401, body: { error: "invalid_client" } });
  });

  it("§2.3: two ways of authentication at once are invalid_request", async () => {
    const both = await ask({ ...grant, client_secret: issued.key }, basic(issued.id, issued.key));
    expect(both).toMatchObject({ status: 400, body: { error: "invalid_request" } });
  });
});

describe("RFC 9068 the profile of the token", () => {
  it("§2.1, §2.2: type, algorithm, and every claim that is required", async () => {
    const before = Math.floor(Date.now() / 1_000);
    const token = await exchange(send, issued.key);
    expect(partOf(token, 0)).toEqual({ alg: "ES256", kid: expect.stringMatching(/^[\w-]{43}$/), typ: "at+jwt" });
    const claims = partOf(token, 1);
    expect(claims).toEqual({
      iss: harness.home.url,
      sub: "acme",
      aud: "demo",
      client_id: issued.id,
      iat: expect.any(Number),
      exp: Number(claims["iat"]) + 300,
      jti: expect.stringMatching(/^tok_[0-9a-z]{26}$/),
      scope: "reports:* charges:write",
      lk_workspace: "default",
      lk_lineage: issued.lineageId,
      lk_environment: "live",
    });
    expect(Number(claims["iat"])).toBeGreaterThanOrEqual(before);
  });

  it("two tokens of one key are two", async () => {
    const [one, two] = await Promise.all([exchange(send, issued.key), exchange(send, issued.key)]);
    expect(partOf(one, 1)["jti"]).not.toBe(partOf(two, 1)["jti"]);
  });

  it("a token never outlives its key, its policy and the token that it came from", async () => {
    const api = control(harness.home);
    const soon = await api.issue({ expiresAt: new Date(Date.now() + 60_000).toISOString() });
    const short = await api.issue({ policy: { tokenTtlSeconds: 30 } });
    const late = partOf(await exchange(send, soon.key), 1);
    expect(Number(late["exp"])).toBeLessThanOrEqual(Math.ceil((Date.now() + 60_000) / 1_000));
    const first = await exchange(send, short.key);
    expect(Number(partOf(first, 1)["exp"]) - Number(partOf(first, 1)["iat"])).toBe(30);
    const second = partOf(await exchange(send, first), 1);
    expect(second["exp"]).toBeLessThanOrEqual(Number(partOf(first, 1)["exp"]));
  });
});

describe("an exchange is a use of the key", () => {
  it("it costs a unit, and a refused one costs nothing", async () => {
    const { key } = await control(harness.home).issue({
      scopes: ["reports:read"],
      limits: [{ name: "daily", limit: 3, window: "day", kind: "quota" }],
    });
    const fields = { ...subject(), subject_token: key };
    for (let time = 0; time < 3; time++) expect((await ask({ ...fields, scope: "x:y" })).status).toBe(400);
    for (let time = 0; time < 3; time++) expect((await ask(fields)).status).toBe(200);
    const over = await ask(fields);
    expect({ status: over.status, error: over.body["error"] }).toEqual({ status: 429, error: "slow_down" });
    expect(Number(over.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it("a key that is revoked, disabled or bound elsewhere mints nothing", async () => {
    const api = control(harness.home);
    const [revoked, disabled, bound] = await Promise.all([
      api.issue(),
      api.issue(),
      api.issue({ bindings: { ips: ["198.51.100.0/24"] } }),
    ]);
    await api.revoke(revoked.id);
    await api.call("POST", `/keys/${disabled.id}/disable`, { body: {} });
    const error = async ({ key }: IssuedKey) => (await ask({ ...subject(), subject_token: key })).body["error"];
    expect(await error(revoked)).toBe("invalid_request");
    expect(await error(disabled)).toBe("invalid_request");
    expect(await error(bound)).toBe("unauthorized_client");
  });
});
