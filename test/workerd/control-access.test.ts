import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { OPERATIONS } from "../../src/control/operations.ts";
import { ADMIN_SCOPES } from "../../src/keys/admin-scopes.ts";
import { err } from "../../src/result.ts";
import { openControl, ROOT } from "../support/control-lab.ts";

/** Who may call what. */

const control = openControl();

const BODIES: Readonly<Record<string, unknown>> = {
  createKey: control.input(),
  importKeys: { keys: [], dryRun: true },
  patchKey: { name: "Renamed" },
  rotateKey: {},
  revokeKey: { reason: "retired" },
  putOwner: {},
};

/** A path with an id that has the right form and names nothing: who may pass gets 404, who may not 403. */
function pathOf(path: string): string {
  return path.replace("{id}", path.startsWith("/owners") ? "nobody" : `key_${"0".repeat(26)}`);
}

describe("every route × every scope", () => {
  const keys = new Map<string, string>();
  beforeAll(async () => {
    for (const scope of ADMIN_SCOPES) keys.set(scope, (await control.admin(scope)).key);
  });

  for (const operation of OPERATIONS) {
    test(`${operation.method} ${operation.path} is for ${operation.scope} and admin:* alone`, async () => {
      const passed: string[] = [];
      for (const scope of ADMIN_SCOPES) {
        const body = BODIES[operation.operationId];
        const answered = await control.call(operation.method.toUpperCase(), pathOf(operation.path), {
          token: keys.get(scope) ?? "",
          ...(operation.method === "get" ? {} : { body: body ?? {} }),
        });
        expect(answered.status).not.toBe(401);
        if (answered.status !== 403) passed.push(scope);
        else expect(answered.body["code"]).toBe("scope_insufficient");
      }
      expect(passed.toSorted()).toEqual([...new Set([operation.scope, "admin:*"])].toSorted());
    });
  }

  test("there is a scope on every route, and it is one of the contract's", () => {
    for (const operation of OPERATIONS) expect(ADMIN_SCOPES).toContain(operation.scope);
  });
});

describe("callers", () => {
  test("without a credential the answer is 401 with a challenge that names no error", async () => {
    const answered = await control.call("GET", "/keys", { token: null });
    expect(answered.status).toBe(401);
    expect(answered.body["code"]).toBe("key_missing");
    expect(answered.headers.get("WWW-Authenticate")).toBe('Bearer realm="latchkey"');
  });

  test.each([
    ["Basic", `Basic ${btoa(`${ROOT}:`)}`, "key_missing"],
    ["an empty token", "Bearer ", "key_missing"],
    ["two tokens", `Bearer ${ROOT} ${ROOT}`, "key_invalid"],
    ["another token", `Bearer ${ROOT}x`, "key_invalid"],
    ["a token that only begins right", `Bearer ${ROOT.slice(0, -1)}`, "key_invalid"],
  ])("%s is refused", async (_name, authorization, code) => {
    const answered = await control.call("GET", "/keys", { token: null, headers: { Authorization: authorization } });
    expect([answered.status, answered.body["code"]]).toEqual([401, code]);
  });

  test("a secret key is no admin key, whatever its scopes are called", async () => {
    const made = await control.create({ scopes: ["keys:read", "admin:*"] });
    const answered = await control.call("GET", "/keys", { token: made.body["key"] });
    expect([answered.status, answered.body["code"]]).toEqual([403, "scope_insufficient"]);
  });

  test("two different credentials are a conflict", async () => {
    const answered = await control.call("GET", "/keys", { headers: { "X-API-Key": "something-else" } });
    expect([answered.status, answered.body["code"]]).toEqual([400, "credential_conflict"]);
  });

  test("what the check says of a key is what its bearer hears", async () => {
    const refused = openControl({
      authenticate: async () => err({ code: "verification_unavailable", detail: "Later.", retryAfterSeconds: 7 }),
    });
    const answered = await refused.call("GET", "/keys", { token: "some-admin-key" });
    expect([answered.status, answered.headers.get("Retry-After")]).toEqual([503, "7"]);
  });

  test("without a root token, or with one too short to be a secret, there is no root", async () => {
    for (const token of [undefined, "", "short"]) {
      const rootless = openControl({
        env: {
          KEY_REGISTRY: env.KEY_REGISTRY,
          ALERT_CENTER: env.ALERT_CENTER,
          WATCH: env.WATCH,
          CONTROL_RATE: env.CONTROL_RATE,
          LATCHKEY_ROOT_TOKEN: token,
        },
      });
      expect(
        (await rootless.call("GET", "/keys", { token: token === undefined || token === "" ? "undefined" : token }))
          .status,
      ).toBe(401);
      expect((await rootless.call("GET", "/keys")).status).toBe(401);
    }
  });

  test("a caller over its rate hears when to come back", async () => {
    const asked: string[] = [];
    const limit = async ({ key }: RateLimitOptions) => {
      asked.push(key);
      return { success: false };
    };
    const busy = openControl({
      env: {
        KEY_REGISTRY: env.KEY_REGISTRY,
        ALERT_CENTER: env.ALERT_CENTER,
        WATCH: env.WATCH,
        CONTROL_RATE: { limit },
        LATCHKEY_ROOT_TOKEN: ROOT,
      },
    });
    const answered = await busy.call("GET", "/keys");
    expect([answered.status, answered.body["code"], answered.headers.get("Retry-After")]).toEqual([
      429,
      "rate_limited",
      "10",
    ]);
    expect(asked).toEqual([`${busy.workspace}/root`]);
  });

  test("a limiter that fails stops nobody", async () => {
    const broken = { limit: () => Promise.reject(new Error("down")) };
    const open = openControl({
      env: {
        KEY_REGISTRY: env.KEY_REGISTRY,
        ALERT_CENTER: env.ALERT_CENTER,
        WATCH: env.WATCH,
        CONTROL_RATE: broken,
        LATCHKEY_ROOT_TOKEN: ROOT,
      },
    });
    expect((await open.call("GET", "/keys")).status).toBe(200);
  });
});

describe("workspaces", () => {
  test("an admin key acts in its own workspace, and may name no other", async () => {
    const admin = await control.admin("keys:read");
    const named = (workspace: string) =>
      control.call("GET", "/keys", { token: admin.key, headers: { "X-Latchkey-Workspace": workspace } });
    expect((await named(control.workspace)).status).toBe(200);
    expect((await named("default")).status).toBe(403);
  });

  test("a key of another workspace is not there", async () => {
    const other = openControl();
    const made = await other.create();
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["PATCH", "", { name: "Mine now" }],
      ["POST", "/rotate", {}],
      ["POST", "/revoke", { reason: "other" }],
      ["POST", "/disable", {}],
    ] as const) {
      const answered = await control.call(method, `/keys/${made.body["id"]}${path}`, { body });
      expect([method, path, answered.status]).toEqual([method, path, 404]);
    }
    expect((await other.call("GET", `/keys/${made.body["id"]}`)).body["status"]).toBe("active");
  });

  test("root acts where it says, and a name that is none is a fault of the header", async () => {
    const answered = await control.call("GET", "/keys", { workspace: "not a name" });
    expect(answered.body["errors"]).toEqual([
      { pointer: "/X-Latchkey-Workspace", detail: "Not the name of a workspace.", in: "header" },
    ]);
  });
});

describe("no key gives away, or takes over, more than it holds", () => {
  test("an admin key cannot issue or import one that may do more", async () => {
    const writer = await control.admin("keys:write");
    const hash = { algorithm: "sha256", encoding: "hex", value: "ab".repeat(32) };
    for (const scope of ["admin:*", "keys:revoke", "keys:read"]) {
      const issued = await control.create({ kind: "admin", scopes: [scope] }, { token: writer.key });
      expect([scope, issued.status, issued.body["code"]]).toEqual([scope, 403, "scope_insufficient"]);
      const item = control.input({ kind: "admin", scopes: [scope], hash });
      const imported = await control.call("POST", "/keys/import", { token: writer.key, body: { keys: [item] } });
      expect(imported.body["results"][0]).toMatchObject({ ok: false, code: "scope_insufficient" });
    }
    expect((await control.create({ kind: "admin", scopes: ["keys:write"] }, { token: writer.key })).status).toBe(201);
  });

  test("an admin key cannot rotate, change, stop or start one that may do more", async () => {
    const writer = await control.admin("keys:write");
    const target = await control.admin("admin:*");
    for (const [method, path, body] of [
      ["POST", "/rotate", {}],
      ["PATCH", "", { name: "Mine now" }],
      ["PATCH", "", { scopes: ["keys:write"] }],
      ["POST", "/disable", {}],
      ["POST", "/enable", {}],
    ] as const) {
      const answered = await control.call(method, `/keys/${target.id}${path}`, { token: writer.key, body });
      expect([path, answered.status, answered.body["code"]]).toEqual([path, 403, "scope_insufficient"]);
      expect(answered.body).not.toHaveProperty("key");
    }
  });

  test("who may change owners cannot stop or start admin keys that may do more", async () => {
    const lab = openControl();
    const manager = await lab.admin("owners:write");
    await lab.admin("admin:*");
    const owner = String((await lab.call("GET", `/keys/${manager.id}`)).body["owner"]);
    for (const action of ["disable", "enable"]) {
      const answered = await lab.call("POST", `/owners/${owner}/${action}`, { token: manager.key });
      expect([action, answered.status, answered.body["code"]]).toEqual([action, 403, "scope_insufficient"]);
    }
    await lab.create({ owner: "globex" });
    const stopped = await lab.call("POST", "/owners/globex/disable", { token: manager.key });
    expect([stopped.status, stopped.body["delivery"]]).toEqual([200, "delivered"]);
  });

  test("an admin key cannot widen itself, or another of its kind", async () => {
    const writer = await control.admin("keys:write");
    const peer = await control.admin("keys:write");
    for (const id of [writer.id, peer.id]) {
      const answered = await control.call("PATCH", `/keys/${id}`, {
        token: writer.key,
        body: { scopes: ["keys:write", "audit:read"] },
      });
      expect(answered.status).toBe(403);
    }
    expect((await control.call("POST", `/keys/${peer.id}/rotate`, { token: writer.key })).status).toBe(201);
  });

  test("who may revoke may revoke any key: containment does not wait", async () => {
    const revoker = await control.admin("keys:revoke");
    const target = await control.admin("admin:*");
    const answered = await control.call("POST", `/keys/${target.id}/revoke`, {
      token: revoker.key,
      body: { reason: "leaked" },
    });
    expect(answered.status).toBe(200);
  });

  test("an admin key is strict, whether or not anyone said so, and stays it", async () => {
    const made = await control.create({ kind: "admin", scopes: ["keys:read"] });
    expect(made.body["policy"]).toEqual({ strict: true });
    const loose = await control.create({ kind: "admin", scopes: ["keys:read"], policy: { strict: false } });
    expect(loose.body["errors"]).toEqual([{ pointer: "/policy/strict", detail: "An admin key is always strict." }]);
    for (const policy of [null, { strict: null }]) {
      const patched = await control.call("PATCH", `/keys/${made.body["id"]}`, { body: { policy } });
      expect([patched.status, patched.body["policy"]["strict"]]).toEqual([200, true]);
    }
    expect(
      (await control.call("PATCH", `/keys/${made.body["id"]}`, { body: { policy: { strict: false } } })).status,
    ).toBe(400);
  });
});
