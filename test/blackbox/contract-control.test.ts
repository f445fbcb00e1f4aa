import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, inParallel, openTarget } from "../support/contract.ts";
import type { Answer, Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/** The contract, "Control API": keys. Repeated writes, import, owners, access, usage and audit have files of their own. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

const RECORD_FIELDS = [
  "bindings",
  "createdAt",
  "createdBy",
  "environment",
  "expiresAt",
  "generation",
  "hint",
  "id",
  "kind",
  "lastUsedAt",
  "limits",
  "lineageId",
  "metadata",
  "name",
  "notAfter",
  "notBefore",
  "owner",
  "plan",
  "policy",
  "purpose",
  "revokedAt",
  "revokedReason",
  "rotatedFrom",
  "scopes",
  "status",
  "tags",
  "updatedAt",
  "workspace",
];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;
const NEW_KEY = { name: "Contract", owner: "acme", environment: "live", scopes: ["reports:read"] };

type Body = Record<string, unknown>;

/** A call as root, with the whole answer. */
const root = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  target.send(`/_latchkey/v1${path}`, {
    method,
    key: target.server.rootToken,
    headers,
    ...(body === undefined ? {} : { body: body as object }),
  });

async function record(id: string): Promise<Body> {
  const answer = await root("GET", `/keys/${id}`);
  expect(answer.status).toBe(200);
  return answer.json();
}

async function idsOf(query: string): Promise<string[]> {
  const answer = await root("GET", `/keys?limit=200&${query}`);
  expect([query, answer.status]).toEqual([query, 200]);
  return (answer.json()["data"] as { id: string }[]).map(({ id }) => id); // the contract's list
}

const pointersOf = (answer: Answer): string[] =>
  (expectProblem(answer, 400, "request_invalid")["errors"] as { pointer: string }[]).map(({ pointer }) => pointer);

describe("POST /keys", () => {
  test("201, the record with every field, and the key", async () => {
    const input = {
      ...NEW_KEY,
      environment: "test",
      scopes: ["a:read", "b:*"],
      plan: "pro",
      limits: [{ name: "burst", limit: 5, window: "hour", kind: "rate" }],
      bindings: {
        ips: ["203.0.113.0/24"],
        origins: ["https://a.example"],
        countries: ["DE"],
        certificateSha256: ["ab".repeat(32)],
      },
      expiresAt: "2099-01-01T00:00:00Z",
      notBefore: "2026-01-01T00:00:00Z",
      metadata: { a: { b: [1, null, "x"] } },
      tags: ["team:x"],
      purpose: "Testing",
    };
    const answer = await root("POST", "/keys", input);
    expect(answer.status).toBe(201);
    const { key, ...created } = answer.json();
    expect(key).toMatch(/^lk_test_/);
    expect(Object.keys(created).toSorted()).toEqual(RECORD_FIELDS);
    const { expiresAt, notBefore, ...same } = input;
    expect(created).toMatchObject({
      ...same,
      kind: "secret",
      status: "active",
      workspace: "default",
      generation: 1,
      notAfter: null,
      rotatedFrom: null,
      revokedAt: null,
      revokedReason: null,
      lastUsedAt: null,
      id: expect.stringMatching(/^key_./),
      lineageId: expect.stringMatching(/^lin_./),
      createdAt: expect.stringMatching(TIME),
      updatedAt: created["createdAt"],
      createdBy: expect.stringMatching(/./),
    });
    expect([Date.parse(String(created["expiresAt"])), Date.parse(String(created["notBefore"]))]).toEqual([
      Date.parse(expiresAt),
      Date.parse(notBefore),
    ]);
    expect(created["expiresAt"]).toMatch(TIME);
    expect(Math.abs(Date.parse(String(created["createdAt"])) - Date.now())).toBeLessThan(60_000);
    expect(await record(String(created["id"]))).toEqual(created);
  });

  test("ids are sortable by time", async () => {
    const first = await target.api.issue();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const second = await target.api.issue();
    expect([second.id, first.id].toSorted()).toEqual([first.id, second.id]);
  });

  const bad: [string, Body, string][] = [
    ["no name", { name: undefined }, "/name"],
    ["no owner", { owner: undefined }, "/owner"],
    ["no environment", { environment: undefined }, "/environment"],
    ["no scopes", { scopes: undefined }, "/scopes"],
    ["empty scopes of a secret key", { scopes: [] }, "/scopes"],
    ["an owner of another form", { owner: "a b" }, "/owner"],
    ["an owner that is too long", { owner: "a".repeat(65) }, "/owner"],
    ["an owner that begins with a dot", { owner: ".a" }, "/owner"],
    ["an environment that is none", { environment: "prod" }, "/environment"],
    ["a kind that is none", { kind: "robot" }, "/kind"],
    ["a bare star", { scopes: ["*"] }, "/scopes/0"],
    ["a scope without an action", { scopes: ["a:b", "charges"] }, "/scopes/1"],
    ["a limit below 0", { limits: [{ name: "x", limit: -1, window: "hour", kind: "rate" }] }, "/limits/0/limit"],
    [
      "a window that is none",
      { limits: [{ name: "x", limit: 1, window: "fortnight", kind: "rate" }] },
      "/limits/0/window",
    ],
    [
      "a window of no seconds",
      { limits: [{ name: "x", limit: 1, window: { seconds: 0 }, kind: "rate" }] },
      "/limits/0/window",
    ],
    [
      "a kind of limit that is none",
      { limits: [{ name: "x", limit: 1, window: "day", kind: "soft" }] },
      "/limits/0/kind",
    ],
    ["a CIDR that is none", { bindings: { ips: ["203.0.113.0/33"] } }, "/bindings/ips/0"],
    ["an address that is none", { bindings: { ips: ["203.0.113"] } }, "/bindings/ips/0"],
    ["an origin that is none", { bindings: { origins: ["app.example.com/path"] } }, "/bindings/origins/0"],
    ["a country that is none", { bindings: { countries: ["Germany"] } }, "/bindings/countries/0"],
    ["a fingerprint that is none", { bindings: { certificateSha256: ["xyz"] } }, "/bindings/certificateSha256/0"],
    ["a time that is none", { expiresAt: "tomorrow" }, "/expiresAt"],
    ["an unknown plan", { plan: "platinum" }, "/plan"],
    ["an unknown field", { colour: "red" }, "/colour"],
  ];
  test.each(bad)("%s is 400 and names the place", async (_name, change, pointer) => {
    const answer = await root("POST", "/keys", { ...NEW_KEY, owner: "nobody", ...change });
    const pointers = pointersOf(answer);
    expect(
      pointers.some((found) => found === pointer || found.startsWith(`${pointer}/`)),
      pointers.join(),
    ).toBe(true);
    expect(await idsOf("owner=nobody")).toEqual([]);
  });

  test("several faults are told at once", async () => {
    expect(pointersOf(await root("POST", "/keys", { ...NEW_KEY, owner: "a b", environment: "x" })).toSorted()).toEqual([
      "/environment",
      "/owner",
    ]);
  });

  test("a body that is no JSON object is 400, another media type no key", async () => {
    for (const body of ["", "{", "[]", "null", '"x"', "7", '{"name":"a","name":'])
      expectProblem(
        await target.send("/_latchkey/v1/keys", {
          method: "POST",
          key: target.server.rootToken,
          body,
          headers: { "content-type": "application/json" },
        }),
        400,
        "request_invalid",
      );
    const form = await target.send("/_latchkey/v1/keys", {
      method: "POST",
      key: target.server.rootToken,
      body: JSON.stringify(NEW_KEY),
      headers: { "content-type": "text/plain" },
    });
    expect([400, 415]).toContain(form.status);
  });

  test("a publishable key needs an origin and takes no secret scope", async () => {
    const base = { ...NEW_KEY, kind: "publishable" };
    expect((await root("POST", "/keys", base)).status).toBe(400);
    expect(
      (
        await root("POST", "/keys", {
          ...base,
          scopes: ["charges:write"],
          bindings: { origins: ["https://a.example"] },
        })
      ).status,
    ).toBe(400);
    const answer = await root("POST", "/keys", { ...base, bindings: { origins: ["https://a.example"] } });
    expect([answer.status, answer.json()["kind"]]).toEqual([201, "publishable"]);
  });
});

describe("GET /keys", () => {
  test("each filter finds what it says and nothing else", async () => {
    const owner = "filters";
    const issue = (input: Body): Promise<IssuedKey> => target.api.issue({ owner, ...input });
    const before = new Date().toISOString();
    const plain = await issue({ name: "Alpha Worker", tags: ["red"], scopes: ["reports:read"] });
    const tested = await issue({
      name: "Beta",
      environment: "test",
      tags: ["red", "blue"],
      scopes: ["charges:*"],
      plan: "pro",
    });
    const soon = await issue({ name: "Gamma", expiresAt: "2098-01-01T00:00:00Z" });
    const web = await issue({
      name: "Delta",
      kind: "publishable",
      scopes: ["reports:read"],
      bindings: { origins: ["https://a.example"] },
    });
    const off = await issue({ name: "Off" });
    await root("POST", `/keys/${off.id}/disable`, {});
    const gone = await issue({ name: "Gone" });
    await target.api.revoke(gone.id);
    const old = await issue({ name: "Old" });
    const next = await target.api.rotate(old.id, { overlapSeconds: 3_600 });
    const past = await issue({ name: "Past" });
    await target.api.rotate(past.id, { overlapSeconds: 0 });
    const all = await idsOf(`owner=${owner}`);
    expect(all).toHaveLength(10);
    const within = async (query: string): Promise<string[]> => (await idsOf(`owner=${owner}&${query}`)).toSorted();
    const sorted = (...keys: { id: string }[]): string[] => keys.map(({ id }) => id).toSorted();
    expect(await within("environment=test")).toEqual(sorted(tested));
    expect(await within("kind=publishable")).toEqual(sorted(web));
    expect(await within("tag=red")).toEqual(sorted(plain, tested));
    expect(await within("tag=blue")).toEqual(sorted(tested));
    expect(await within("plan=pro")).toEqual(sorted(tested));
    expect(await within("scope=charges:*")).toEqual(sorted(tested));
    expect(await within("status=disabled")).toEqual(sorted(off));
    expect(await within("status=revoked")).toEqual(sorted(gone));
    expect(await within("status=rotating")).toEqual(sorted(old));
    expect(await within("status=expired")).toEqual(sorted(past));
    expect(await within("status=active")).toContain(next.id);
    expect((await within("status=active")).filter((id) => sorted(off, gone, old, past).includes(id))).toEqual([]);
    expect(await within("expiresBefore=2098-06-01T00:00:00Z")).toContain(soon.id);
    expect(await within("expiresBefore=2097-06-01T00:00:00Z")).not.toContain(soon.id);
    expect(await within("expiresBefore=2098-06-01T00:00:00Z")).not.toContain(plain.id);
    expect(await within(`createdAfter=${new Date(Date.parse(before) - 1).toISOString()}`)).toEqual(all.toSorted());
    expect(await within("createdAfter=2099-01-01T00:00:00Z")).toEqual([]);
    expect(await within("q=Alpha")).toEqual(sorted(plain));
    expect(await within("q=Alpha%20Worker")).toEqual(sorted(plain));
    expect(await within("q=nothing-has-this")).toEqual([]);
    expect(await within("tag=red&environment=live")).toEqual(sorted(plain));
    expect(await idsOf("owner=nobody-at-all")).toEqual([]);
    expect(await idsOf("owner=filter")).toEqual([]);
  });

  test("q is text: what a query language means by it means nothing here", async () => {
    const owner = "patterns";
    const named = await target.api.issue({ owner, name: "Invoices" });
    expect(await idsOf(`owner=${owner}&q=invoices`)).toEqual([named.id]);
    for (const q of [
      "%",
      "_",
      "*",
      "'",
      '"',
      "a OR Invoices",
      "NOT x",
      "x' OR '1'='1",
      "(",
      "In_oices",
      "\\",
      "\u0000",
      "x".repeat(5_000),
    ]) {
      const answer = await root("GET", `/keys?owner=${owner}&q=${encodeURIComponent(q)}`);
      expect([200, 400], q.slice(0, 20)).toContain(answer.status);
      if (answer.status === 200) expect(answer.json()["data"], q.slice(0, 20)).toEqual([]);
    }
  });

  test("pages hold each key once, also while keys are being added", async () => {
    const owner = "pages";
    const mine = await inParallel(7, 4, () => target.api.issue({ owner }));
    const seen: string[] = [];
    let cursor: unknown = null;
    let pages = 0;
    do {
      const answer: Answer = await root(
        "GET",
        `/keys?owner=${owner}&limit=3${typeof cursor === "string" ? `&cursor=${encodeURIComponent(cursor)}` : ""}`,
      );
      expect(answer.status).toBe(200);
      const { data, nextCursor } = answer.json() as { data: { id: string }[]; nextCursor: string | null };
      expect(data.length).toBeLessThanOrEqual(3);
      seen.push(...data.map(({ id }) => id));
      cursor = nextCursor;
      pages++;
      if (pages === 1) await target.api.issue({ owner });
    } while (cursor !== null && pages < 10);
    expect(new Set(seen).size).toBe(seen.length);
    expect(mine.every(({ id }) => seen.includes(id))).toBe(true);
  });

  test.each([
    "limit=201",
    "limit=0",
    "limit=-1",
    "limit=x",
    "cursor=nonsense",
    "status=happy",
    "environment=prod",
    "kind=x",
    "expiresBefore=soon",
    "createdAfter=1",
  ])("%s is 400", async (query) => {
    expectProblem(await root("GET", `/keys?${query}`), 400, "request_invalid");
  });
});

describe("reading and changing one key", () => {
  test("an unknown id is 404", async () => {
    const { id } = await target.api.issue();
    const unknown = `${id.slice(0, -4)}0000`;
    for (const path of [unknown, "x", "key_", encodeURIComponent("../../etc"), "%00"])
      expect((await root("GET", `/keys/${path}`)).status, path).toBe(404);
    for (const action of ["rotate", "disable", "enable"])
      expect((await root("POST", `/keys/${unknown}/${action}`, {})).status).toBe(404);
    expect((await root("POST", `/keys/${unknown}/revoke`, { reason: "other" })).status).toBe(404);
    expect((await root("PATCH", `/keys/${unknown}`, { name: "x" })).status).toBe(404);
  });

  test("PATCH merges: null takes away, what is not named stays", async () => {
    const { id } = await target.api.issue({
      metadata: { a: 1, b: { c: 2, d: 3 } },
      tags: ["x"],
      purpose: "p",
      plan: "pro",
    });
    const before = await record(id);
    for (const type of ["application/json", "application/merge-patch+json"]) {
      const answer = await root(
        "PATCH",
        `/keys/${id}`,
        { metadata: { a: null, b: { c: null, e: 4 } }, name: `Renamed ${type}`, purpose: null },
        { "content-type": type },
      );
      expect([type, answer.status]).toEqual([type, 200]);
    }
    const after = await record(id);
    expect(after).toMatchObject({
      metadata: { b: { d: 3, e: 4 } },
      name: "Renamed application/merge-patch+json",
      purpose: null,
      tags: ["x"],
      plan: "pro",
      scopes: before["scopes"],
      hint: before["hint"],
    });
    expect(Object.keys(after["metadata"] as object)).toEqual(["b"]);
    expect(Number(after["generation"])).toBeGreaterThan(Number(before["generation"]));
    expect(Date.parse(String(after["updatedAt"]))).toBeGreaterThanOrEqual(Date.parse(String(before["updatedAt"])));
  });

  test("identity cannot be patched", async () => {
    const { id } = await target.api.issue();
    const before = await record(id);
    const attempts: Body = {
      id: "key_x",
      lineageId: "lin_x",
      workspace: "other",
      environment: "test",
      hint: "lk_live_…",
      createdAt: "2001-01-01T00:00:00Z",
      createdBy: "me",
      generation: 99,
      status: "revoked",
      revokedAt: "2001-01-01T00:00:00Z",
      rotatedFrom: "key_x",
      kind: "admin",
    };
    for (const [field, value] of Object.entries(attempts)) {
      await root("PATCH", `/keys/${id}`, { [field]: value });
      expect((await record(id))[field], field).toEqual(before[field]);
    }
    expect(pointersOf(await root("PATCH", `/keys/${id}`, { scopes: ["*"] }))).toEqual(["/scopes/0"]);
  });

  test("a patched scope counts for the next request of a strict key", async () => {
    const { key, id } = await target.api.issue({ scopes: ["other:read"], policy: { strict: true } });
    expect((await target.send("/reports/1", { key })).status).toBe(403);
    expect((await root("PATCH", `/keys/${id}`, { scopes: ["reports:read"] })).status).toBe(200);
    expect((await target.send("/reports/1", { key })).status).toBe(200);
    expect((await root("PATCH", `/keys/${id}`, { scopes: ["other:read"] })).status).toBe(200);
    expect((await target.send("/reports/1", { key })).status).toBe(403);
  });

  test("If-Match: the present ETag changes, an old one is 412, and of many at once one wins", async () => {
    const { id } = await target.api.issue();
    const first = await root("GET", `/keys/${id}`);
    const etag = first.headers["etag"] ?? "";
    expect(etag).toMatch(/^(?:W\/)?"[^"]+"$/);
    const answers = await inParallel(8, 8, (index) =>
      root("PATCH", `/keys/${id}`, { name: `Racer ${index}` }, { "if-match": etag }),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect([won.length, answers.filter(({ status }) => status === 412).length]).toEqual([1, 7]);
    const now = await root("GET", `/keys/${id}`);
    expect(now.json()["name"]).toBe(won[0]?.json()["name"]);
    expect(now.headers["etag"]).not.toBe(etag);
    expect(won[0]?.headers["etag"]).toBe(now.headers["etag"]);
    const lost = await root("POST", `/keys/${id}/revoke`, { reason: "other" }, { "if-match": etag });
    expect([lost.status, (await record(id))["status"]]).toEqual([412, "active"]);
    expect(
      (await root("PATCH", `/keys/${id}`, { name: "Last" }, { "if-match": now.headers["etag"] ?? "" })).status,
    ).toBe(200);
    expect((await root("PATCH", `/keys/${id}`, { name: "Any" }, { "if-match": "*" })).status).toBe(200);
  });
});

describe("rotate, revoke, disable, enable", () => {
  test("rotate gives a new key of the same lineage, and the old one a deadline", async () => {
    const old = await target.api.issue({
      owner: "acme",
      scopes: ["a:b"],
      metadata: { m: 1 },
      tags: ["t"],
      plan: "pro",
    });
    const answer = await root("POST", `/keys/${old.id}/rotate`, {
      overlapSeconds: 3_600,
      expiresAt: "2099-01-01T00:00:00Z",
    });
    expect(answer.status).toBe(201);
    expect(answer.json()).toMatchObject({
      lineageId: old.lineageId,
      rotatedFrom: old.id,
      owner: "acme",
      scopes: ["a:b"],
      metadata: { m: 1 },
      tags: ["t"],
      plan: "pro",
      status: "active",
      notAfter: null,
    });
    expect(Date.parse(String(answer.json()["expiresAt"]))).toBe(Date.parse("2099-01-01T00:00:00Z"));
    expect(answer.json()["id"]).not.toBe(old.id);
    const before = await record(old.id);
    expect(before["status"]).toBe("rotating");
    expect(Math.abs(Date.parse(String(before["notAfter"])) - Date.now() - 3_600_000)).toBeLessThan(30_000);
    for (const key of [old.key, String(answer.json()["key"])])
      expect((await target.send("/anything", { key })).status).toBe(200);
    for (const body of [{ overlapSeconds: -1 }, { overlapSeconds: "1" }, { expiresAt: "x" }])
      expect((await root("POST", `/keys/${old.id}/rotate`, body)).status).toBe(400);
  });

  test("of several rotations of one key at the same time, no two live keys of one lineage come out unnoticed", async () => {
    const old = await target.api.issue();
    const answers = await inParallel(4, 4, () => root("POST", `/keys/${old.id}/rotate`, { overlapSeconds: 60 }));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409 || status === 412)).toHaveLength(3);
  });

  test("revoke takes each reason of the contract, and only those", async () => {
    for (const reason of ["leaked", "retired", "compromised", "policy", "other"]) {
      const { id } = await target.api.issue();
      const answer = await root("POST", `/keys/${id}/revoke`, { reason, note: "why" });
      expect(answer.status).toBe(200);
      expect(Object.keys(answer.json())).toEqual(expect.arrayContaining([...RECORD_FIELDS, "effectiveBy"]));
      expect(answer.json()).toMatchObject({
        id,
        status: "revoked",
        revokedReason: reason,
        revokedAt: expect.stringMatching(TIME),
        effectiveBy: expect.stringMatching(TIME),
      });
    }
    const { id } = await target.api.issue();
    for (const body of [{}, { reason: "boredom" }, { reason: null }])
      expect(pointersOf(await root("POST", `/keys/${id}/revoke`, body))).toEqual(["/reason"]);
    expect((await record(id))["status"]).toBe("active");
  });

  test("disable and enable change the status back and forth, and not that of a revoked key", async () => {
    const { id } = await target.api.issue();
    for (const [action, status] of [
      ["disable", "disabled"],
      ["enable", "active"],
      ["disable", "disabled"],
    ] as const) {
      const answer = await root("POST", `/keys/${id}/${action}`, {});
      expect([answer.status, answer.json()["status"]]).toEqual([200, status]);
    }
    await target.api.revoke(id);
    await root("POST", `/keys/${id}/enable`, {});
    expect((await record(id))["status"]).toBe("revoked");
  });
});
