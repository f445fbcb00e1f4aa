import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { challengeOf, expectProblem, openTarget, quotasOf, strangerKey, untilRoom } from "../support/contract.ts";
import type { Answer, Target } from "../support/contract.ts";
import { control } from "../support/control.ts";
import type { IssuedKey } from "../support/control.ts";

/** The contract on who may call the control API: admin keys, their scopes, and the walls between workspaces. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

const ADMIN_SCOPES = [
  "keys:read",
  "keys:write",
  "keys:verify",
  "keys:revoke",
  "owners:write",
  "policies:write",
  "usage:read",
  "audit:read",
  "admin:*",
];

const admin = (scopes: readonly string[], more: Record<string, unknown> = {}): Promise<IssuedKey> =>
  target.api.issue({ kind: "admin", owner: "ops", name: "Admin", scopes, ...more });

function call(
  key: string | null,
  method: string,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const full = path.startsWith("/_latchkey") ? path : `/_latchkey/v1${path}`;
  return target.send(full, {
    method,
    headers,
    ...(key === null ? {} : { key }),
    ...(body === undefined ? {} : { body }),
  });
}

const newKey = (more: object = {}): object => ({
  name: "By admin",
  owner: "acme",
  environment: "live",
  scopes: ["reports:read"],
  ...more,
});
const hashOf = (raw: string): object => ({
  algorithm: "sha256",
  encoding: "hex",
  value: createHash("sha256").update(raw).digest("hex"),
});

describe("each call needs its scope", () => {
  /** Calls whose scope the contract's names leave no doubt about. A new key for each, since some are once only. */
  const calls: [string, string, (id: string) => [string, string, object?]][] = [
    ["keys:read", "GET /keys", () => ["GET", "/keys"]],
    ["keys:read", "GET /keys/{id}", (id) => ["GET", `/keys/${id}`]],
    ["keys:write", "POST /keys", () => ["POST", "/keys", newKey()]],
    ["keys:write", "PATCH /keys/{id}", (id) => ["PATCH", `/keys/${id}`, { name: "x" }]],
    ["keys:write", "POST /keys/{id}/rotate", (id) => ["POST", `/keys/${id}/rotate`, {}]],
    [
      "keys:write",
      "POST /keys/import",
      () => ["POST", "/keys/import", { keys: [{ ...newKey(), hash: hashOf(strangerKey().slice(8)) }] }],
    ],
    ["keys:revoke", "POST /keys/{id}/revoke", (id) => ["POST", `/keys/${id}/revoke`, { reason: "other" }]],
    ["keys:verify", "POST /verify", () => ["POST", "/verify", { key: strangerKey() }]],
    ["owners:write", "PUT /owners/{id}", () => ["PUT", "/owners/some", { limits: [] }]],
    ["owners:write", "POST /owners/{id}/disable", () => ["POST", "/owners/some/disable", {}]],
    ["owners:write", "POST /owners/{id}/enable", () => ["POST", "/owners/some/enable", {}]],
    ["usage:read", "GET /usage", () => ["GET", "/usage"]],
    ["usage:read", "GET /metrics", () => ["GET", "/_latchkey/metrics"]],
    ["audit:read", "GET /audit", () => ["GET", "/audit"]],
    ["audit:read", "GET /audit/verify", () => ["GET", "/audit/verify"]],
  ];

  test("with that scope alone it passes; with every other one it is 403 and names what is missing", async () => {
    const alone = new Map<string, string>();
    const without = new Map<string, string>();
    for (const scope of new Set(calls.map(([needed]) => needed))) {
      alone.set(scope, (await admin([scope])).key);
      // `admin:*` is about admin keys; whether it opens more is not for this test to say.
      without.set(scope, (await admin(ADMIN_SCOPES.filter((other) => other !== scope && other !== "admin:*"))).key);
    }
    for (const [scope, name, make] of calls) {
      const { id } = await target.api.issue();
      const refused = await call(without.get(scope) ?? null, ...make(id));
      expectProblem(refused, 403, "scope_insufficient");
      expect([name, challengeOf(refused)["scope"]]).toEqual([name, scope]);
      const allowed = await call(alone.get(scope) ?? null, ...make(id));
      expect([name, allowed.status < 300]).toEqual([name, true]);
    }
  });

  test("no call answers anyone without a good admin key", async () => {
    const { id, key: plain } = await target.api.issue({ scopes: ["keys:read", "keys:write"] });
    const others: [string, string, object?][] = [
      ["POST", `/keys/${id}/disable`, {}],
      ["POST", `/keys/${id}/enable`, {}],
      ["GET", "/owners/acme"],
    ];
    for (const made of [...calls.map(([, , make]) => make(id)), ...others]) {
      const [method, path, body] = made;
      expectProblem(await call(null, method, path, body), 401, "key_missing");
      for (const key of [
        strangerKey(),
        `lkroot_${"x".repeat(43)}`,
        target.server.rootToken.slice(0, -1),
        `${target.server.rootToken}x`,
      ])
        expectProblem(await call(key, method, path, body), 401, "key_invalid");
      // A key of another kind is no admin key, whatever its scopes are called.
      expect([path, [401, 403]]).toEqual([
        path,
        expect.arrayContaining([(await call(plain, method, path, body)).status]),
      ]);
    }
    expect((await target.api.call("GET", `/keys/${id}`)).body).toMatchObject({ status: "active", generation: 1 });
  });

  test("an admin key's scopes are the contract's and no others", async () => {
    for (const scope of ADMIN_SCOPES)
      expect(
        (await call(target.server.rootToken, "POST", "/keys", newKey({ kind: "admin", scopes: [scope] }))).status,
        scope,
      ).toBe(201);
    for (const scope of ["reports:read", "*", "*:*", "admin", "keys:everything"])
      expectProblem(
        await call(target.server.rootToken, "POST", "/keys", newKey({ kind: "admin", scopes: [scope] })),
        400,
        "request_invalid",
      );
  });
});

describe("admin keys obey every rule that other keys do", () => {
  test("expiry, start, stop, address and limits", async () => {
    await untilRoom(3_600, 20);
    const cases: [Record<string, unknown>, number, string][] = [
      [{ notBefore: "2099-01-01T00:00:00Z" }, 401, "key_not_yet_valid"],
      [{ bindings: { ips: ["203.0.113.0/24"] } }, 403, "ip_not_allowed"],
    ];
    for (const [more, status, code] of cases)
      expectProblem(await call((await admin(["keys:read"], more)).key, "GET", "/keys"), status, code);
    const stopped = await admin(["keys:read"]);
    expect((await call(stopped.key, "GET", "/keys")).status).toBe(200);
    await target.api.call("POST", `/keys/${stopped.id}/disable`, { body: {} });
    expectProblem(await call(stopped.key, "GET", "/keys"), 401, "key_disabled");
    const limited = await admin(["keys:read"], {
      limits: [{ name: "few", limit: 2, window: { seconds: 3_600 }, kind: "rate" }],
    });
    for (let count = 0; count < 2; count++) expect((await call(limited.key, "GET", "/keys")).status).toBe(200);
    const refused = await call(limited.key, "GET", "/keys");
    expect(expectProblem(refused, 429, "rate_limited")["violatedPolicies"]).toEqual(["few"]);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(quotasOf(refused)["few"]?.t ?? 1);
  });

  test("rotated without overlap, the old one stops at once and the new one works", async () => {
    const old = await admin(["keys:read"]);
    const next = await target.api.rotate(old.id, { overlapSeconds: 0 });
    expectProblem(await call(old.key, "GET", "/keys"), 401, "key_expired");
    expect((await call(next.key, "GET", "/keys")).status).toBe(200);
  });
});

describe("nobody lifts himself up", () => {
  test("an admin key cannot make, change, rotate or import one that may more than itself", async () => {
    const writer = await admin(["keys:read", "keys:write"]);
    const strong = await admin(["keys:read", "keys:write", "keys:revoke", "audit:read"]);
    const attempts: [string, string, object][] = [
      ["POST", "/keys", newKey({ kind: "admin", scopes: ["admin:*"] })],
      ["POST", "/keys", newKey({ kind: "admin", scopes: ["keys:read", "audit:read"] })],
      ["PATCH", `/keys/${writer.id}`, { scopes: ["keys:read", "keys:write", "audit:read"] }],
      ["PATCH", `/keys/${strong.id}`, { name: "mine now" }],
      ["POST", `/keys/${strong.id}/rotate`, { overlapSeconds: 600 }],
      ["POST", `/keys/${strong.id}/disable`, {}],
    ];
    for (const [method, path, body] of attempts) {
      const answer = await call(writer.key, method, path, body);
      expect([method, path, answer.status]).toEqual([method, path, 403]);
      expect(answer.text).not.toMatch(/"key":/);
    }
    const imported = await call(writer.key, "POST", "/keys/import", {
      keys: [{ ...newKey({ kind: "admin", scopes: ["audit:read"] }), hash: hashOf(strangerKey().slice(8)) }],
    });
    if (imported.status === 200) expect(imported.json()["results"]).toMatchObject([{ ok: false }]);
    else expect(imported.status).toBe(403);
    expect((await target.api.call("GET", `/keys/${strong.id}`)).body).toMatchObject({
      status: "active",
      generation: 1,
    });
    expect((await target.api.call("GET", `/keys/${writer.id}`)).body).toMatchObject({
      scopes: ["keys:read", "keys:write"],
    });
    // What it may, it does.
    expect((await call(writer.key, "POST", "/keys", newKey())).status).toBe(201);
  });

  test("an ordinary key with the name of an admin scope is not an admin key", async () => {
    const answer = await call(target.server.rootToken, "POST", "/keys", newKey({ scopes: ["admin:*", "keys:read"] }));
    if (answer.status === 201)
      expect([401, 403]).toContain((await call(String(answer.json()["key"]), "GET", "/keys")).status);
    else expect(answer.status).toBe(400);
  });
});

describe("workspaces", () => {
  test("an id of another workspace is 404 in every call, and nothing of it shows in any list", async () => {
    const theirs = control(target.server, "theirs");
    const key = await theirs.issue({ owner: "their-customer", name: "Their key" });
    await theirs.call("PUT", "/owners/their-customer", {
      body: { limits: [{ name: "pool", limit: 3, window: "day", kind: "quota" }] },
    });
    const before = (await theirs.call("GET", `/keys/${key.id}`)).body;
    const calls: [string, string, object?][] = [
      ["GET", `/keys/${key.id}`],
      ["PATCH", `/keys/${key.id}`, { name: "x" }],
      ["POST", `/keys/${key.id}/rotate`, {}],
      ["POST", `/keys/${key.id}/revoke`, { reason: "other" }],
      ["POST", `/keys/${key.id}/disable`, {}],
      ["POST", `/keys/${key.id}/enable`, {}],
      ["GET", "/owners/their-customer"],
    ];
    const ours = await admin(ADMIN_SCOPES.filter((scope) => scope !== "admin:*"));
    for (const token of [target.server.rootToken, ours.key]) {
      for (const [method, path, body] of calls)
        expect([path, (await call(token, method, path, body)).status]).toEqual([path, 404]);
      for (const path of [
        "/keys?limit=200",
        "/keys?owner=their-customer",
        "/audit?limit=200",
        "/usage?groupBy=owner,key",
        "/_latchkey/metrics",
      ]) {
        const answer = await call(token, "GET", path);
        expect(answer.status).toBe(200);
        expect([path, answer.text.includes(key.id), answer.text.includes("their-customer")]).toEqual([
          path,
          false,
          false,
        ]);
      }
    }
    expect(before).toMatchObject({ status: "active", workspace: "theirs" });
    expect((await theirs.call("GET", `/keys/${key.id}`)).body).toEqual(before);
    const used = await target.send("/anything", { key: key.key });
    expect((used.json()["headers"] as Record<string, string>)["x-latchkey-workspace"]).toBe("theirs");
  });

  test("an admin key acts in its own workspace and in no other that it names", async () => {
    const ours = await admin(["keys:read", "keys:write"]);
    for (const [method, path, body] of [
      ["GET", "/keys"],
      ["POST", "/keys", newKey()],
    ] as const)
      expect((await call(ours.key, method, path, body, { "x-latchkey-workspace": "theirs" })).status).toBe(403);
    const made = await call(ours.key, "POST", "/keys", newKey());
    expect(made.json()).toMatchObject({ workspace: "default", createdBy: ours.id });
  });

  test("owners of one name in two workspaces share nothing", async () => {
    await untilRoom(3_600, 10);
    const limits = [{ name: "pool", limit: 2, window: { seconds: 3_600 }, kind: "quota" }];
    const theirs = control(target.server, "theirs");
    await target.api.call("PUT", "/owners/twin", { body: { limits } });
    const [ours, other] = [await target.api.issue({ owner: "twin" }), await theirs.issue({ owner: "twin" })];
    for (const [key, status] of [
      [ours.key, 200],
      [ours.key, 200],
      [ours.key, 429],
      [other.key, 200],
      [other.key, 200],
      [other.key, 200],
    ] as const)
      expect((await target.send("/anything", { key })).status).toBe(status);
  });
});
