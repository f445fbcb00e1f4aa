import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, inParallel, openTarget, strangerKey } from "../support/contract.ts";
import type { Answer, Target } from "../support/contract.ts";
import { control } from "../support/control.ts";

/** The contract, "Control API": repeated writes, import, owners. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

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

describe("Idempotency-Key", () => {
  test("a repeat returns the first answer without the secret; another body is 409", async () => {
    const headers = { "idempotency-key": "create-1" };
    const body = { ...NEW_KEY, owner: "idem" };
    const first = await root("POST", "/keys", body, headers);
    const again = await root("POST", "/keys", body, headers);
    const { key, ...created } = first.json();
    expect([first.status, again.status, typeof key]).toEqual([201, 201, "string"]);
    expect(again.json()).toEqual(created);
    const { scopes, ...rest } = body;
    const reordered = await root("POST", "/keys", { scopes, ...rest }, headers);
    expect([201, 409]).toContain(reordered.status);
    expect((await root("POST", "/keys", { ...body, name: "Other" }, headers)).status).toBe(409);
    expect(await idsOf("owner=idem")).toEqual([created["id"]]);
  });

  test("of many at the same time one acts", async () => {
    const body = { ...NEW_KEY, owner: "idem-race" };
    const answers = await inParallel(8, 8, () => root("POST", "/keys", body, { "idempotency-key": "race-1" }));
    expect(await idsOf("owner=idem-race")).toHaveLength(1);
    expect(answers.filter((answer) => typeof answer.json()["key"] === "string")).toHaveLength(1);
    for (const { status } of answers) expect([201, 409]).toContain(status);
  });

  test("every write takes it", async () => {
    const { id } = await target.api.issue();
    const other = await target.api.issue();
    const hash = {
      algorithm: "sha256",
      encoding: "hex",
      value: createHash("sha256").update(strangerKey().slice(8)).digest("hex"),
    };
    const writes: [string, string, unknown, unknown][] = [
      ["PATCH", `/keys/${id}`, { name: "Once" }, { name: "Twice" }],
      ["POST", `/keys/${id}/rotate`, { overlapSeconds: 60 }, { overlapSeconds: 61 }],
      ["POST", `/keys/${id}/revoke`, { reason: "other" }, { reason: "policy" }],
      ["POST", `/keys/${other.id}/disable`, {}, null],
      ["POST", `/keys/${other.id}/enable`, {}, null],
      ["PUT", "/owners/idem-owner", { limits: [] }, { limits: [], name: "Other" }],
      ["POST", "/keys/import", { keys: [{ ...NEW_KEY, hash }] }, { keys: [{ ...NEW_KEY, name: "Other", hash }] }],
    ];
    for (const [index, [method, path, body, different]] of writes.entries()) {
      const headers = { "idempotency-key": `write-${index}` };
      const first = await root(method, path, body, headers);
      expect([path, first.status < 300]).toEqual([path, true]);
      const again = await root(method, path, body, headers);
      const { key: _, ...answer } = first.json();
      expect([path, again.status, again.json()]).toEqual([path, first.status, answer]);
      if (different !== null)
        expect([path, (await root(method, path, different, headers)).status]).toEqual([path, 409]);
    }
  });

  test("a refused write is not remembered as done, and names of workspaces do not meet", async () => {
    const headers = { "idempotency-key": "refused-1" };
    expect((await root("POST", "/keys", { ...NEW_KEY, owner: "a b" }, headers)).status).toBe(400);
    expect((await root("POST", "/keys", { ...NEW_KEY, owner: "fixed" }, headers)).status).toBe(201);
    const answer = await control(target.server, "idem-space").call("POST", "/keys", {
      body: { ...NEW_KEY, owner: "fixed" },
      headers,
    });
    expect([answer.status, typeof answer.body["key"]]).toEqual([201, "string"]);
  });
});

describe("import", () => {
  const item = (raw: string, encoding: "hex" | "base64" | "base64url", more: Body = {}): Body => ({
    ...NEW_KEY,
    owner: "imports",
    hash: { algorithm: "sha256", encoding, value: createHash("sha256").update(raw).digest(encoding) },
    ...more,
  });
  interface Result {
    readonly ok: boolean;
    readonly id?: string;
    readonly [field: string]: unknown;
  }
  const resultsOf = (answer: Answer): Result[] => answer.json()["results"] as Result[];

  test("three encodings, a result for each in order, and each key works at once", async () => {
    const raws = [`old-${strangerKey()}`, `sk_${strangerKey().slice(8)}`, strangerKey().slice(8)];
    const answer = await root("POST", "/keys/import", {
      keys: raws.map((raw, index) =>
        item(raw, (["hex", "base64", "base64url"] as const)[index] ?? "hex", { name: `N${index}` }),
      ),
    });
    expect(answer.status).toBe(200);
    expect(resultsOf(answer)).toHaveLength(3);
    for (const [index, raw] of raws.entries()) {
      const passed = await target.send("/reports/1", { headers: { "x-api-key": raw } });
      expect(passed.status).toBe(200);
      const id = (passed.json()["headers"] as Record<string, string>)["x-latchkey-key-id"] ?? "";
      expect(await record(id)).toMatchObject({ name: `N${index}`, owner: "imports", status: "active" });
      expect(JSON.stringify(resultsOf(answer)[index])).toContain(id);
      expect(answer.text).not.toContain(raw);
    }
  });

  test("a dry run says the same and does nothing", async () => {
    const raw = `dry-${strangerKey()}`;
    const body = {
      keys: [item(raw, "hex", { owner: "dry" }), item("x", "hex", { owner: "dry", environment: "prod" })],
    };
    const dry = await root("POST", "/keys/import", { ...body, dryRun: true });
    expect([dry.status, resultsOf(dry).map(({ ok }) => ok)]).toEqual([200, [true, false]]);
    expect(await idsOf("owner=dry")).toEqual([]);
    expect((await target.send("/reports/1", { headers: { "x-api-key": `${raw}-never-tried` } })).status).toBe(401);
    const wet = await root("POST", "/keys/import", { ...body, dryRun: false });
    expect(resultsOf(wet).map(({ ok }) => ok)).toEqual([true, false]);
    expect(await idsOf("owner=dry")).toHaveLength(1);
    expect((await target.send("/reports/1", { headers: { "x-api-key": raw } })).status).toBe(200);
  });

  test("one bad item does not keep the others out, and a hash comes in once", async () => {
    const raw = `dup-${strangerKey()}`;
    const bad: Body[] = [
      item("a", "hex", { hash: { algorithm: "md5", encoding: "hex", value: "00" } }),
      item("b", "hex", { hash: { algorithm: "sha256", encoding: "hex", value: "00ff" } }),
      item("c", "hex", { hash: { algorithm: "sha256", encoding: "rot13", value: "x" } }),
      item("d", "hex", { scopes: ["*"] }),
      item("e", "hex", { owner: undefined }),
      item("f", "hex", { hash: { algorithm: "sha256", encoding: "base64", value: "!".repeat(44) } }),
    ];
    const answer = await root("POST", "/keys/import", {
      keys: [item(raw, "hex"), ...bad, item(raw, "base64url"), item(`${raw}2`, "hex")],
    });
    expect(resultsOf(answer).map(({ ok }) => ok)).toEqual([true, ...bad.map(() => false), false, true]);
    const again = await root("POST", "/keys/import", { keys: [item(raw, "base64")] });
    expect(resultsOf(again).map(({ ok }) => ok)).toEqual([false]);
    // A key of Latchkey's own is not taken over by importing its hash, here or in another workspace.
    const own = await target.api.issue();
    expect(resultsOf(await root("POST", "/keys/import", { keys: [item(own.key, "hex")] })).map(({ ok }) => ok)).toEqual(
      [false],
    );
    const foreign = await control(target.server, "thief").call<{ results: Result[] }>("POST", "/keys/import", {
      body: { keys: [item(own.key, "hex")] },
    });
    expect(foreign.body.results.map(({ ok }) => ok)).toEqual([false]);
    expect((await target.send("/anything", { key: own.key })).status).toBe(200);
  });

  test("a thousand at once; one more is too many", { timeout: 60_000 }, async () => {
    const keys = Array.from({ length: 1_000 }, (_, index) =>
      item(`bulk-${index}-${strangerKey()}`, "base64url", { owner: "bulk", name: `Bulk ${index}` }),
    );
    const answer = await root("POST", "/keys/import", { keys });
    expect(answer.status).toBe(200);
    expect(resultsOf(answer).filter(({ ok }) => ok)).toHaveLength(1_000);
    expect((await root("POST", "/keys/import", { keys: [...keys, item("one more", "hex")] })).status).toBe(400);
    expect((await root("POST", "/keys/import", { keys: [] })).status).toBe(400);
  });

  test("a key that was tried before its import works within 30 s of it", { timeout: 60_000 }, async () => {
    const raw = `tried-${strangerKey()}`;
    for (let count = 0; count < 3; count++)
      expect((await target.send("/reports/1", { headers: { "x-api-key": raw } })).status).toBe(401);
    expect(resultsOf(await root("POST", "/keys/import", { keys: [item(raw, "hex")] })).map(({ ok }) => ok)).toEqual([
      true,
    ]);
    await expect
      .poll(async () => (await target.send("/reports/1", { headers: { "x-api-key": raw } })).status, {
        timeout: 30_000,
        interval: 250,
      })
      .toBe(200);
  });
});

describe("owners", () => {
  test("an owner comes into being with PUT or with its first key, and is read back", async () => {
    expect((await root("GET", "/owners/nobody-yet")).status).toBe(404);
    const limits = [{ name: "pool", limit: 7, window: "day", kind: "quota" }];
    const put = await root("PUT", "/owners/with-put", { limits });
    expect([200, 201]).toContain(put.status);
    expect((await root("GET", "/owners/with-put")).json()).toMatchObject({ id: "with-put", limits });
    expect((await root("PUT", "/owners/with-put", { limits: [] })).json()).toMatchObject({ limits: [] });
    await target.api.issue({ owner: "with-key" });
    expect((await root("GET", "/owners/with-key")).status).toBe(200);
  });

  test("names of the contract's form are taken, others are not", async () => {
    for (const name of ["a", "A1._:-z", "9", `x${"y".repeat(63)}`])
      expect((await root("PUT", `/owners/${name}`, { limits: [] })).status, name).toBeLessThan(300);
    for (const name of ["-a", ".a", "a%20b", "a%2Fb", `x${"y".repeat(64)}`, "%C3%A9"])
      expect([400, 404], name).toContain((await root("PUT", `/owners/${name}`, { limits: [] })).status);
    expect(
      pointersOf(
        await root("PUT", "/owners/acme", { limits: [{ name: "x", limit: "1", window: "day", kind: "rate" }] }),
      ),
    ).toEqual(["/limits/0/limit"]);
  });
});
