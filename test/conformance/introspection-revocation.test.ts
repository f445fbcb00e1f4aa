import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEdges, type Edges } from "../../scripts/lab/edges.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { exchange, partOf, post, tryIt } from "../support/oauth.ts";

/** RFC 7662 and RFC 7009, for keys and for tokens, from outside. */

let harness: Edges;
let issued: IssuedKey;
let asker: IssuedKey;
beforeAll(async () => {
  harness = await startEdges({ count: 1 });
  const api = control(harness.home);
  issued = await api.issue({ scopes: ["reports:read"], bindings: { ips: ["198.51.100.7"] } });
  asker = await api.issue({ kind: "admin", scopes: ["keys:verify"], policy: { strict: true } });
});
afterAll(() => harness.stop());

const send = (target: string, init?: RequestInit) => harness.home.fetch(target, init);
const there = (target: string, init?: RequestInit) => harness.home.fetch(target, { ...init, ip: "198.51.100.7" });
const introspect = (token: string, headers: Record<string, string> = bearer(asker.key)) =>
  post(send, "introspect", { token }, headers);

describe("RFC 7662 introspection", () => {
  it("§2.2: of a token, what it is", async () => {
    const token = await exchange(there, issued.key);
    const { iss, aud, iat, exp, jti } = partOf(token, 1);
    const { status, headers, body } = await introspect(token);
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(body).toEqual({
      active: true,
      scope: "reports:read",
      client_id: issued.id,
      username: "acme",
      token_type: "Bearer",
      sub: "acme",
      iss,
      aud,
      iat,
      exp,
      jti,
      lk_workspace: "default",
      lk_lineage: issued.lineageId,
      lk_environment: "live",
    });
  });

  it("of a key too, without its bindings and without charging it", async () => {
    const limited = await control(harness.home).issue({
      limits: [{ name: "daily", limit: 1, window: "day", kind: "quota" }],
      bindings: { countries: ["DE"] },
    });
    for (let time = 0; time < 3; time++)
      expect((await introspect(limited.key)).body).toMatchObject({ active: true, client_id: limited.id });
  });

  it("§2.2: of what is unknown, expired or revoked nothing but that it is not active", async () => {
    const api = control(harness.home);
    const gone = await api.issue();
    const token = await exchange(send, gone.key);
    await api.revoke(gone.id);
    const short = await api.issue({ policy: { tokenTtlSeconds: 1 } });
    const expired = await exchange(send, short.key);
    await sleep(7_000);
    for (const presented of ["x".repeat(40), "eyJx.eyJx.x", gone.key, token, expired]) {
      const { status, body } = await introspect(presented);
      expect({ status, body }).toEqual({ status: 200, body: { active: false } });
    }
  });

  it("of another workspace's key as little", async () => {
    const other = await control(harness.home, "elsewhere").issue();
    expect((await introspect(other.key)).body).toEqual({ active: false });
  });

  it("§2.1: only for who is known: by HTTP Basic, in the body or as a Bearer", async () => {
    const basic = (secret: string) => ({ authorization: `Basic ${Buffer.from(`x:${secret}`).toString("base64")}` });
    expect((await introspect(issued.key, basic(asker.key))).body).toMatchObject({ active: true });
    const posted = await post(send, "introspect", { token: issued.key, client_id: "x", client_secret: asker.key });
    expect(posted.body).toMatchObject({ active: true });
    for (const headers of [{}, basic("a\nb"), basic("x".repeat(30)), bearer("x".repeat(30))])
      expect(await introspect(issued.key, headers)).toMatchObject({ status: 401, body: { error: "invalid_client" } });
    expect((await introspect(issued.key, {})).headers.get("www-authenticate")).toMatch(/^Basic /);
    const reader = await control(harness.home).issue({
      kind: "admin",
      scopes: ["keys:read"],
      policy: { strict: true },
    });
    expect(await introspect(issued.key, bearer(reader.key))).toMatchObject({
      status: 403,
      body: { error: "insufficient_scope" },
    });
    expect((await introspect(issued.key, bearer(issued.key))).body).not.toHaveProperty("active");
  });

  it("§2.1: token must be there", async () => {
    const { status, body } = await post(send, "introspect", {}, bearer(asker.key));
    expect({ status, error: body["error"] }).toEqual({ status: 400, error: "invalid_request" });
  });
});

describe("RFC 7009 revocation", () => {
  it("§2.2: a holder ends its own key by presenting it, and it is audited as the holder's doing", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue({ policy: { strict: true } });
    expect(await tryIt(send, key)).toBe(200);
    expect(await post(send, "revoke", { token: key })).toMatchObject({ status: 200, body: {} });
    expect(await tryIt(send, key)).toBe("key_revoked");
    const { body } = await api.call<{ data: { action: string; actor: { kind: string; id: string } }[] }>(
      "GET",
      `/audit?subject=${id}&action=key.revoke`,
    );
    expect(body.data[0]).toMatchObject({ action: "key.revoke", actor: { kind: "holder", id } });
  });

  it("§2.2: what is unknown or over already is answered the same, and no hint changes that", async () => {
    const { key } = await control(harness.home).issue();
    for (const token of ["x".repeat(40), "eyJx.eyJx.x", key, key])
      expect(await post(send, "revoke", { token, token_type_hint: "refresh_token" })).toMatchObject({
        status: 200,
        body: {},
      });
  });

  it("§2.2.1: a publishable key, which every visitor has, is not ended by presenting it", async () => {
    const { key } = await control(harness.home).issue({
      kind: "publishable",
      scopes: ["reports:read"],
      bindings: { origins: ["https://app.example.com"] },
    });
    const { status, body } = await post(send, "revoke", { token: key });
    expect({ status, error: body["error"] }).toEqual({ status: 400, error: "unsupported_token_type" });
    expect((await introspect(key)).body).toMatchObject({ active: true });
  });

  it("tokens that come from one token end with it at last, and nobody else's do", async () => {
    const { key } = await control(harness.home).issue();
    const [own, other] = [await exchange(send, key), await exchange(send, key)];
    for (let index = 0; index < 101; index++) {
      const derived = await exchange(send, own);
      expect((await post(send, "revoke", { token: derived })).status).toBe(200);
    }
    expect((await introspect(own)).body).toEqual({ active: false });
    expect((await introspect(other)).body).toMatchObject({ active: true });
  });

  it("a token ends alone: its key goes on", async () => {
    const { id, key } = await control(harness.home).issue();
    const token = await exchange(send, key);
    expect((await post(send, "revoke", { token })).status).toBe(200);
    expect((await introspect(token)).body).toEqual({ active: false });
    expect((await introspect(key)).body).toMatchObject({ active: true, client_id: id });
  });

  it("so many that the record cannot name them end all tokens of the key, and the key goes on", async () => {
    const { key } = await control(harness.home).issue();
    const tokens: string[] = [];
    for (let index = 0; index < 102; index++) tokens.push(await exchange(send, key));
    for (const token of tokens.slice(0, 101)) expect((await post(send, "revoke", { token })).status).toBe(200);
    for (const token of [tokens[0], tokens[100], tokens[101]])
      expect((await introspect(token ?? "")).body).toEqual({ active: false });
    expect((await introspect(key)).body).toMatchObject({ active: true });
  });
});
