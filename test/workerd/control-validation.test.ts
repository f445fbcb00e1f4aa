import { describe, expect, test } from "vitest";
import {
  MAX_BINDING_ENTRIES,
  MAX_CONTROL_BODY_BYTES,
  MAX_CURSOR_CHARACTERS,
  MAX_DEADLINE_DAYS,
  MAX_GRACE_SECONDS,
  MAX_LIMITS,
  MAX_LIMIT_NAME_CHARACTERS,
  MAX_LIMIT_UNITS,
  MAX_LIST_LIMIT,
  MAX_METADATA_BYTES,
  MAX_NAME_CHARACTERS,
  MAX_NOTE_CHARACTERS,
  MAX_OVERLAP_SECONDS,
  MAX_PURPOSE_CHARACTERS,
  MAX_SCOPES,
  MAX_SCOPE_CHARACTERS,
  MAX_SEARCH_CHARACTERS,
  MAX_TAGS,
  MAX_TAG_CHARACTERS,
  MAX_WINDOW_SECONDS,
  REVOCATION_BOUND_SECONDS,
} from "../../src/constants.ts";
import { generateKey } from "../../src/keys/generate.ts";
import { openControl } from "../support/control-lab.ts";

/** Bad input is refused with the place of each fault; every bound is tried at the limit and one past it. */

const control = openControl();

function times(count: number, make: (index: number) => unknown): unknown[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

const limit = (change: object = {}) => ({ name: "burst", limit: 10, window: "minute", kind: "rate", ...change });
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
/** `{"m":"…"}` has eight characters besides its text. */
const metadata = (bytes: number) => ({ m: "x".repeat(bytes - 8) });

describe("POST /keys, at each bound and one past it", () => {
  const table: readonly (readonly [string, object, object, string])[] = [
    ["name", { name: "n".repeat(MAX_NAME_CHARACTERS) }, { name: "n".repeat(MAX_NAME_CHARACTERS + 1) }, "/name"],
    ["name, shortest", { name: "n" }, { name: "" }, "/name"],
    ["owner", { owner: `a${"b".repeat(63)}` }, { owner: `a${"b".repeat(64)}` }, "/owner"],
    [
      "scopes",
      { scopes: times(MAX_SCOPES, (i) => `s${i}:a`) },
      { scopes: times(MAX_SCOPES + 1, (i) => `s${i}:a`) },
      "/scopes",
    ],
    ["scopes, least", { scopes: ["a:b"] }, { scopes: [] }, "/scopes"],
    [
      "scope",
      { scopes: [`${"s".repeat(MAX_SCOPE_CHARACTERS - 2)}:a`] },
      { scopes: [`${"s".repeat(MAX_SCOPE_CHARACTERS - 1)}:a`] },
      "/scopes/0",
    ],
    ["scope wildcard", { scopes: ["charges:*"] }, { scopes: ["*"] }, "/scopes/0"],
    [
      "limits",
      { limits: times(MAX_LIMITS, (i) => limit({ name: `l${i}` })) },
      { limits: times(MAX_LIMITS + 1, (i) => limit({ name: `l${i}` })) },
      "/limits",
    ],
    ["limit names", { limits: [limit(), limit({ name: "other" })] }, { limits: [limit(), limit()] }, "/limits/1/name"],
    [
      "limit name",
      { limits: [limit({ name: "l".repeat(MAX_LIMIT_NAME_CHARACTERS) })] },
      { limits: [limit({ name: "l".repeat(MAX_LIMIT_NAME_CHARACTERS + 1) })] },
      "/limits/0/name",
    ],
    [
      "limit units",
      { limits: [limit({ limit: MAX_LIMIT_UNITS })] },
      { limits: [limit({ limit: MAX_LIMIT_UNITS + 1 })] },
      "/limits/0/limit",
    ],
    ["limit units, least", { limits: [limit({ limit: 0 })] }, { limits: [limit({ limit: -1 })] }, "/limits/0/limit"],
    ["limit units, whole", { limits: [limit({ limit: 1 })] }, { limits: [limit({ limit: 1.5 })] }, "/limits/0/limit"],
    [
      "window",
      { limits: [limit({ window: { seconds: MAX_WINDOW_SECONDS } })] },
      { limits: [limit({ window: { seconds: MAX_WINDOW_SECONDS + 1 } })] },
      "/limits/0/window/seconds",
    ],
    [
      "window, least",
      { limits: [limit({ window: { seconds: 1 } })] },
      { limits: [limit({ window: { seconds: 0 } })] },
      "/limits/0/window/seconds",
    ],
    [
      "window, named",
      { limits: [limit({ window: "month" })] },
      { limits: [limit({ window: "week" })] },
      "/limits/0/window",
    ],
    ["limit kind", { limits: [limit({ kind: "quota" })] }, { limits: [limit({ kind: "spend" })] }, "/limits/0/kind"],
    ["tags", { tags: times(MAX_TAGS, (i) => `t${i}`) }, { tags: times(MAX_TAGS + 1, (i) => `t${i}`) }, "/tags"],
    ["tag", { tags: ["t".repeat(MAX_TAG_CHARACTERS)] }, { tags: ["t".repeat(MAX_TAG_CHARACTERS + 1)] }, "/tags/0"],
    [
      "metadata",
      { metadata: metadata(MAX_METADATA_BYTES) },
      { metadata: metadata(MAX_METADATA_BYTES + 1) },
      "/metadata",
    ],
    [
      "purpose",
      { purpose: "p".repeat(MAX_PURPOSE_CHARACTERS) },
      { purpose: "p".repeat(MAX_PURPOSE_CHARACTERS + 1) },
      "/purpose",
    ],
    [
      "bindings",
      { bindings: { ips: times(MAX_BINDING_ENTRIES, (i) => `10.0.0.${i}`) } },
      { bindings: { ips: times(MAX_BINDING_ENTRIES + 1, (i) => `10.0.0.${i}`) } },
      "/bindings/ips",
    ],
    ["CIDR, v4", { bindings: { ips: ["10.0.0.0/32"] } }, { bindings: { ips: ["10.0.0.0/33"] } }, "/bindings/ips/0"],
    [
      "CIDR, v6",
      { bindings: { ips: ["2001:db8::/128"] } },
      { bindings: { ips: ["2001:db8::/129"] } },
      "/bindings/ips/0",
    ],
    [
      "origin",
      { bindings: { origins: ["*.example.com"] } },
      { bindings: { origins: ["https://example.com/path"] } },
      "/bindings/origins/0",
    ],
    ["country", { bindings: { countries: ["DE"] } }, { bindings: { countries: ["DEU"] } }, "/bindings/countries/0"],
    [
      "certificate",
      { bindings: { certificateSha256: ["A".repeat(64)] } },
      { bindings: { certificateSha256: ["g".repeat(64)] } },
      "/bindings/certificateSha256/0",
    ],
    [
      "grace",
      { policy: { graceSeconds: MAX_GRACE_SECONDS } },
      { policy: { graceSeconds: MAX_GRACE_SECONDS + 1 } },
      "/policy/graceSeconds",
    ],
    [
      "lease",
      { policy: { leaseTtlSeconds: REVOCATION_BOUND_SECONDS } },
      { policy: { leaseTtlSeconds: REVOCATION_BOUND_SECONDS + 1 } },
      "/policy/leaseTtlSeconds",
    ],
    ["plan", { plan: "free" }, { plan: "gold" }, "/plan"],
    ["expiry, nearest", { expiresAt: inDays(0.01) }, { expiresAt: inDays(-0.01) }, "/expiresAt"],
    [
      "expiry, furthest",
      { expiresAt: inDays(MAX_DEADLINE_DAYS - 1) },
      { expiresAt: inDays(MAX_DEADLINE_DAYS + 1) },
      "/expiresAt",
    ],
    ["expiry, date", { expiresAt: "2028-02-29T00:00:00Z" }, { expiresAt: "2027-02-29T00:00:00Z" }, "/expiresAt"],
    [
      "order",
      { notBefore: inDays(1), expiresAt: inDays(2) },
      { notBefore: inDays(2), expiresAt: inDays(1) },
      "/expiresAt",
    ],
    [
      "start, furthest",
      { notBefore: inDays(MAX_DEADLINE_DAYS - 1) },
      { notBefore: inDays(MAX_DEADLINE_DAYS + 1) },
      "/notBefore",
    ],
    ["no expiry", { expiresAt: null }, { expiresAt: "never" }, "/expiresAt"],
    [
      "publishable scope",
      { kind: "publishable", bindings: { origins: ["https://a.example"] } },
      { kind: "publishable", scopes: ["charges:write"], bindings: { origins: ["https://a.example"] } },
      "/scopes/0",
    ],
    [
      "publishable origin",
      { kind: "publishable", bindings: { origins: ["https://a.example"] } },
      { kind: "publishable" },
      "/bindings/origins",
    ],
    [
      "publishable, never the control API's",
      { kind: "publishable", bindings: { origins: ["https://a.example"] } },
      { kind: "publishable", scopes: ["keys:read"], bindings: { origins: ["https://a.example"] } },
      "/scopes/0",
    ],
    ["admin scope", { kind: "admin", scopes: ["admin:*"] }, { kind: "admin", scopes: ["charges:read"] }, "/scopes/0"],
    ["environment", { environment: "test" }, { environment: "staging" }, "/environment"],
    ["members", {}, { colour: "red" }, "/colour"],
  ];

  test.each(table)("%s", async (_name, good, bad, pointer) => {
    const taken = await control.create(good);
    expect([taken.status, taken.body["errors"]]).toEqual([201, undefined]);
    const refused = await control.create(bad);
    expect([refused.status, refused.body["code"]]).toEqual([400, "request_invalid"]);
    expect(refused.body["errors"].map((fault: { pointer: string }) => fault.pointer)).toEqual([pointer]);
  });

  test.each(["name", "owner", "environment", "scopes"])("%s is required", async (member) => {
    const answered = await control.create({ [member]: undefined });
    expect(answered.body["errors"]).toEqual([{ pointer: `/${member}`, detail: "Is required." }]);
  });

  test("every fault is named at once", async () => {
    const answered = await control.create({ name: 7, owner: "", scopes: "all", kind: "root" });
    const pointers = answered.body["errors"].map((fault: { pointer: string }) => fault.pointer);
    expect(pointers.toSorted()).toEqual(["/kind", "/name", "/owner", "/scopes"]);
  });

  test.each([
    ["a control character", "a\u0007b"],
    ["blanks", "   "],
    ["half a surrogate pair", "a\ud800"],
  ])("a name with %s is refused", async (_name, name) => {
    expect((await control.create({ name })).body["errors"][0].pointer).toBe("/name");
  });
});

describe("other bodies, at each bound and one past it", () => {
  test("overlap, reason and note", async () => {
    const rotate = async (overlapSeconds: number) => {
      const made = await control.create();
      return (await control.call("POST", `/keys/${made.body["id"]}/rotate`, { body: { overlapSeconds } })).status;
    };
    expect(await Promise.all([0, MAX_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS + 1, -1, 0.5].map(rotate))).toEqual([
      201, 201, 400, 400, 400,
    ]);
    const made = await control.create();
    const revoke = (body: object) => control.call("POST", `/keys/${made.body["id"]}/revoke`, { body });
    expect((await revoke({})).body["errors"][0].pointer).toBe("/reason");
    expect((await revoke({ reason: "bored" })).body["errors"][0].pointer).toBe("/reason");
    expect((await revoke({ reason: "other", note: "n".repeat(MAX_NOTE_CHARACTERS + 1) })).status).toBe(400);
    expect((await revoke({ reason: "other", note: "n".repeat(MAX_NOTE_CHARACTERS) })).status).toBe(200);
  });

  test("queries", async () => {
    const statusOf = async (query: string) => (await control.call("GET", query)).status;
    expect(await statusOf(`/keys?limit=${MAX_LIST_LIMIT}`)).toBe(200);
    for (const query of [
      `limit=${MAX_LIST_LIMIT + 1}`,
      "limit=0",
      "limit=ten",
      "limit=1&limit=2",
      `cursor=${"c".repeat(MAX_CURSOR_CHARACTERS + 1)}`,
      "cursor=nonsense",
      `q=${"q".repeat(MAX_SEARCH_CHARACTERS + 1)}`,
      "status=dead",
      "expiresBefore=tomorrow",
      "colour=red",
    ]) {
      const answered = await control.call("GET", `/keys?${query}`);
      expect([query, answered.status]).toEqual([query, 400]);
      expect(answered.body["errors"][0].in).toBe("query");
    }
    expect(await statusOf(`/keys/key_${"0".repeat(26)}?fields=all`)).toBe(400);
    for (const query of [
      "granularity=week",
      "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
      "groupBy=colour",
      "status=ok",
    ]) {
      expect([query, await statusOf(`/usage?${query}`)]).toEqual([query, 400]);
    }
    expect(await statusOf("/usage?groupBy=key,owner&status=200&status=429&country=DE&granularity=day")).toBe(200);
  });
});

describe("the envelope", () => {
  test.each([
    ["not JSON", "{", ""],
    ["empty", " ", ""],
    ["a list", "[]", ""],
    ["null", "null", ""],
  ])("a body that is %s has one fault, at the top", async (_name, text, pointer) => {
    const answered = await control.call("POST", "/keys", { text });
    expect([answered.status, answered.body["errors"].length, answered.body["errors"][0].pointer]).toEqual([
      400,
      1,
      pointer,
    ]);
  });

  test("a body too deep to be one of ours is refused before it is walked", async () => {
    const answered = await control.call("POST", "/keys", {
      text: `{"metadata":${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}}`,
    });
    expect(answered.status).toBe(400);
  });

  test("another content type is 415", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json"]) {
      const answered = await control.call("POST", "/keys", {
        body: control.input(),
        headers: { "Content-Type": type },
      });
      expect([type, answered.status, answered.body["code"]]).toEqual([type, 415, "unsupported_media_type"]);
    }
    expect((await control.create({}, { headers: { "Content-Type": "application/json; charset=utf-8" } })).status).toBe(
      201,
    );
  });

  test("a body of the largest size is read, one byte more is 413", async () => {
    const text = (bytes: number) =>
      JSON.stringify(control.input()) + " ".repeat(bytes - JSON.stringify(control.input()).length);
    expect((await control.call("POST", "/keys", { text: text(MAX_CONTROL_BODY_BYTES) })).status).toBe(201);
    expect((await control.call("POST", "/keys", { text: text(MAX_CONTROL_BODY_BYTES + 1) })).status).toBe(413);
  });

  test("unknown paths are 404, other methods 405 with what is allowed", async () => {
    for (const path of ["/nothing", "/keys/x/y/z", "/keys/not-an-id", "/owners/-bad", "/keys/%E0%A4%A", "/keys/"]) {
      const answered = await control.call("GET", path);
      expect([path, answered.status, answered.body["code"]]).toEqual([path, 404, "not_found"]);
    }
    const deleted = await control.call("DELETE", "/keys");
    expect([deleted.status, deleted.headers.get("Allow")]).toEqual([405, "POST, GET, HEAD, OPTIONS"]);
    expect((await control.call("GET", `/keys/key_${"0".repeat(26)}/rotate`)).headers.get("Allow")).toBe(
      "POST, OPTIONS",
    );
    const options = await control.call("OPTIONS", "/keys", { token: null });
    expect([options.status, options.headers.get("Allow")]).toEqual([204, "POST, GET, HEAD, OPTIONS"]);
    const head = await control.call("HEAD", "/keys");
    expect([head.status, head.body["text"]]).toEqual([200, ""]);
  });

  test("every answer names its request and may not be cached", async () => {
    for (const answered of [
      await control.call("GET", "/keys"),
      await control.call("GET", "/keys", { token: null }),
      await control.create({ name: "" }),
    ]) {
      expect(answered.headers.get("X-Request-Id")).toMatch(/^req_/);
      expect(answered.headers.get("Cache-Control")).toBe("no-store");
    }
  });
});

describe("a key in the wrong place", () => {
  const key = generateKey({
    prefix: "lk",
    environment: "live",
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  });

  test("is refused wherever it stands, and never repeated", async () => {
    const bodies = [
      { name: `Key ${key}` },
      { owner: key },
      { metadata: { secret: { deep: [key] } } },
      { metadata: { [key]: 1 } },
      { tags: [key] },
      { [key]: 1 },
      { purpose: `xx${key}yy` },
    ];
    for (const body of bodies) {
      const answered = await control.create(body);
      expect(answered.status).toBe(400);
      expect(JSON.stringify(answered.body)).not.toContain(key);
    }
    for (const path of [`/keys?q=${key}`, `/keys/${key}`, `/owners/${key}`, `/keys?${key}=1`]) {
      const answered = await control.call("GET", path);
      expect([400, 404]).toContain(answered.status);
      expect(JSON.stringify(answered.body)).not.toContain(key);
    }
    expect((await control.create({}, { headers: { "Idempotency-Key": key } })).status).toBe(400);
  });
});
