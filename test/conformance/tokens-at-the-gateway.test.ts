import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEdges, type Edges } from "../../scripts/lab/edges.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { exchange, partOf, post, tryIt, withPart } from "../support/oauth.ts";

/** A token at the door: it is let in as its key is, draws on the same limits, and ends when its key does. */

let harness: Edges;
let issued: IssuedKey;
beforeAll(async () => {
  harness = await startEdges({ count: 3 });
  issued = await control(harness.home).issue({ scopes: ["reports:*", "charges:write"] });
});
afterAll(() => harness.stop());

const send = (target: string, init?: RequestInit) => harness.home.fetch(target, init);

describe("a token is let in as its key is", () => {
  it("at every isolate, and the origin is told whose it is and never sees it", async () => {
    const token = await exchange(send, issued.key, { scope: "reports:read" });
    for (const edge of harness.edges) {
      const response = await edge.fetch("/reports/7", { headers: bearer(token) });
      expect(response.status).toBe(200);
      const echo = await response.text();
      expect(echo).toContain(issued.id);
      expect(echo).not.toContain(token);
      expect(echo).not.toContain(token.split(".")[2]);
    }
  });

  it("with no more scopes than it was given", async () => {
    const token = await exchange(send, issued.key, { scope: "charges:write" });
    expect(await tryIt(send, token, "/reports/7")).toBe("scope_insufficient");
    const wide = await exchange(send, issued.key);
    expect(await tryIt(send, wide, "/reports/7")).toBe(200);
  });

  it("at verify, authorize and whoami too", async () => {
    const token = await exchange(send, issued.key, { scope: "reports:read" });
    const { body } = await control(harness.home).call("POST", "/verify", {
      body: { key: token, scopes: ["reports:read"] },
    });
    expect(body).toMatchObject({ valid: true, keyId: issued.id, scopes: ["reports:read"] });
    const lacking = await control(harness.home).call("POST", "/verify", {
      body: { key: token, scopes: ["charges:write"] },
    });
    expect(lacking.body).toMatchObject({ valid: false, code: "scope_insufficient" });
    const authorized = await send("/_latchkey/v1/authorize", {
      headers: { ...bearer(token), "x-original-method": "GET", "x-original-uri": "/reports/7" },
    });
    expect(authorized.status).toBe(200);
    expect(authorized.headers.get("x-latchkey-scopes")).toBe("reports:read");
    const own = await send("/_latchkey/v1/whoami", { headers: bearer(token) });
    expect(await own.json()).toMatchObject({ keyId: issued.id, scopes: ["reports:read"] });
  });

  it("whoami shows a token its own end, audience and id, and of its key only what the token says itself", async () => {
    const api = control(harness.home);
    const { id, lineageId, key } = await api.issue({
      scopes: ["reports:*", "charges:write"],
      expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
      metadata: { note: "for the holder of the key alone" },
      bindings: { countries: [], ips: ["0.0.0.0/0", "::/0"] },
      limits: [{ name: "daily", limit: 20, window: "day", kind: "quota" }],
    });
    const token = await exchange(send, key, { scope: "reports:read charges:write" });
    const { jti, exp, aud } = partOf(token, 1);
    const look = async (): Promise<Response> => await send("/_latchkey/v1/whoami", { headers: bearer(token) });
    const mine: unknown = await (await look()).json();
    // Nothing else: whatever a record has more is the key's.
    expect(mine).toEqual({
      tokenId: jti,
      audience: aud,
      expiresAt: new Date(Number(exp) * 1_000).toISOString(),
      keyId: id,
      lineageId,
      workspace: "default",
      owner: "acme",
      environment: "live",
      scopes: ["reports:read", "charges:write"],
      limits: [{ name: "daily", limit: 20, remaining: expect.any(Number), resetSeconds: expect.any(Number) }],
    });
    // What its key loses, it loses.
    await api.call("PATCH", `/keys/${id}`, { body: { scopes: ["reports:*"] } });
    expect(await (await look()).json()).toMatchObject({ tokenId: jti, scopes: ["reports:read"] });
    const whole = await send("/_latchkey/v1/whoami", { headers: bearer(key) });
    const names =
      "keyId lineageId workspace owner environment kind status hint scopes plan bindings policy metadata notBefore";
    expect(Object.keys(await whole.json()).join(" ")).toBe(`${names} expiresAt notAfter limits`);
  });

  it("and draws on the same limits: key and tokens together pass the limit and not one more", async () => {
    const { key } = await control(harness.home).issue({
      limits: [{ name: "daily", limit: 20, window: "day", kind: "quota" }],
    });
    // Each costs a unit.
    const tokens = await Promise.all([exchange(send, key), exchange(send, key)]);
    const credentials = [key, ...tokens];
    let passed = 0;
    for (let index = 0; index < 30; index++) {
      const edge = harness.edges[index % harness.edges.length];
      const response = await edge?.fetch("/limited", { headers: bearer(credentials[index % 3] ?? "") });
      if (response?.status === 200) passed += 1;
    }
    expect(passed).toBeLessThanOrEqual(18);
    for (let time = 0; time < 20 && passed < 18; time++) {
      await sleep(500);
      for (const edge of harness.edges) {
        const response = await edge.fetch("/limited", { headers: bearer(tokens[0]) });
        if (response.status === 200) passed += 1;
      }
    }
    expect(passed).toBe(18);
  });

  it("a key that is for exchange alone opens nothing, and its tokens do", async () => {
    const { key } = await control(harness.home).issue({ policy: { exchangeOnly: true } });
    expect(await tryIt(send, key)).toBe("token_required");
    for (const cost of [0, 1]) {
      const { body } = await control(harness.home).call("POST", "/verify", { body: { key, cost } });
      expect(body).toMatchObject({ valid: false, code: "token_required" });
    }
    expect(await tryIt(send, await exchange(send, key))).toBe(200);
  });
});

describe("a token ends with its key", () => {
  /** Until it is refused everywhere; what then stands. */
  async function refusedWithin(seconds: number, token: string, since: number): Promise<Set<number | string>> {
    const last = new Set<number | string>();
    for (;;) {
      const seen = await Promise.all(harness.edges.map((edge) => tryIt(edge.fetch, token)));
      last.clear();
      for (const one of seen) last.add(one);
      if (!last.has(200) || Date.now() - since > seconds * 1_000) return last;
      await sleep(100);
    }
  }

  it("200 tokens of one key, warm on three isolates, are all refused 5 s after its revocation", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue();
    const tokens: string[] = [];
    for (let batch = 0; batch < 20; batch++)
      tokens.push(...(await Promise.all(Array.from({ length: 10 }, () => exchange(send, key)))));
    const everywhere = async (): Promise<readonly (number | string)[]> => {
      const seen: (number | string)[] = [];
      for (const edge of harness.edges)
        for (let first = 0; first < tokens.length; first += 20)
          seen.push(...(await Promise.all(tokens.slice(first, first + 20).map((token) => tryIt(edge.fetch, token)))));
      return seen;
    };
    expect(new Set(await everywhere())).toEqual(new Set([200]));
    const { answeredAt } = await api.revoke(id, "leaked");
    await sleep(Math.max(0, answeredAt + 5_000 - Date.now()));
    expect(new Set(await everywhere())).toEqual(new Set(["key_revoked"]));
  });

  it.each([
    [
      "disabled",
      (id: string) => control(harness.home).call("POST", `/keys/${id}/disable`, { body: {} }),
      "key_disabled",
    ],
    [
      "rotated without overlap",
      (id: string) => control(harness.home).call("POST", `/keys/${id}/rotate`, { body: { overlapSeconds: 0 } }),
      "key_expired",
    ],
    [
      "told to revoke all of its tokens",
      (id: string) => control(harness.home).call("POST", `/keys/${id}/revoke-tokens`, { body: {} }),
      "token_revoked",
    ],
  ])("when its key is %s", async (_how, change, code) => {
    const { id, key } = await control(harness.home).issue();
    const token = await exchange(send, key);
    for (const edge of harness.edges) expect(await tryIt(edge.fetch, token)).toBe(200);
    expect((await change(id)).status).toBeLessThan(300);
    expect(await refusedWithin(6, token, Date.now())).toEqual(new Set([code]));
  });

  it("all tokens revoked, the key goes on, and mints others", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue();
    const token = await exchange(send, key);
    await api.call("POST", `/keys/${id}/revoke-tokens`, { body: {} });
    await sleep(1_000);
    const fresh = await exchange(send, key);
    expect(await tryIt(send, fresh)).toBe(200);
    expect(await refusedWithin(6, token, Date.now())).toEqual(new Set(["token_revoked"]));
    expect(await tryIt(send, fresh)).toBe(200);
  });

  it("a scope that its key lost is lost to it", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue({ scopes: ["reports:read", "charges:write"] });
    const token = await exchange(send, key);
    expect(await tryIt(send, token, "/reports/7")).toBe(200);
    await api.call("PATCH", `/keys/${id}`, { body: { scopes: ["charges:write"] } });
    const since = Date.now();
    let code: number | string;
    do {
      code = await tryIt(send, token, "/reports/7");
      await sleep(100);
    } while (code === 200 && Date.now() - since < 6_000);
    expect(code).toBe("scope_insufficient");
  });

  it("of a strict key at once", async () => {
    const api = control(harness.home);
    const { id, key } = await api.issue({ policy: { strict: true } });
    const token = await exchange(send, key);
    for (const edge of harness.edges) expect(await tryIt(edge.fetch, token)).toBe(200);
    await api.revoke(id);
    for (const edge of harness.edges) expect(await tryIt(edge.fetch, token)).toBe("key_revoked");
  });

  it("RFC 7009 §2.1: one token that is revoked takes with it what came from it, and leaves the rest", async () => {
    const { key } = await control(harness.home).issue();
    const [token, other] = await Promise.all([exchange(send, key), exchange(send, key)]);
    const derived = await exchange(send, token);
    expect((await post(send, "revoke", { token })).status).toBe(200);
    expect(await refusedWithin(6, derived, Date.now())).toEqual(new Set(["token_revoked"]));
    expect(await refusedWithin(6, token, Date.now())).toEqual(new Set(["token_revoked"]));
    expect(await tryIt(send, other)).toBe(200);
  });
});

describe("what is no token of ours is refused", () => {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = () => Math.floor(Date.now() / 1_000);

  async function forge(): Promise<Readonly<Record<string, string>>> {
    const token = await exchange(send, issued.key);
    const [head = "", body = "", signature = ""] = token.split(".");
    const jwks = (await (await send("/.well-known/jwks.json")).json()) as { keys: Record<string, unknown>[] }; // RFC 7517 §5
    const published = jwks.keys.find(({ kid }) => kid === partOf(token, 0)["kid"]);
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const signed = (header: unknown, payload: unknown): string => {
      const text = `${encode(header)}.${encode(payload)}`;
      const made = sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" });
      return `${text}.${made.toString("base64url")}`;
    };
    const hmac = (secret: string): string => {
      const text = `${encode({ ...partOf(token, 0), alg: "HS256" })}.${body}`;
      return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
    };
    const header = partOf(token, 0);
    const payload = partOf(token, 1);
    return {
      "alg none": `${encode({ ...header, alg: "none" })}.${body}.${signature}`,
      "alg none, no signature": `${encode({ ...header, alg: "none" })}.${body}.AA`,
      "HS256 with the published key": hmac(JSON.stringify(published)),
      "HS256 with the key's x": hmac(String(published?.["x"])),
      "another key, our kid": signed(header, payload),
      "another key, its own kid": signed({ ...header, kid: "a".repeat(43) }, payload),
      "jku to the attacker": signed({ ...header, kid: "evil", jku: "http://127.0.0.1:1/jwks.json" }, payload),
      "x5u to the attacker": signed({ ...header, x5u: "http://127.0.0.1:1/x" }, payload),
      "the key in the header": signed({ ...header, jwk: publicKey.export({ format: "jwk" }) }, payload),
      "no kid": signed({ alg: "ES256", typ: "at+jwt" }, payload),
      crit: signed({ ...header, crit: ["exp"] }, payload),
      "a later end": withPart(token, 1, { exp: now() + 3_000 }),
      "wider scopes": withPart(token, 1, { scope: "admin:everything" }),
      "another key's id": withPart(token, 1, { client_id: "key_01hzzzzzzzzzzzzzzzzzzzzzzz" }),
      "another type": withPart(token, 0, { typ: "JWT" }),
      "no type": withPart(token, 0, { typ: undefined }),
      "a signature of DER": `${head}.${body}.${Buffer.from("3006020101020101", "hex").toString("base64url")}`,
      "a bit of the signature changed": `${head}.${body}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`,
    };
  }

  it("whatever is forged, with one answer that tells nothing", async () => {
    const answers = new Set<string>();
    for (const [name, token] of Object.entries(await forge())) {
      const response = await send("/anything", { headers: bearer(token) });
      const body = (await response.json()) as Record<string, unknown>; // a problem document
      expect({ name, status: response.status }).toEqual({ name, status: 401 });
      expect(response.headers.get("www-authenticate")).toContain('error="invalid_token"');
      if (body["code"] === "token_invalid") answers.add(String(body["detail"]));
    }
    expect(answers.size).toBe(1);
  });

  it("huge ones, and such as are no JWT", async () => {
    const token = await exchange(send, issued.key);
    for (const odd of [
      `${token}${"A".repeat(13_000)}`,
      `${token}.x`,
      "eyJ.eyJ.x",
      `eyJ${"h".repeat(300)}.e.e`,
      "eyJhbGciOiJub25lIn0..x",
    ]) {
      const response = await send("/anything", { headers: bearer(odd) });
      expect([401, 429]).toContain(response.status);
    }
  });

  it("an expired one says so, as nothing else does", async () => {
    const { key } = await control(harness.home).issue({ policy: { tokenTtlSeconds: 1 } });
    const token = await exchange(send, key);
    expect(await tryIt(send, token)).toBe(200);
    await sleep(7_500);
    expect(await tryIt(send, token)).toBe("token_expired");
  });
});
