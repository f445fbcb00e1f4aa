import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { keyRecordSchema } from "../../src/control/schemas/key-record.ts";
import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import { parseKey } from "../../src/keys/format.ts";
import { ok } from "../../src/result.ts";
import { openControl, ROOT } from "../support/control-lab.ts";

/** A key's life, as an operator sees it. */

const control = openControl();
const now = (): number => Date.now();

describe("issuing", () => {
  test("the answer shows the key once, and nothing else ever does", async () => {
    const made = await control.create({ metadata: { seats: 3 }, tags: ["a", "b"], purpose: "Test" });
    expect(made.status).toBe(201);
    expect(made.headers.get("Cache-Control")).toBe("no-store");
    const { key, ...record } = made.body;
    expect(parseKey(key).ok).toBe(true);
    expect(key.startsWith("lk_live_")).toBe(true);
    expect(made.headers.get("Location")).toBe(`/_latchkey/v1/keys/${record["id"]}`);
    expect(made.headers.get("ETag")).toBe('"g1"');
    const read = await control.call("GET", `/keys/${record["id"]}`);
    expect(read.body).toEqual(record);
    const everything = [read, await control.call("GET", "/keys"), await control.call("GET", "/audit")];
    expect(JSON.stringify(everything.map((one) => one.body))).not.toContain(key);
  });

  test("the record is what the document says it is", async () => {
    const made = await control.create({
      kind: "publishable",
      scopes: ["charges:read"],
      bindings: { origins: ["https://app.example.com"] },
    });
    const { key: _key, ...record } = made.body;
    expect(keyRecordSchema.safeParse(record).error).toBeUndefined();
  });

  test("a workspace's prefix stands in its keys", async () => {
    const acme = openControl({ config: { upstreams: {}, workspaces: { [control.workspace]: { prefix: "acme" } } } });
    const made = await acme.create({ environment: "test" }, { workspace: control.workspace });
    expect(made.body["key"]).toMatch(/^acme_test_/);
  });

  test("bindings are stored in one form, and lists that bind nothing are dropped", async () => {
    const bindings = {
      ips: ["203.0.113.77/24", "::ffff:198.51.100.4"],
      origins: ["HTTPS://App.Example.com"],
      countries: ["de"],
      certificateSha256: [],
    };
    const made = await control.create({ bindings });
    expect(made.body["bindings"]).toEqual({
      ips: ["203.0.113.0/24", "198.51.100.4"],
      origins: ["https://app.example.com"],
      countries: ["DE"],
    });
  });

  test("times of any offset are brought to UTC", async () => {
    const year = new Date().getUTCFullYear() + 1;
    const made = await control.create({ expiresAt: `${year}-06-01T02:00:00+02:00` });
    expect(made.body["expiresAt"]).toBe(`${year}-06-01T00:00:00.000Z`);
  });

  test("when the registry cannot be reached nothing is shown, and the caller may try again", async () => {
    const broken = {
      getByName: () => {
        throw Object.assign(new Error("gone"), { retryable: true });
      },
    };
    const down = openControl({
      env: {
        KEY_REGISTRY: broken as never,
        ALERT_CENTER: env.ALERT_CENTER,
        WATCH: env.WATCH,
        CONTROL_RATE: env.CONTROL_RATE,
        LATCHKEY_ROOT_TOKEN: ROOT,
      },
    });
    for (const answered of [await down.create(), await down.call("GET", "/keys")]) {
      expect([answered.status, answered.body["code"]]).toEqual([503, "storage_unavailable"]);
      expect(answered.headers.get("Retry-After")).not.toBeNull();
      expect(answered.body).not.toHaveProperty("key");
    }
  });
});

describe("repeats", () => {
  const headers = { "Idempotency-Key": "order-77" };

  test("a repeat gets the first answer without the secret; another body is a conflict", async () => {
    const first = await control.create({ name: "Once" }, { headers });
    const again = await control.create({ name: "Once" }, { headers });
    const { key, ...record } = first.body;
    expect(key).toBeDefined();
    expect(again.status).toBe(201);
    expect(again.body).toEqual(record);
    expect(again.headers.get("Idempotent-Replayed")).toBe("true");
    expect(first.headers.get("Idempotent-Replayed")).toBeNull();
    const other = await control.create({ name: "Twice" }, { headers });
    expect([other.status, other.body["code"]]).toEqual([409, "idempotency_conflict"]);
  });

  test("the order of members makes no other body", async () => {
    const text = (parts: readonly string[]) => `{${parts.join(",")}}`;
    const parts = ['"name":"Order"', '"owner":"acme"', '"environment":"live"', '"scopes":["a:b"]'];
    const send = (body: string) =>
      control.call("POST", "/keys", { text: body, headers: { "Idempotency-Key": "order-78" } });
    const first = await send(text(parts));
    const again = await send(text(parts.toReversed()));
    expect([first.status, again.status, again.body["id"]]).toEqual([201, 201, first.body["id"]]);
  });

  test("every write takes the key: a repeated rotation makes one successor, a repeated change one generation", async () => {
    const made = await control.create();
    const path = `/keys/${made.body["id"]}`;
    for (const [method, suffix, body] of [
      ["PATCH", "", { name: "Second" }],
      ["POST", "/disable", {}],
      ["POST", "/enable", {}],
      ["POST", "/rotate", { overlapSeconds: 60 }],
      ["POST", "/revoke", { reason: "retired" }],
    ] as const) {
      const options = { body, headers: { "Idempotency-Key": `life-${suffix}` } };
      const first = await control.call(method, path + suffix, options);
      const again = await control.call(method, path + suffix, options);
      expect([suffix, again.status, again.headers.get("Idempotent-Replayed")]).toEqual([suffix, first.status, "true"]);
      const { key: _key, ...record } = first.body;
      expect(again.body).toEqual(record);
    }
    const owner = { body: { name: "Acme" }, headers: { "Idempotency-Key": "owner-1" } };
    const put = await control.call("PUT", "/owners/acme", owner);
    const again = await control.call("PUT", "/owners/acme", owner);
    expect([again.headers.get("Idempotent-Replayed"), again.body["generation"]]).toEqual([
      "true",
      put.body["generation"],
    ]);
  });

  test("a key of 255 characters is taken, one of 256, or with a space, is not", async () => {
    const send = (key: string) => control.create({}, { headers: { "Idempotency-Key": key } });
    expect((await send("k".repeat(255))).status).toBe(201);
    for (const key of ["k".repeat(256), "two words"]) {
      expect((await send(key)).body["errors"][0]).toMatchObject({ pointer: "/Idempotency-Key", in: "header" });
    }
  });
});

describe("changing", () => {
  test("a merge patch changes what it names and takes away what it sets to null", async () => {
    const made = await control.create({
      metadata: { a: 1, b: { c: 2, d: 3 } },
      plan: "free",
      tags: ["x"],
      bindings: { ips: ["10.0.0.0/8"], countries: ["DE"] },
    });
    const patch = {
      metadata: { a: null, b: { c: 5 } },
      plan: null,
      tags: null,
      bindings: { ips: [], countries: ["FR"] },
      name: "New",
    };
    const patched = await control.call("PATCH", `/keys/${made.body["id"]}`, {
      text: JSON.stringify(patch),
      headers: { "Content-Type": "application/merge-patch+json" },
    });
    expect(patched.status).toBe(200);
    expect(patched.body).toMatchObject({ name: "New", plan: null, tags: [], generation: 2, scopes: ["charges:read"] });
    expect(patched.body["metadata"]).toEqual({ b: { c: 5, d: 3 } });
    expect(patched.body["bindings"]).toEqual({ countries: ["FR"] });
    expect(patched.headers.get("ETag")).toBe('"g2"');
  });

  test("a change that was meant for an older state is refused", async () => {
    const made = await control.create();
    const path = `/keys/${made.body["id"]}`;
    const send = (etag: string) =>
      control.call("PATCH", path, { body: { name: etag.slice(0, 3) }, headers: { "If-Match": etag } });
    expect((await send('"g1"')).status).toBe(200);
    for (const etag of ['"g1"', 'W/"g2"', '"something"']) {
      const answered = await send(etag);
      expect([etag, answered.status, answered.body["code"]]).toEqual([etag, 412, "precondition_failed"]);
    }
    expect((await send("*")).status).toBe(200);
    for (const suffix of ["/rotate", "/revoke", "/disable", "/enable"]) {
      const answered = await control.call("POST", path + suffix, {
        body: suffix === "/revoke" ? { reason: "other" } : {},
        headers: { "If-Match": '"g1"' },
      });
      expect([suffix, answered.status]).toEqual([suffix, 412]);
    }
  });

  test.each(["id", "owner", "environment", "kind", "workspace", "status", "key", "hash"])(
    "%s cannot be changed",
    async (member) => {
      const made = await control.create();
      const answered = await control.call("PATCH", `/keys/${made.body["id"]}`, { body: { [member]: "live" } });
      expect([answered.status, answered.body["errors"][0].pointer]).toEqual([400, `/${member}`]);
    },
  );

  test("what a patch leaves must be a key that could be issued", async () => {
    const made = await control.create({ kind: "publishable", bindings: { origins: ["https://a.example.com"] } });
    const path = `/keys/${made.body["id"]}`;
    for (const [body, pointer] of [
      [{ scopes: ["charges:write"] }, "/scopes/0"],
      [{ bindings: null }, "/bindings/origins"],
      [{ bindings: { origins: [] } }, "/bindings/origins"],
      [{ plan: "gold" }, "/plan"],
      [{ expiresAt: "2020-01-01T00:00:00Z" }, "/expiresAt"],
    ] as const) {
      const answered = await control.call("PATCH", path, { body });
      expect([answered.status, answered.body["errors"][0].pointer]).toEqual([400, pointer]);
    }
  });
});

describe("ending", () => {
  test("rotation makes a key of the same lineage, and the old one has an end", async () => {
    const made = await control.create();
    const rotated = await control.call("POST", `/keys/${made.body["id"]}/rotate`);
    expect(rotated.status).toBe(201);
    expect(rotated.body).toMatchObject({
      lineageId: made.body["lineageId"],
      rotatedFrom: made.body["id"],
      status: "active",
    });
    expect(rotated.body["key"]).not.toBe(made.body["key"]);
    expect(rotated.headers.get("Location")).toBe(`/_latchkey/v1/keys/${rotated.body["id"]}`);
    const old = await control.call("GET", `/keys/${made.body["id"]}`);
    expect(old.body["status"]).toBe("rotating");
    const overlap = Date.parse(old.body["notAfter"]) - Date.parse(old.body["updatedAt"]);
    expect(overlap).toBe(86_400_000);
  });

  test("a revocation says by when it holds everywhere; a strict key's holds at once", async () => {
    const before = now();
    const loose = await control.create();
    const strict = await control.create({ policy: { strict: true } });
    const revoke = (id: string) =>
      control.call("POST", `/keys/${id}/revoke`, { body: { reason: "leaked", note: "Seen in a repository" } });
    const first = await revoke(loose.body["id"]);
    expect(first.body).toMatchObject({ status: "revoked", revokedReason: "leaked", delivery: "delivered" });
    const bound = Date.parse(first.body["effectiveBy"]) - Date.parse(first.body["revokedAt"]);
    expect(bound).toBeGreaterThan(0);
    expect(bound).toBeLessThanOrEqual(REVOCATION_BOUND_SECONDS * 1_000);
    expect(Date.parse(first.body["revokedAt"])).toBeGreaterThanOrEqual(before);
    const second = await revoke(strict.body["id"]);
    const strictLag = Date.parse(second.body["effectiveBy"]) - Date.parse(second.body["revokedAt"]);
    expect(strictLag).toBeGreaterThanOrEqual(0);
    // The time that the meter took to hear of it, not a lease.
    expect(strictLag).toBeLessThan(bound);
    expect((await revoke(loose.body["id"])).body["revokedAt"]).toBe(first.body["revokedAt"]);
  });

  test("the bound counts from when the meter took it, and is not named before", async () => {
    const revokedAt = "2026-11-23T12:00:00.000Z";
    const value = { id: `key_${"0".repeat(26)}`, policy: {}, generation: 2, revokedAt };
    const revoked = async (delivered: boolean, replayed: boolean, afterMs: number) => {
      const registry = { getByName: () => ({ revoke: async () => ok({ value, delivered, replayed }) }) };
      const lab = openControl({
        // Only this one call is made.
        env: {
          KEY_REGISTRY: registry as never,
          ALERT_CENTER: env.ALERT_CENTER,
          WATCH: env.WATCH,
          CONTROL_RATE: env.CONTROL_RATE,
          LATCHKEY_ROOT_TOKEN: ROOT,
        },
        now: () => Date.parse(revokedAt) + afterMs,
      });
      const { body } = await lab.call("POST", `/keys/${value.id}/revoke`, { body: { reason: "leaked" } });
      return [body["delivery"], body["effectiveBy"]];
    };
    expect(await revoked(true, false, 20)).toEqual(["delivered", "2026-11-23T12:00:05.000Z"]);
    // The meter answered late: the last lease may be as young as that.
    expect(await revoked(true, false, 3_000)).toEqual(["delivered", "2026-11-23T12:00:07.500Z"]);
    expect(await revoked(true, true, 3_600_000)).toEqual(["delivered", "2026-11-23T12:00:05.000Z"]);
    expect(await revoked(false, false, 20)).toEqual(["pending", null]);
  });

  test("a disabled key can be enabled, a revoked one never", async () => {
    const made = await control.create();
    const path = `/keys/${made.body["id"]}`;
    expect((await control.call("POST", `${path}/disable`)).body["status"]).toBe("disabled");
    expect((await control.call("POST", `${path}/enable`)).body["status"]).toBe("active");
    await control.call("POST", `${path}/revoke`, { body: { reason: "policy" } });
    expect((await control.call("POST", `${path}/enable`)).status).toBe(409);
  });
});

describe("finding", () => {
  test("each filter is heard, and pages follow one another without loss", async () => {
    const lab = openControl();
    for (let index = 0; index < 5; index += 1)
      await lab.create({
        owner: index % 2 === 0 ? "even" : "odd",
        name: index === 4 ? "A needle" : `Key ${index}`,
        tags: [`t${index}`],
      });
    await lab.create({ owner: "even", environment: "test", kind: "admin", scopes: ["keys:read"], plan: "pro" });
    const count = async (query: string) => (await lab.call("GET", `/keys?${query}`)).body["data"].length;
    expect(await count("owner=even")).toBe(4);
    expect(await count("owner=even&environment=test")).toBe(1);
    expect(await count("kind=admin&scope=keys:read&plan=pro&status=active")).toBe(1);
    expect(await count("tag=t3")).toBe(1);
    expect(await count("q=needle")).toBe(1);
    expect(await count(`createdAfter=${encodeURIComponent(new Date(0).toISOString())}`)).toBe(6);
    expect(await count("expiresBefore=2099-01-01T00:00:00Z")).toBe(0);
    // Never used, so not since then either. The plus arrives as a space.
    expect(await count("lastUsedBefore=2020-01-01T00:00:00+02:00")).toBe(6);
    const seen: string[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const page = await lab.call("GET", `/keys?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      seen.push(...page.body["data"].map((record: { id: string }) => record.id));
      cursor = page.body["nextCursor"];
    }
    expect(new Set(seen).size).toBe(6);
  });

  test("the trail names who did what from where, and its chain holds", async () => {
    const lab = openControl();
    const made = await lab.create();
    await lab.call("POST", `/keys/${made.body["id"]}/revoke`, { body: { reason: "leaked" } });
    const trail = await lab.call("GET", `/audit?subject=${made.body["id"]}`);
    expect(trail.body["data"]).toHaveLength(2);
    expect(trail.body["data"][0]).toMatchObject({
      action: "key.revoke",
      actor: { kind: "root", id: "root", address: "203.0.113.7" },
    });
    expect((await lab.call("GET", "/audit/verify")).body).toMatchObject({
      valid: true,
      entries: 2,
      firstBadSequence: null,
    });
  });
});
