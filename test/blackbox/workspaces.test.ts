import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { control, type IssuedKey } from "../support/control.ts";
import { type Library, startLibrary } from "../support/library-lab.ts";

/** Two teams on one installation: whatever an admin key of one may do, it neither sees nor touches the other's. */

let library: Library;
let mine: IssuedKey;
let theirAdmin: string;
beforeAll(async () => {
  library = await startLibrary();
  mine = await api().issue({
    owner: "shared-name",
    limits: [{ name: "daily", limit: 9, window: "day", kind: "quota" }],
  });
  theirAdmin = (await api("other").issue({ owner: "their-team", kind: "admin", scopes: ["admin:*"] })).key;
});
afterAll(() => library.stop());

const api = (workspace?: string) => control({ url: library.url(), rootToken: library.rootToken }, workspace);
const asThem = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  await api().call(method, path, { token: theirAdmin, headers, ...(body === undefined ? {} : { body }) });

describe("an admin key of another workspace, with every scope", () => {
  test("finds a key of this one nowhere, and changes nothing of it", async () => {
    const { id } = mine;
    const calls: readonly (readonly [string, string, unknown?])[] = [
      ["GET", `/keys/${id}`],
      ["PATCH", `/keys/${id}`, { name: "taken" }],
      ["POST", `/keys/${id}/rotate`, {}],
      ["POST", `/keys/${id}/revoke`, { reason: "leaked" }],
      ["POST", `/keys/${id}/disable`, {}],
      ["POST", `/keys/${id}/enable`, {}],
    ];
    for (const [method, path, body] of calls) {
      const answer = await asThem(method, path, body);
      expect([answer.status, answer.body["code"]], `${method} ${path}`).toEqual([404, "not_found"]);
    }
    const after = await api().call("GET", `/keys/${id}`);
    expect(after.body).toMatchObject({ name: "Test key", status: "active", generation: mine.generation });
    expect((await library.ask("/x", { key: mine.key })).status).toBe(200);
  });

  test("lists, counts and audits its own workspace alone", async () => {
    await expect
      .poll(async () => (await api().call<{ totals: object }>("GET", "/usage")).body.totals, { timeout: 5_000 })
      .not.toMatchObject({ requests: 0 });
    const listed = await asThem("GET", "/keys?limit=200");
    expect((listed.body["data"] as { workspace: string }[]).map(({ workspace }) => workspace)).toEqual(["other"]);
    for (const path of ["/keys?limit=200", "/keys?owner=shared-name", "/usage?groupBy=key,owner", "/audit?limit=200"]) {
      const answer = await asThem("GET", path);
      expect(answer.status, path).toBe(200);
      const text = JSON.stringify(answer.body);
      for (const word of [mine.id, mine.lineageId, "shared-name"]) expect(text, path).not.toContain(word);
    }
    const metrics = await fetch(`${library.url()}/_latchkey/metrics`, {
      headers: { authorization: `Bearer ${theirAdmin}` },
    });
    const page = await metrics.text();
    expect(page).toContain('workspace="other"');
    expect(page).not.toContain('workspace="default"');
  });

  test("has owners of its own under the same names", async () => {
    expect((await asThem("GET", "/owners/shared-name")).status).toBe(404);
    const limits = [{ name: "theirs", limit: 1, window: "day", kind: "quota" }];
    expect((await asThem("PUT", "/owners/shared-name", { limits })).status).toBe(200);
    for (let turn = 0; turn < 3; turn++) expect((await library.ask("/x", { key: mine.key })).status).toBe(200);
    expect((await api().call("GET", "/owners/shared-name")).body).toMatchObject({ limits: [] });
  });

  test("cannot name this workspace, check its keys, or bring a key of it in by its hash", async () => {
    const named = await asThem("GET", "/keys", undefined, { "x-latchkey-workspace": "default" });
    expect(named.status).toBe(403);
    const checked = await asThem("POST", "/verify", { key: mine.key });
    expect(checked).toMatchObject({ status: 200, body: { valid: false, code: "key_invalid" } });
    expect(checked.body).not.toHaveProperty("keyId");
    const value = createHash("sha256").update(mine.key).digest("hex");
    const item = { hash: { algorithm: "sha256", encoding: "hex", value }, name: "Taken", owner: "their-team" };
    for (const dryRun of [true, false]) {
      const keys = [{ ...item, environment: "live", scopes: ["a:b"] }];
      const answer = await asThem("POST", "/keys/import", { keys, dryRun });
      expect(JSON.stringify(answer.body)).not.toContain('"id":"key_');
    }
    const whoami = (await library.ask("/_latchkey/v1/whoami", { key: mine.key })).json();
    expect(JSON.stringify(whoami)).toContain(mine.id);
    expect((await library.ask("/x", { key: mine.key })).status).toBe(200);
  });
});

describe("the metrics page", () => {
  const metric = async (name: string): Promise<number> => {
    const headers = { authorization: `Bearer ${library.rootToken}` };
    const page = await (await fetch(`${library.url()}/_latchkey/metrics`, { headers })).text();
    return Number(new RegExp(`^${name}\\{workspace="default"\\} (\\S+)$`, "m").exec(page)?.[1] ?? Number.NaN);
  };

  test("shows how long the last revocation took to reach its meter, and that it did", async () => {
    const before = (await metric("latchkey_revocations_delivered_total")) || 0;
    const { id } = await api().issue();
    await api().revoke(id, "leaked");
    expect(await metric("latchkey_revocations_delivered_total")).toBe(before + 1);
    const lag = await metric("latchkey_revocation_delivery_last_seconds");
    expect(lag).toBeGreaterThanOrEqual(0);
    expect(lag).toBeLessThan(5);
    expect(await metric("latchkey_revocation_delivery_max_seconds")).toBeGreaterThanOrEqual(lag);
    expect(await metric("latchkey_outbox_pending")).toBe(0);
  });

  test("counts keys issued and requests limited, and /usage says by which key", async () => {
    const issued = await metric("latchkey_keys_issued_total");
    const limited = await metric("latchkey_requests_limited_total");
    const { id, key } = await api().issue({ limits: [{ name: "two", limit: 2, window: "day", kind: "rate" }] });
    expect(await metric("latchkey_keys_issued_total")).toBe(issued + 1);
    for (let turn = 0; turn < 5; turn++) await library.ask("/x", { key });
    await expect.poll(() => metric("latchkey_requests_limited_total"), { timeout: 5_000 }).toBe(limited + 3);
    const usage = await api().call<{ series: object[] }>("GET", `/usage?key=${id}&groupBy=key,code&granularity=day`);
    expect(usage.body.series).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ key: id, code: "allowed", requests: 2 }),
        expect.objectContaining({ key: id, code: "rate_limited", requests: 3, cost: 0 }),
      ]),
    );
  });
});
