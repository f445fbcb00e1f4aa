import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, inParallel, openTarget, strangerKey } from "../support/contract.ts";
import type { Answer, Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/** The contract on `GET /usage`, `lastUsedAt`, `GET /audit` and `GET /audit/verify`. */

let target: Target;
let busy: IssuedKey;
let idle: IssuedKey;
let startedAt = 0;

const OWNER = "usage-owner";
const BODY = "x".repeat(1_000);

beforeAll(async () => {
  target = await openTarget();
  startedAt = Date.now();
  const limits = [{ name: "units", limit: 21, window: { seconds: 86_400 }, kind: "quota" }];
  busy = await target.api.issue({ owner: OWNER, scopes: ["reports:read"], limits });
  idle = await target.api.issue({ owner: OWNER });
  // 3 reports of cost 5, 6 of cost 1: 21 in all. Then 2 over the quota, 2 without the scope, 1 failed origin's 500 among the 6.
  for (let count = 0; count < 3; count++)
    expect((await target.send(`/reports/${count}?secret=1`, { key: busy.key })).status).toBe(200);
  for (let count = 0; count < 4; count++)
    expect((await target.send("/anything/else", { key: busy.key })).status).toBe(200);
  expect((await target.send("/echo", { method: "POST", key: busy.key, body: BODY })).text).toBe(BODY);
  expect((await target.send("/status/500", { key: busy.key })).status).toBe(500);
  for (let count = 0; count < 2; count++) expect((await target.send("/anything", { key: busy.key })).status).toBe(429);
  for (let count = 0; count < 2; count++)
    expect((await target.send("/charges", { key: busy.key, method: "POST" })).status).toBe(403);
});
afterAll(() => target.stop());

interface Row {
  readonly requests: number;
  readonly allowed: number;
  readonly refused: number;
  readonly cost: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly [group: string]: unknown;
}
interface Usage {
  readonly series: Row[];
  readonly totals: Row;
}

const root = (path: string): Promise<Answer> => target.send(`/_latchkey/v1${path}`, { key: target.server.rootToken });

async function usage(query: string): Promise<Usage> {
  const answer = await root(`/usage?${query}`);
  expect([query, answer.status]).toEqual([query, 200]);
  return answer.json() as unknown as Usage; // what it must hold is asserted below
}

const EXPECTED = { requests: 13, allowed: 9, refused: 4, cost: 21 };

describe("usage", () => {
  test("every request is there once, some seconds later", async () => {
    await expect
      .poll(async () => (await usage(`key=${busy.id}`)).totals, { timeout: 15_000, interval: 200 })
      .toMatchObject(EXPECTED);
    // It stays so: nothing is counted again.
    await sleep(1_500);
    const { totals } = await usage(`key=${busy.id}`);
    expect(totals).toMatchObject(EXPECTED);
    expect(totals.bytesIn).toBeGreaterThanOrEqual(1_000);
    expect(totals.bytesOut).toBeGreaterThanOrEqual(1_000);
    expect((await usage(`key=${idle.id}`)).totals).toMatchObject({ requests: 0, allowed: 0, refused: 0, cost: 0 });
  });

  test.each(["minute", "hour", "day"])(
    "by %s: buckets start on the clock and add up to the totals",
    async (granularity) => {
      const { series, totals } = await usage(`key=${busy.id}&granularity=${granularity}`);
      const length = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }[granularity] ?? NaN;
      expect(series.length).toBeGreaterThan(0);
      for (const row of series) {
        expect(row["start"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/);
        expect(Date.parse(String(row["start"])) % length).toBe(0);
        expect(row.requests).toBe(row.allowed + row.refused);
      }
      for (const field of ["requests", "allowed", "refused", "cost", "bytesIn", "bytesOut"] as const)
        expect(series.reduce((sum, row) => sum + row[field], 0)).toBe(totals[field]);
      expect(totals).toMatchObject(EXPECTED);
    },
  );

  test("grouped by each name of the contract, and by several", async () => {
    const groups = async (by: string): Promise<[unknown, number][]> => {
      const { series } = await usage(`key=${busy.id}&granularity=day&groupBy=${by}`);
      const sums = new Map<unknown, number>();
      for (const row of series) sums.set(row[by], (sums.get(row[by]) ?? 0) + row.requests);
      return [...sums].toSorted(([a], [b]) => String(a).localeCompare(String(b)));
    };
    expect(await groups("key")).toEqual([[busy.id, 13]]);
    expect(await groups("owner")).toEqual([[OWNER, 13]]);
    expect((await groups("status")).map(([status, count]) => [Number(status), count])).toEqual([
      [200, 8],
      [403, 2],
      [429, 2],
      [500, 1],
    ]);
    expect(Object.fromEntries(await groups("code"))).toMatchObject({ quota_exhausted: 2, scope_insufficient: 2 });
    const routes = Object.fromEntries(await groups("route"));
    expect(routes).toMatchObject({ "/reports/*": 3, "/charges": 2 });
    // An open path is no route of its own: nobody's URLs become rows.
    expect(Object.keys(routes).join()).not.toMatch(/anything|else|status|echo/);
    expect((await groups("country")).reduce((sum, [, count]) => sum + count, 0)).toBe(13);
    const { series } = await usage(`owner=${OWNER}&granularity=day&groupBy=key,owner,route,status,code,country`);
    expect(series.reduce((sum, row) => sum + row.requests, 0)).toBe(13);
    for (const row of series)
      for (const name of ["key", "owner", "route", "status", "code", "country"]) expect(row).toHaveProperty(name);
  });

  test("filters of the same names, and from and to", async () => {
    const filtered = async (query: string): Promise<number> => (await usage(`owner=${OWNER}&${query}`)).totals.requests;
    expect(await filtered(`key=${idle.id}`)).toBe(0);
    expect(await filtered("route=/reports/*")).toBe(3);
    expect(await filtered("status=403")).toBe(2);
    expect(await filtered("code=quota_exhausted")).toBe(2);
    expect(await filtered("status=200&route=/reports/*")).toBe(3);
    const at = (shift: number): string => new Date(startedAt + shift).toISOString();
    expect(await filtered(`from=${at(-3_600_000)}&to=${at(3_600_000)}`)).toBe(13);
    expect(await filtered(`from=${at(-7_200_000)}&to=${at(-3_600_000 - 60_000)}&granularity=minute`)).toBe(0);
    expect((await usage("owner=nobody")).totals.requests).toBe(0);
  });

  test("a refused request of nobody known is counted too", async () => {
    await inParallel(3, 3, () => target.send("/anything", { key: strangerKey() }));
    await expect
      .poll(async () => (await usage("code=key_invalid")).totals.requests, { timeout: 15_000, interval: 200 })
      .toBe(3);
    expect((await usage("code=key_invalid")).totals).toMatchObject({ allowed: 0, refused: 3, cost: 0 });
  });

  test("lastUsedAt comes with the events, and keys can be found by it", async () => {
    const record = async (id: string) => (await root(`/keys/${id}`)).json()["lastUsedAt"];
    await expect.poll(() => record(busy.id), { timeout: 15_000, interval: 200 }).not.toBeNull();
    const at = Date.parse(String(await record(busy.id)));
    expect(at).toBeGreaterThan(startedAt - 60_000);
    expect(at).toBeLessThan(Date.now() + 60_000);
    expect(await record(idle.id)).toBeNull();
    const found = async (time: string) =>
      JSON.stringify((await root(`/keys?owner=${OWNER}&lastUsedBefore=${time}`)).json());
    expect(await found("2099-01-01T00:00:00Z")).toContain(busy.id);
    expect(await found("2001-01-01T00:00:00Z")).not.toContain(busy.id);
  });

  test.each([
    "granularity=week",
    "groupBy=colour",
    "from=yesterday",
    "to=1",
    "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    "status=abc",
  ])("%s is 400", async (query) => {
    expectProblem(await root(`/usage?${query}`), 400, "request_invalid");
  });
});

describe("audit", () => {
  interface Entry {
    readonly [field: string]: unknown;
  }
  const entries = async (query = ""): Promise<Entry[]> => {
    const answer = await root(`/audit?limit=200${query}`);
    expect(answer.status).toBe(200);
    return answer.json()["data"] as Entry[]; // the contract's list
  };

  test("who did what to which key, when, from where", async () => {
    const admin = await target.api.issue({
      kind: "admin",
      owner: "ops",
      scopes: ["keys:read", "keys:write", "keys:revoke"],
    });
    const as = { token: admin.key };
    const subject = (
      await target.api.call<IssuedKey>("POST", "/keys", {
        body: { name: "Audited", owner: "acme", environment: "live", scopes: ["a:b"] },
        ...as,
      })
    ).body;
    const path = `/keys/${subject.id}`;
    await target.api.call("PATCH", path, { body: { name: "Audited again" }, ...as });
    await target.api.call("POST", `${path}/disable`, { body: {}, ...as });
    await target.api.call("POST", `${path}/enable`, { body: {}, ...as });
    const next = (await target.api.call<IssuedKey>("POST", `${path}/rotate`, { body: { overlapSeconds: 60 }, ...as }))
      .body;
    await target.api.call("POST", `${path}/revoke`, { body: { reason: "leaked", note: "found in a log" }, ...as });
    await target.api.call("GET", path, as);
    const mine = (await entries()).filter((entry) => JSON.stringify(entry["subject"] ?? entry).includes(subject.id));
    expect(mine.length).toBeGreaterThanOrEqual(6);
    for (const entry of mine) {
      const text = JSON.stringify(entry);
      expect(text).toContain(admin.id);
      expect(text).toMatch(/"(?:127\.0\.0\.1|::1)"/);
      expect(text).toMatch(/"req_/);
      const time = Object.values(entry).find((value) => typeof value === "string" && /^\d{4}-.*Z$/.test(value));
      expect(Math.abs(Date.parse(String(time)) - Date.now())).toBeLessThan(60_000);
    }
    const all = JSON.stringify(mine);
    for (const word of ["create", "disable", "enable", "rotate", "revoke", "Audited again", "leaked", "found in a log"])
      expect(all).toContain(word);
    expect(all).not.toContain(subject.key.slice(8, 40));
    expect(JSON.stringify(await entries())).not.toContain(next.key.slice(8, 40));
  });

  test("pages hold each entry once", async () => {
    const seen: unknown[] = [];
    let cursor: string | null = "";
    for (let page = 0; cursor !== null && page < 50; page++) {
      const answer: Answer = await root(
        `/audit?limit=5${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      const { data, nextCursor } = answer.json() as { data: Entry[]; nextCursor: string | null };
      seen.push(...data.map((entry) => entry["id"]));
      cursor = nextCursor;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual((await entries()).map((entry) => entry["id"]));
    expectProblem(await root("/audit?limit=201"), 400, "request_invalid");
  });

  test("the hash chain holds, and there is no way to write to it", async () => {
    const answer = await root("/audit/verify");
    expect(answer.status).toBe(200);
    expect(Object.values(answer.json())).toContain(true);
    expect(Object.values(answer.json())).not.toContain(false);
    for (const method of ["POST", "PUT", "PATCH", "DELETE"])
      expect([404, 405]).toContain(
        (await target.send("/_latchkey/v1/audit", { method, key: target.server.rootToken, body: {} })).status,
      );
  });
});
