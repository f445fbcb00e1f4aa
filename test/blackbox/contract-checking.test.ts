import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  challengeOf,
  expectProblem,
  inParallel,
  openTarget,
  quotasOf,
  strangerKey,
  tally,
  untilRoom,
} from "../support/contract.ts";
import type { Target } from "../support/contract.ts";
import { control } from "../support/control.ts";
import type { IssuedKey } from "../support/control.ts";

/** The contract, "Checking a key without the proxy". */

let target: Target;
let verifier: IssuedKey;
beforeAll(async () => {
  target = await openTarget();
  verifier = await target.api.issue({ kind: "admin", owner: "ops", scopes: ["keys:verify"] });
});
afterAll(() => target.stop());

interface Verified {
  readonly valid: boolean;
  readonly code: string;
  readonly limits: readonly {
    readonly name: string;
    readonly limit: number;
    readonly remaining: number;
    readonly resetSeconds: number;
  }[];
  readonly [field: string]: unknown;
}

const HOUR = { seconds: 3_600 };

async function verify(input: Record<string, unknown>): Promise<Verified> {
  const answer = await target.api.call<Verified>("POST", "/verify", { body: input, token: verifier.key });
  expect([answer.status, JSON.stringify(answer.body)]).toEqual([200, expect.any(String)]);
  return answer.body;
}

describe("verify", () => {
  test("a good key: who it is, what it may, what is left", async () => {
    await untilRoom(3_600, 10);
    const expiresAt = new Date(Date.now() + 86_400_000).toISOString();
    const issued = await target.api.issue({
      owner: "acme",
      scopes: ["a:read", "b:*"],
      metadata: { customer: "cus_1", nested: { a: [1] } },
      expiresAt,
      limits: [{ name: "burst", limit: 10, window: HOUR, kind: "rate" }],
    });
    const answer = await verify({ key: issued.key });
    expect(answer).toMatchObject({
      valid: true,
      code: "valid",
      keyId: issued.id,
      lineageId: issued.lineageId,
      owner: "acme",
      workspace: "default",
      environment: "live",
      scopes: ["a:read", "b:*"],
      metadata: { customer: "cus_1", nested: { a: [1] } },
    });
    expect(Date.parse(String(answer["expiresAt"]))).toBe(Date.parse(expiresAt));
    expect(answer.limits).toEqual([{ name: "burst", limit: 10, remaining: 9, resetSeconds: expect.any(Number) }]);
    expect(answer.limits[0]?.resetSeconds).toBeLessThanOrEqual(3_600);
  });

  test("cost is 1 where it is not given, 0 looks without charging, more takes more", async () => {
    await untilRoom(3_600, 10);
    const { key } = await target.api.issue({ limits: [{ name: "burst", limit: 10, window: HOUR, kind: "rate" }] });
    const rest: unknown[] = [];
    for (const cost of [0, undefined, 0, 4, 0, 6, 5, 0, 1])
      rest.push(
        await verify({ key, ...(cost === undefined ? {} : { cost }) }).then(({ valid, limits }) => [
          valid,
          limits[0]?.remaining,
        ]),
      );
    expect(rest).toEqual([
      [true, 10],
      [true, 9],
      [true, 9],
      [true, 5],
      [true, 5],
      [false, 5],
      [true, 0],
      [true, 0],
      [false, 0],
    ]);
  });

  test("always 200; the code says what is wrong with the key", async () => {
    await untilRoom(3_600, 10);
    const disabled = await target.api.issue();
    await target.api.call("POST", `/keys/${disabled.id}/disable`, { body: {} });
    const revoked = await target.api.issue();
    await target.api.revoke(revoked.id);
    const early = await target.api.issue({ notBefore: new Date(Date.now() + 3_600_000).toISOString() });
    const limit = (name: string, kind: string) => ({ limits: [{ name, limit: 1, window: HOUR, kind }] });
    const [fast, used] = [
      await target.api.issue(limit("fast", "rate")),
      await target.api.issue(limit("used", "quota")),
    ];
    for (const { key } of [fast, used]) expect((await verify({ key })).valid).toBe(true);
    const bound = await target.api.issue({
      bindings: { ips: ["203.0.113.0/24"], origins: ["https://app.example.com"] },
    });
    const narrow = await target.api.issue({ scopes: ["a:read"] });
    const cases: [Record<string, unknown>, string][] = [
      [{ key: strangerKey() }, "key_invalid"],
      [{ key: "nonsense" }, "key_invalid"],
      [{ key: disabled.key }, "key_disabled"],
      [{ key: revoked.key }, "key_revoked"],
      [{ key: early.key }, "key_not_yet_valid"],
      [{ key: fast.key }, "rate_limited"],
      [{ key: used.key }, "quota_exhausted"],
      [{ key: narrow.key, scopes: ["a:read"] }, "valid"],
      [{ key: narrow.key, scopes: ["a:write"] }, "scope_insufficient"],
      [{ key: narrow.key, scopes: ["a:read", "b:read"] }, "scope_insufficient"],
      [{ key: bound.key, ip: "203.0.113.9", origin: "https://app.example.com" }, "valid"],
      [{ key: bound.key, ip: "::ffff:203.0.113.9", origin: "https://app.example.com" }, "valid"],
      [{ key: bound.key, ip: "203.0.114.9", origin: "https://app.example.com" }, "ip_not_allowed"],
      [{ key: bound.key, ip: "203.0.113.9", origin: "https://evil.example" }, "origin_not_allowed"],
      [{ key: bound.key, ip: "203.0.113.9" }, "origin_not_allowed"],
      [{ key: bound.key }, "ip_not_allowed"],
      [{ key: narrow.key, method: "GET", path: "/reports/1" }, "scope_insufficient"],
      [{ key: narrow.key, method: "POST", path: "/charges" }, "scope_insufficient"],
      [{ key: narrow.key, method: "GET", path: "/anything" }, "valid"],
    ];
    const found: unknown[] = [];
    for (const [input] of cases) {
      const answer = await verify(input);
      expect(answer.valid).toBe(answer.code === "valid");
      found.push(answer.code);
    }
    expect(found).toEqual(cases.map(([, code]) => code));
  });

  test("whatever text a client sent as its key is a question with an answer", async () => {
    const { key } = await target.api.issue();
    const texts = ["", " ", "\u0000", "a\nb", "é😀", "x".repeat(3_000), `${key} `, ` ${key}`, `${key}\n`];
    for (const text of texts)
      expect(await verify({ key: text }), JSON.stringify(text.slice(0, 20))).toMatchObject({
        valid: false,
        code: "key_invalid",
      });
    const batch = await target.api.call<{ results: Verified[] }>("POST", "/verify/batch", {
      body: { keys: [key, ...texts].map((text) => ({ key: text })) },
      token: verifier.key,
    });
    expect(batch.body.results?.map(({ code }) => code)).toEqual(["valid", ...texts.map(() => "key_invalid")]);
  });

  test("an unknown key's answer names nothing but that", async () => {
    const answer = await verify({ key: strangerKey() });
    expect(answer.limits).toEqual([]);
    for (const field of ["keyId", "lineageId", "owner", "workspace", "environment", "scopes", "metadata", "expiresAt"])
      expect(answer[field] ?? null, field).toBeNull();
  });

  test("only an admin key with keys:verify, or the root token, may ask", async () => {
    const { key } = await target.api.issue();
    const body = { key };
    const reader = await target.api.issue({
      kind: "admin",
      owner: "ops",
      scopes: ["keys:read", "keys:write", "usage:read"],
    });
    for (const path of ["/_latchkey/v1/verify", "/_latchkey/v1/verify/batch"]) {
      const input = path.endsWith("batch") ? { keys: [body] } : body;
      expectProblem(await target.send(path, { method: "POST", body: input }), 401, "key_missing");
      expectProblem(await target.send(path, { method: "POST", body: input, key: strangerKey() }), 401, "key_invalid");
      const refused = await target.send(path, { method: "POST", body: input, key: reader.key });
      expectProblem(refused, 403, "scope_insufficient");
      expect(challengeOf(refused)).toMatchObject({ error: "insufficient_scope", scope: "keys:verify" });
      expect([401, 403]).toContain((await target.send(path, { method: "POST", body: input, key })).status);
      for (const caller of [verifier.key, target.server.rootToken])
        expect((await target.send(path, { method: "POST", body: input, key: caller })).status).toBe(200);
    }
  });

  test("a key of another workspace is none here", async () => {
    const elsewhere = control(target.server, "elsewhere");
    const theirs = await elsewhere.issue();
    expect(await verify({ key: theirs.key })).toMatchObject({ valid: false, code: "key_invalid" });
    const admin = await elsewhere.issue({ kind: "admin", owner: "ops", scopes: ["keys:verify"] });
    const ours = await target.api.issue();
    const asked = async (key: string) =>
      (await elsewhere.call<Verified>("POST", "/verify", { body: { key }, token: admin.key })).body;
    expect(await asked(ours.key)).toMatchObject({ valid: false, code: "key_invalid" });
    expect(await asked(theirs.key)).toMatchObject({ valid: true, workspace: "elsewhere" });
  });

  test("bad input is 400 with each fault's place", async () => {
    const { key } = await target.api.issue();
    const bad: [unknown, string][] = [
      [{}, "/key"],
      [{ key: 1 }, "/key"],
      [{ key, cost: -1 }, "/cost"],
      [{ key, cost: 1.5 }, "/cost"],
      [{ key, scopes: "a:b" }, "/scopes"],
    ];
    for (const [body, pointer] of bad) {
      const problem = expectProblem(
        await target.send("/_latchkey/v1/verify", { method: "POST", body: body as object, key: verifier.key }),
        400,
        "request_invalid",
      );
      expect(JSON.stringify(problem["errors"])).toContain(`"pointer":"${pointer}`);
    }
    expectProblem(
      await target.send("/_latchkey/v1/verify", {
        method: "POST",
        body: "{",
        headers: { "content-type": "application/json" },
        key: verifier.key,
      }),
      400,
      "request_invalid",
    );
  });
});

describe("verify/batch", () => {
  test("a hundred answers come in the order of the questions, each its own", async () => {
    await untilRoom(3_600, 15);
    const issued = await inParallel(5, 5, () =>
      target.api.issue({ limits: [{ name: "burst", limit: 12, window: HOUR, kind: "rate" }] }),
    );
    const keys = Array.from({ length: 100 }, (_, index) =>
      index % 10 === 9 ? strangerKey() : (issued[index % 5]?.key ?? ""),
    );
    const answer = await target.api.call<{ results: Verified[] }>("POST", "/verify/batch", {
      body: { keys: keys.map((key) => ({ key })) },
      token: verifier.key,
    });
    expect(answer.status).toBe(200);
    expect(answer.body.results).toHaveLength(100);
    const valid: Record<string, number> = {};
    answer.body.results.forEach((result, index) => {
      if (index % 10 === 9) return expect(result.code).toBe("key_invalid");
      expect(result["keyId"]).toBe(issued[index % 5]?.id);
      expect([
        ["valid", true],
        ["rate_limited", false],
      ]).toContainEqual([result.code, result.valid]);
      if (result.valid) valid[index % 5] = (valid[index % 5] ?? 0) + 1;
    });
    // 20 questions for each of four keys and 10 for the fifth; none may pass more often than its limit says.
    expect(valid).toEqual({ 0: 12, 1: 12, 2: 12, 3: 12, 4: 10 });
  });

  test("each question has its own scopes, cost and address", async () => {
    const { key } = await target.api.issue({ scopes: ["a:read"], bindings: { ips: ["203.0.113.0/24"] } });
    const ip = "203.0.113.1";
    const answer = await target.api.call<{ results: Verified[] }>("POST", "/verify/batch", {
      body: {
        keys: [
          { key, ip },
          { key, ip, scopes: ["b:read"] },
          { key, ip: "198.51.100.1" },
          { key, ip, cost: 0 },
        ],
      },
      token: verifier.key,
    });
    expect(answer.body.results.map(({ code }) => code)).toEqual([
      "valid",
      "scope_insufficient",
      "ip_not_allowed",
      "valid",
    ]);
  });

  test("101 are too many, and nothing is charged then", async () => {
    await untilRoom(3_600, 10);
    const { key } = await target.api.issue({ limits: [{ name: "burst", limit: 200, window: HOUR, kind: "rate" }] });
    const keys = Array.from({ length: 101 }, () => ({ key }));
    expectProblem(
      await target.send("/_latchkey/v1/verify/batch", { method: "POST", body: { keys }, key: verifier.key }),
      400,
      "request_invalid",
    );
    expect((await verify({ key, cost: 0 })).limits[0]?.remaining).toBe(200);
  });
});

describe("authorize", () => {
  const AUTHORIZE = "/_latchkey/v1/authorize";
  const nginx = (method: string, uri: string) => ({ "x-original-method": method, "x-original-uri": uri });
  const traefik = (method: string, uri: string) => ({
    "x-forwarded-method": method,
    "x-forwarded-uri": uri,
    "x-forwarded-host": "api.example.com",
  });

  test.each([
    ["nginx", nginx],
    ["Traefik", traefik],
  ] as const)("the original request decides, as %s sends it", async (_name, headersOf) => {
    const reader = await target.api.issue({ owner: "acme", scopes: ["reports:read"] });
    const writer = await target.api.issue({ scopes: ["charges:write"] });
    const allowed = await target.send(AUTHORIZE, { key: reader.key, headers: headersOf("GET", "/reports/1?x=1") });
    expect(allowed.status).toBe(200);
    expect(allowed.headers).toMatchObject({
      "x-latchkey-key-id": reader.id,
      "x-latchkey-owner": "acme",
      "x-latchkey-environment": "live",
      "x-latchkey-scopes": "reports:read",
      "x-latchkey-workspace": "default",
    });
    expect(allowed.headers["x-request-id"]).toMatch(/^req_/);
    expectProblem(
      await target.send(AUTHORIZE, { key: reader.key, headers: headersOf("POST", "/charges") }),
      403,
      "scope_insufficient",
    );
    expect((await target.send(AUTHORIZE, { key: writer.key, headers: headersOf("POST", "/charges") })).status).toBe(
      200,
    );
    expectProblem(
      await target.send(AUTHORIZE, { key: writer.key, headers: headersOf("GET", "/reports/1") }),
      403,
      "scope_insufficient",
    );
    expect((await target.send(AUTHORIZE, { key: writer.key, headers: headersOf("GET", "/anything") })).status).toBe(
      200,
    );
    expectProblem(await target.send(AUTHORIZE, { headers: headersOf("GET", "/anything") }), 401, "key_missing");
    expectProblem(
      await target.send(AUTHORIZE, { key: strangerKey(), headers: headersOf("GET", "/anything") }),
      401,
      "key_invalid",
    );
    const both = { ...headersOf("GET", "/anything"), "x-api-key": writer.key };
    expectProblem(await target.send(AUTHORIZE, { key: reader.key, headers: both }), 400, "credential_conflict");
  });

  test("any method of the question will do, and its body is not read", async () => {
    const { key } = await target.api.issue();
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const answer = await target.send(AUTHORIZE, {
        method,
        key,
        headers: nginx("GET", "/anything"),
        ...(method === "POST" ? { body: "x" } : {}),
      });
      expect([method, answer.status]).toEqual([method, 200]);
    }
  });

  test("limits hold, at the route's cost", async () => {
    await untilRoom(3_600, 10);
    const { key } = await target.api.issue({ limits: [{ name: "units", limit: 11, window: HOUR, kind: "quota" }] });
    const headers = nginx("GET", "/reports/1");
    const answers = await inParallel(3, 1, () => target.send(AUTHORIZE, { key, headers }));
    expect(tally(answers)).toEqual({ 200: 2, 429: 1 });
    const refused = answers[2] ?? expect.fail();
    expect(expectProblem(refused, 429, "quota_exhausted")["violatedPolicies"]).toEqual(["units"]);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(quotasOf(refused)["units"]?.t ?? Infinity);
    expect((await target.send("/anything", { key })).status).toBe(200);
    expect((await target.send(AUTHORIZE, { key, headers: nginx("GET", "/anything") })).status).toBe(429);
  });

  test("the spelling of a path opens nothing", async () => {
    const { key } = await target.api.issue({ scopes: ["other:read"] });
    for (const uri of [
      "/reports/1",
      "//reports/1",
      "/x/../reports/1",
      "/%72eports/1",
      "/x/%2e%2e/reports/1",
      "http://api.example.com/reports/1",
      "/reports/1#/public",
    ])
      expect([uri, (await target.send(AUTHORIZE, { key, headers: nginx("GET", uri) })).status]).not.toEqual([uri, 200]);
  });

  test("client-sent identity is not echoed", async () => {
    const { key } = await target.api.issue({ owner: "acme" });
    const answer = await target.send(AUTHORIZE, {
      key,
      headers: { ...nginx("GET", "/a"), "x-latchkey-owner": "mallory", "x-latchkey-scopes": "admin:*" },
    });
    expect(answer.rawHeaders.join()).not.toContain("mallory");
    expect(answer.rawHeaders.join()).not.toContain("admin:*");
  });
});

describe("whoami", () => {
  const WHOAMI = "/_latchkey/v1/whoami";

  test("a key sees itself: scopes, deadlines, limits and what is left", async () => {
    await untilRoom(3_600, 10);
    const notBefore = new Date(Date.now() - 60_000).toISOString();
    const expiresAt = new Date(Date.now() + 7_200_000).toISOString();
    const mine = await target.api.issue({
      scopes: ["a:read", "b:*"],
      notBefore,
      expiresAt,
      limits: [{ name: "burst", limit: 10, window: HOUR, kind: "rate" }],
    });
    expect((await target.send("/anything", { key: mine.key })).status).toBe(200);
    for (const headers of [{ authorization: `Bearer ${mine.key}` }, { "x-api-key": mine.key }]) {
      const answer = await target.send(WHOAMI, { headers });
      expect(answer.status).toBe(200);
      expect(answer.json()).toMatchObject({
        scopes: ["a:read", "b:*"],
        owner: "acme",
        workspace: "default",
        environment: "live",
        limits: [{ name: "burst", limit: 10, remaining: 9 }],
      });
      expect(answer.text).toContain(mine.id);
      expect(Date.parse(String(answer.json()["expiresAt"]))).toBe(Date.parse(expiresAt));
      expect(Date.parse(String(answer.json()["notBefore"]))).toBe(Date.parse(notBefore));
    }
  });

  test("never another key's data, whatever is asked", async () => {
    const mine = await target.api.issue({ owner: "acme", name: "mine" });
    const theirs = await target.api.issue({ owner: "globex", name: "theirs" });
    for (const query of [`?id=${theirs.id}`, `?keyId=${theirs.id}`, `?key=${theirs.id}`, `/${theirs.id}`]) {
      const answer = await target.send(`${WHOAMI}${query}`, {
        key: mine.key,
        headers: { "x-latchkey-key-id": theirs.id },
      });
      expect(answer.text).not.toContain("globex");
      expect(answer.text).not.toContain(theirs.lineageId);
    }
  });

  test("a key being replaced sees its deadline; a stopped one sees only why", async () => {
    const old = await target.api.issue();
    await target.api.rotate(old.id, { overlapSeconds: 3_600 });
    const record = (await target.api.call("GET", `/keys/${old.id}`)).body;
    expect((await target.send(WHOAMI, { key: old.key })).json()["notAfter"]).toBe(record["notAfter"]);
    const gone = await target.api.issue({ owner: "globex" });
    await target.api.revoke(gone.id);
    const refused = await target.send(WHOAMI, { key: gone.key });
    expectProblem(refused, 401, "key_revoked");
    expect(refused.text).not.toContain("globex");
    expectProblem(await target.send(WHOAMI), 401, "key_missing");
  });

  test("looking charges nothing", async () => {
    await untilRoom(3_600, 10);
    const { key } = await target.api.issue({ limits: [{ name: "burst", limit: 3, window: HOUR, kind: "rate" }] });
    for (let count = 0; count < 6; count++)
      expect((await target.send(WHOAMI, { key })).json()["limits"]).toMatchObject([{ remaining: 3 }]);
  });
});

// Last, since it uses up what addresses may get wrong.
test("failures are counted for the address that was asked about, not for whoever asks", async () => {
  const batch = (ip: string) => ({
    keys: Array.from({ length: 100 }, () => ({ key: strangerKey().slice(8), ip })),
  });
  for (let round = 0; round < 6; round++)
    await target.api.call("POST", "/verify/batch", { body: batch("198.51.100.66"), token: verifier.key });
  // Never tried before, so that it must be looked up.
  const cold = await inParallel(3, 3, () => target.api.issue());
  for (const { key } of cold) expect((await verify({ key, ip: "198.51.100.77" })).code).toBe("valid");
});
