import { describe, expect, test } from "vitest";
import { MAX_IMPORT_KEYS } from "../../src/constants.ts";
import { ok } from "../../src/result.ts";
import type { UsageQuery } from "../../src/usage/query.ts";
import { openControl, type Parsed } from "../support/control-lab.ts";

const control = openControl();

/** A hash that is as good as any: 32 bytes of one number. */
function hash(byte: number, encoding: "hex" | "base64" | "base64url" = "hex") {
  return { algorithm: "sha256", encoding, value: Buffer.alloc(32, byte).toString(encoding) };
}

const item = (change: object = {}) => control.input({ hash: hash(1), ...change });
const send = (keys: readonly unknown[], more: object = {}, headers: Record<string, string> = {}) =>
  control.call("POST", "/keys/import", { body: { keys, ...more }, headers });

describe("import", () => {
  test("a dry run says what would happen and changes nothing", async () => {
    const answered = await send([item(), item({ hash: hash(2), name: "" })], { dryRun: true });
    expect(answered.body).toMatchObject({ dryRun: true, imported: 1, refused: 1 });
    expect(answered.body["results"][0]).toEqual({ index: 0, ok: true });
    expect((await control.call("GET", "/keys")).body["data"]).toEqual([]);
  });

  test("each item has its own result, in order, and a bad one keeps no other out", async () => {
    const answered = await send([
      item({ hash: hash(10, "hex") }),
      item({ hash: { ...hash(11), value: "zz" } }),
      item({ hash: hash(12, "base64") }),
      item({ hash: hash(12, "base64url") }),
      item({ hash: hash(13), scopes: [] }),
      "nonsense",
      item({ hash: hash(14, "base64url"), plan: "gold" }),
    ]);
    expect(answered.status).toBe(200);
    const results = answered.body["results"] as Parsed[];
    expect(results.map((result) => [result["index"], result["ok"]])).toEqual([
      [0, true],
      [1, false],
      [2, true],
      [3, false],
      [4, false],
      [5, false],
      [6, false],
    ]);
    expect(results[1]?.["errors"][0].pointer).toBe("/keys/1/hash");
    expect(results[3]?.["code"]).toBe("conflict");
    expect(results[4]?.["errors"][0].pointer).toBe("/keys/4/scopes");
    expect(results[5]?.["errors"][0].pointer).toBe("/keys/5");
    expect(results[6]?.["errors"][0].pointer).toBe("/keys/6/plan");
    expect(results[0]?.["record"]["hint"]).toMatch(/^sha256:/);
    const read = await control.call("GET", `/keys/${results[2]?.["id"]}`);
    expect(read.body["status"]).toBe("active");
    expect(JSON.stringify(answered.body)).not.toContain(hash(10).value);
  });

  test("a repeat imports nothing twice", async () => {
    const once = { "Idempotency-Key": "import-1" };
    const first = await send([item({ hash: hash(20) }), item({ hash: hash(21), name: "" })], {}, once);
    const again = await send([item({ hash: hash(20) }), item({ hash: hash(21), name: "" })], {}, once);
    expect(again.headers.get("Idempotent-Replayed")).toBe("true");
    expect(again.body).toEqual(first.body);
  });

  test("a thousand come in at once, one more is too many", async () => {
    const many = Array.from({ length: MAX_IMPORT_KEYS }, (_, index) => {
      const bytes = Buffer.alloc(32, 200);
      bytes.writeUInt32BE(index);
      return item({ hash: { algorithm: "sha256", encoding: "hex", value: bytes.toString("hex") } });
    });
    expect((await send([...many, item()])).body["errors"][0].pointer).toBe("/keys");
    expect((await send([])).body["errors"][0].pointer).toBe("/keys");
    const answered = await send(many);
    expect([answered.status, answered.body["imported"]]).toEqual([200, MAX_IMPORT_KEYS]);
  });
});

describe("owners", () => {
  test("an owner comes into being with its first key, or when it is put", async () => {
    const lab = openControl();
    expect((await lab.call("GET", "/owners/acme")).status).toBe(404);
    await lab.create({ owner: "acme" });
    expect((await lab.call("GET", "/owners/acme")).body).toMatchObject({ id: "acme", keys: { active: 1, total: 1 } });
    const limits = [{ name: "shared", limit: 5, window: "hour", kind: "quota" }];
    const put = await lab.call("PUT", "/owners/globex", { body: { name: "Globex", limits, metadata: { tier: 1 } } });
    expect(put.body).toMatchObject({ id: "globex", name: "Globex", limits, metadata: { tier: 1 } });
    expect(put.headers.get("ETag")).toBe(`"g${put.body["generation"]}"`);
    expect((await lab.call("GET", "/owners")).body["data"].map((owner: { id: string }) => owner.id).toSorted()).toEqual(
      ["acme", "globex"],
    );
  });

  test("an owner is stopped and started again; meanwhile it gets no key, in any way", async () => {
    const lab = openControl();
    const made = await lab.create({ owner: "acme" });
    const before = await lab.call("GET", "/owners/acme");
    expect(before.body).not.toHaveProperty("disabledAt");
    const once = { "Idempotency-Key": "stop-1", "If-Match": before.headers.get("ETag") ?? "" };
    const stopped = await lab.call("POST", "/owners/acme/disable", { headers: once });
    expect([stopped.status, stopped.headers.get("ETag")]).toEqual([200, '"g2"']);
    expect(stopped.body).toMatchObject({ delivery: "delivered", keys: { active: 0, total: 1 } });
    const { delivery: _, ...shown } = stopped.body;
    expect((await lab.call("GET", "/owners/acme")).body).toEqual(shown);
    const again = await lab.call("POST", "/owners/acme/disable", { headers: once });
    expect([again.body, again.headers.get("Idempotent-Replayed")]).toEqual([stopped.body, "true"]);
    expect((await lab.call("POST", "/owners/acme/enable", { headers: once })).status).toBe(409);
    const lost = await lab.call("POST", "/owners/acme/enable", { headers: { "If-Match": '"g1"' } });
    expect(lost.status).toBe(412);
    const path = `/keys/${made.body["id"]}`;
    expect((await lab.call("GET", path)).body).toMatchObject({ status: "disabled", ownStatus: "active" });
    for (const refused of [await lab.create({ owner: "acme" }), await lab.call("POST", `${path}/rotate`)]) {
      expect([refused.status, refused.body["code"]]).toEqual([409, "conflict"]);
      expect(refused.body["detail"]).toContain("acme is disabled");
      expect(refused.body).not.toHaveProperty("key");
    }
    const keys = [lab.input({ owner: "acme", hash: hash(30) }), lab.input({ owner: "globex", hash: hash(31) })];
    const imported = await lab.call("POST", "/keys/import", { body: { keys } });
    expect(imported.body["results"]).toMatchObject([{ ok: false, code: "conflict" }, { ok: true }]);
    expect((await lab.call("POST", `${path}/enable`)).body).toMatchObject({ status: "disabled", ownStatus: "active" });
    expect((await lab.call("PUT", "/owners/acme", { body: {} })).body["disabledAt"]).toBe(shown["disabledAt"]);
    const started = await lab.call("POST", "/owners/acme/enable");
    expect(started.body).toMatchObject({ delivery: "delivered", keys: { active: 1 } });
    expect(started.body).not.toHaveProperty("disabledAt");
    expect((await lab.call("GET", path)).body).toMatchObject({ status: "active" });
    expect((await lab.call("POST", `${path}/rotate`)).status).toBe(201);
    expect((await lab.call("POST", "/owners/nobody/disable")).status).toBe(404);
  });

  test("putting is whole: what is left out goes back; a lost race is 412", async () => {
    const lab = openControl();
    const first = await lab.call("PUT", "/owners/acme", { body: { name: "Acme" } });
    const second = await lab.call("PUT", "/owners/acme", {
      body: {},
      headers: { "If-Match": first.headers.get("ETag") ?? "" },
    });
    expect(second.body["name"]).toBeNull();
    const lost = await lab.call("PUT", "/owners/acme", {
      body: {},
      headers: { "If-Match": first.headers.get("ETag") ?? "" },
    });
    expect(lost.status).toBe(412);
  });
});

describe("usage", () => {
  test("the ledger is asked about the caller's workspace, with what the query says", async () => {
    const asked: [string, UsageQuery][] = [];
    const sums = { requests: 0, allowed: 0, refused: 0, cost: 0, bytesIn: 0, bytesOut: 0 };
    const totals = { ...sums, averageLatencyMs: null, estimatedCostUsd: "0.000000000" };
    const lab = openControl({
      now: () => Date.parse("2026-11-23T12:00:00Z"),
      usage: async (workspace, query) => {
        asked.push([workspace, query]);
        return ok({ from: "", to: "", granularity: query.granularity, series: [], totals });
      },
    });
    expect((await lab.call("GET", "/usage")).body["totals"]).toEqual(totals);
    await lab.call(
      "GET",
      "/usage?from=2026-11-01T00:00:00%2B01:00&granularity=day&groupBy=key,route&owner=acme&owner=globex",
    );
    expect(asked[0]).toEqual([
      lab.workspace,
      {
        from: Date.parse("2026-11-22T12:00:00Z"),
        to: Date.parse("2026-11-23T12:00:00Z"),
        granularity: "hour",
        groupBy: [],
        filters: {},
        distributions: false,
      },
    ]);
    expect(asked[1]?.[1]).toMatchObject({
      from: Date.parse("2026-10-31T23:00:00Z"),
      granularity: "day",
      groupBy: ["key", "route"],
      filters: { owner: ["acme", "globex"] },
      distributions: false,
    });
  });
});
