import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  challengeOf,
  expectProblem,
  inParallel,
  openTarget,
  parseFieldList,
  quotasOf,
  strangerKey,
  untilRoom,
} from "../support/contract.ts";
import type { Answer, Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/**
 * The contract's table of refusals. Not provoked here, since nothing outside can with the shipped configuration: `environment_mismatch`,
 * `upstream_timeout` (no route has a short one) and `verification_unavailable` (needs a fault inside).
 */

let target: Target;
let issued: IssuedKey;
beforeAll(async () => {
  target = await openTarget();
  issued = await target.api.issue();
});
afterAll(() => target.stop());

test("400 request_invalid, with each fault's place, where Latchkey reads a body", async () => {
  const answer = await target.send("/_latchkey/v1/verify", {
    method: "POST",
    key: target.server.rootToken,
    body: { key: 7, cost: "x" },
  });
  const problem = expectProblem(answer, 400, "request_invalid");
  const pointers = (problem["errors"] as { pointer: string; detail: string }[]).map((error) => error.pointer); // the contract's member
  expect(pointers.toSorted()).toEqual(["/cost", "/key"]);
});

test("401 key_missing challenges without an error", async () => {
  const answer = await target.send("/anything");
  expectProblem(answer, 401, "key_missing");
  const challenge = challengeOf(answer);
  expect(challenge).toHaveProperty("realm");
  expect(challenge).not.toHaveProperty("error");
});

const states: [string, () => Promise<string>][] = [
  ["key_invalid", () => Promise.resolve(strangerKey())],
  [
    "key_not_yet_valid",
    async () => (await target.api.issue({ notBefore: new Date(Date.now() + 3_600_000).toISOString() })).key,
  ],
  [
    "key_revoked",
    async () => {
      const { key, id } = await target.api.issue();
      await target.api.revoke(id);
      return key;
    },
  ],
  [
    "key_disabled",
    async () => {
      const { key, id } = await target.api.issue();
      expect((await target.api.call("POST", `/keys/${id}/disable`, { body: {} })).status).toBe(200);
      return key;
    },
  ],
  [
    "key_expired",
    async () => {
      const { key } = await target.api.issue({ expiresAt: new Date(Date.now() + 1_500).toISOString() });
      expect((await target.send("/anything", { key })).status).toBe(200);
      await sleep(1_600);
      return key;
    },
  ],
];
test.each(states)("401 %s", async (code, make) => {
  const limited = await make();
  const answer = await target.send("/anything", { key: limited });
  const problem = expectProblem(answer, 401, code);
  expect(challengeOf(answer)).toMatchObject({ realm: expect.any(String), error: "invalid_token" });
  expect(JSON.stringify(problem).includes(limited.slice(8, 40))).toBe(false);
});

test("401 and 403 never carry quota headers, though the key has limits", async () => {
  const limits = [{ name: "burst", limit: 5, window: { seconds: 3_600 }, kind: "rate" }];
  const { key, id } = await target.api.issue({ scopes: ["other:read"], limits });
  expect(quotasOf(await target.send("/anything", { key }))).toHaveProperty("burst");
  expectProblem(await target.send("/reports/1", { key }), 403, "scope_insufficient");
  await target.api.revoke(id);
  await expect.poll(async () => (await target.send("/anything", { key })).status, { timeout: 6_000 }).toBe(401);
  expectProblem(await target.send("/anything", { key }), 401, "key_revoked");
});

test("403 scope_insufficient names the scope that is needed", async () => {
  const { key } = await target.api.issue({ scopes: ["charges:read"] });
  for (const [method, path, scope] of [
    ["GET", "/reports/1", "reports:read"],
    ["POST", "/charges", "charges:write"],
  ] as const) {
    const answer = await target.send(path, { key, method });
    expectProblem(answer, 403, "scope_insufficient");
    expect(challengeOf(answer)).toMatchObject({ error: "insufficient_scope", scope });
  }
});

test("a granted charges:* covers charges:write and nothing of another resource", async () => {
  const { key } = await target.api.issue({ scopes: ["charges:*"] });
  expect((await target.send("/charges", { key, method: "POST" })).status).toBe(200);
  expectProblem(await target.send("/reports/1", { key }), 403, "scope_insufficient");
});

const bindings: [string, Record<string, unknown>][] = [
  ["ip_not_allowed", { ips: ["203.0.113.0/24", "2001:db8::/32"] }],
  ["origin_not_allowed", { origins: ["https://app.example.com"] }],
  ["country_not_allowed", { countries: ["AQ"] }],
  ["certificate_required", { certificateSha256: ["ab".repeat(32)] }],
];
test.each(bindings)("403 %s", async (code, bound) => {
  const { key } = await target.api.issue({ bindings: bound });
  expectProblem(await target.send("/anything", { key }), 403, code);
  // Nothing that a client can say of itself opens it.
  const claims = {
    "cf-connecting-ip": "203.0.113.5",
    "x-forwarded-for": "203.0.113.5",
    "x-real-ip": "203.0.113.5",
    "true-client-ip": "203.0.113.5",
    forwarded: "for=203.0.113.5",
    "cf-ipcountry": "AQ",
    origin: "https://app.example.com.evil.example",
    referer: "https://app.example.com/",
    "x-client-cert-sha256": "ab".repeat(32),
    "cf-client-cert-sha256": "ab".repeat(32),
  };
  expectProblem(await target.send("/anything", { key, headers: claims }), 403, code);
});

test("a binding that is met opens: address with v4-mapped v6, origin and suffix", async () => {
  const here = await target.api.issue({ bindings: { ips: ["127.0.0.0/8", "::1/128"] } });
  expect((await target.send("/anything", { key: here.key })).status).toBe(200);
  const mapped = await target.api.issue({ bindings: { ips: ["::ffff:127.0.0.1/128"] } });
  expect((await target.send("/anything", { key: mapped.key })).status).toBe(200);
  const web = await target.api.issue({ bindings: { origins: ["https://app.example.com", "*.shop.example"] } });
  for (const [origin, status] of [
    ["https://app.example.com", 200],
    ["https://a.shop.example", 200],
    ["https://app.example.com.evil.example", 403],
    ["https://evilshop.example", 403],
    ["http://app.example.com", 403],
    ["https://app.example.com:8443", 403],
    ["null", 403],
  ] as const)
    expect((await target.send("/anything", { key: web.key, headers: { origin } })).status, origin).toBe(status);
});

test("404 for an unknown path of Latchkey's own, which never reaches the origin", async () => {
  for (const path of ["/_latchkey/nothing", "/_latchkey/v1/nothing", "/_latchkey/v1/keys/x/y/z"]) {
    for (const key of [issued.key, target.server.rootToken]) {
      const answer = await target.send(path, { key });
      expect([401, 403, 404], path).toContain(answer.status);
      expect(answer.headers["content-type"]).toContain("application/problem+json");
      expect(answer.text).not.toContain("rawHeaders");
    }
    expect((await target.send(path, { key: target.server.rootToken })).status).toBe(404);
  }
});

test("413, 414 and 431 for what is too large", async () => {
  const large = await target.send("/_latchkey/v1/keys", {
    method: "POST",
    key: target.server.rootToken,
    body: { name: "x".repeat(16 * 1_024 * 1_024) },
  });
  expectProblem(large, 413, "body_too_large");
  expectProblem(await target.send(`/${"a".repeat(40_000)}`, { key: issued.key }), 414, "uri_too_long");
  expectProblem(
    await target.send("/anything", { key: issued.key, headers: { "x-large": "a".repeat(150_000) } }),
    431,
    "headers_too_large",
  );
});

const limited: [string, string][] = [
  ["rate", "rate_limited"],
  ["quota", "quota_exhausted"],
];
test.each(limited)("429 for a %s is %s, says which limit and when to come back", async (kind, code) => {
  await untilRoom(3_600, 20);
  const { key } = await target.api.issue({
    limits: [
      { name: "small", limit: 2, window: { seconds: 3_600 }, kind },
      { name: "large", limit: 1_000, window: "month", kind: kind === "rate" ? "quota" : "rate" },
    ],
  });
  for (let count = 0; count < 2; count++) expect((await target.send("/anything", { key })).status).toBe(200);
  const answer = await target.send("/anything", { key });
  const problem = expectProblem(answer, 429, code);
  expect(problem["violatedPolicies"]).toEqual(["small"]);
  const quotas = quotasOf(answer);
  expect(quotas["small"]).toMatchObject({ q: 2, w: 3_600, r: 0 });
  expect(quotas["large"]).toMatchObject({ q: 1_000, r: 998 });
  expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
  expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(quotas["small"]?.t ?? Infinity);
  expect(Number(answer.headers["retry-after"])).toBeLessThanOrEqual(3_601);
});

test("502 when the origin breaks off, and an origin's own 502 is its own", async () => {
  expectProblem(await target.send("/fail", { key: issued.key }), 502, "upstream_unreachable");
  expect(echoLike(await target.send("/status/502", { key: issued.key }))).toBe(true);
});
const echoLike = (answer: Answer): boolean => answer.text.includes("rawHeaders");

test("each problem's type leads to a page on its code", async () => {
  const answer = await target.send("/anything");
  const page = await target.send(String(answer.json()["type"]));
  expect(page.status).toBe(200);
  expect(page.text).toContain("key_missing");
});

// Last: it uses up what this address may get wrong.
test("429 too_many_failures when one address tries too many keys that are none", async () => {
  const warm = await target.api.issue();
  expect((await target.send("/anything", { key: warm.key })).status).toBe(200);
  let refused: Answer | undefined;
  for (let round = 0; round < 20 && refused === undefined; round++) {
    const answers = await inParallel(100, 10, () => target.send("/anything", { key: strangerKey() }));
    for (const answer of answers) if (answer.status !== 429) expectProblem(answer, 401, "key_invalid");
    refused = answers.find(({ status }) => status === 429);
  }
  if (refused === undefined) throw new Error("2,000 failures were not too many");
  expectProblem(refused, 429, "too_many_failures");
  expect(refused.headers["retry-after"]).toMatch(/^[1-9]\d*$/);
  parseFieldList(refused.headers["ratelimit"] ?? "");
  // Whoever holds a key is not locked out by whoever guesses.
  expect((await target.send("/anything", { key: warm.key })).status).toBe(200);
});
