import { env, exports } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { counters } from "../../src/platform/counters.ts";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { differing, differenceUnits } from "../../src/usage/reconcile.ts";
import { reconcileHour } from "../../src/usage/reconcile-run.ts";

/** The whole way of an event: request, buffer, queue, consumer, ledger, registry, and back out through the control API. */

const BASE = "https://api.example.com";
/** "At low traffic an event is visible in `/usage` within 5 s." */
const VISIBLE_WITHIN_MS = 5_000;

interface UsageBody {
  readonly series: readonly Readonly<Record<string, unknown>>[];
  readonly totals: Readonly<Record<string, number>>;
}

interface CreatedKey {
  readonly id: string;
  readonly lineageId: string;
  readonly key: string;
}

function asRoot(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { Authorization: `Bearer ${env.LATCHKEY_ROOT_TOKEN ?? ""}`, "Content-Type": "application/json" };
  return exports.default.fetch(`${BASE}/_latchkey/v1${path}`, { ...init, headers });
}

async function createKey(owner: string): Promise<CreatedKey> {
  const input = { name: "usage", owner, environment: "live", scopes: ["reports:read", "charges:write"] };
  const response = await asRoot("/keys", { method: "POST", body: JSON.stringify(input) });
  expect(response.status).toBe(201);
  return await response.json();
}

async function call(key: string, path: string, method = "GET"): Promise<number> {
  const response = await exports.default.fetch(BASE + path, { method, headers: { Authorization: `Bearer ${key}` } });
  await response.body?.cancel();
  return response.status;
}

async function usage(query: string): Promise<UsageBody> {
  const response = await asRoot(`/usage?${query}`);
  expect(response.status).toBe(200);
  return await response.json();
}

async function rowsWritten(): Promise<number> {
  return (await ledgerByName(env.USAGE_LEDGER, "default/0").status()).sinceStart.rowsWritten;
}

async function until<T>(read: () => Promise<T>, isDone: (value: T) => boolean, withinMs: number): Promise<T> {
  const endsAt = performance.now() + withinMs;
  for (;;) {
    const value = await read();
    if (isDone(value) || performance.now() >= endsAt) return value;
    await scheduler.wait(50);
  }
}

describe("an event's way", () => {
  beforeAll(() => {
    // A new answer for each call: a body is read once.
    vi.spyOn(console, "log").mockImplementation(() => {});
    vi.spyOn(globalThis, "fetch").mockImplementation(() => Promise.resolve(new Response("hello")));
  });

  afterAll(() => {
    vi.restoreAllMocks();
  });

  test("a request is in /usage within 5 s, with its route, key and cost; so is a refused one", async () => {
    const { id, key } = await createKey("way-a");
    expect(await call(key, "/reports/today")).toBe(200);
    expect(await call(key, "/charges", "POST")).toBe(200);
    expect(await call(key, "/anything?secret=1")).toBe(200);
    const seen = await until(
      () => usage("groupBy=key,route,status,code&owner=way-a"),
      ({ totals }) => totals["requests"] === 3,
      VISIBLE_WITHIN_MS,
    );
    expect(seen.totals).toMatchObject({ requests: 3, allowed: 3, refused: 0, cost: 7 });
    const routes = seen.series.map(({ key: keyId, route, status, code, cost }) => ({
      keyId,
      route,
      status,
      code,
      cost,
    }));
    expect(routes).toContainEqual({ keyId: id, route: "/reports/*", status: 200, code: "allowed", cost: 5 });
    expect(routes).toContainEqual({ keyId: id, route: "/charges", status: 200, code: "allowed", cost: 1 });
    expect(JSON.stringify(seen)).not.toContain("secret");

    expect(
      (await asRoot(`/keys/${id}/revoke`, { method: "POST", body: JSON.stringify({ reason: "retired" }) })).status,
    ).toBe(200);
    const refused = await until(
      () => call(key, "/charges", "POST"),
      (status) => status === 401,
      6_000,
    );
    expect(refused).toBe(401);
    const after = await until(
      () => usage("groupBy=code&owner=way-a&code=key_revoked"),
      ({ totals }) => totals["refused"] === 1,
      VISIBLE_WITHIN_MS,
    );
    expect(after.totals).toMatchObject({ requests: 1, allowed: 0, refused: 1, cost: 0 });
  });

  test("a sync event is in the queue before its answer", async () => {
    const { key } = await createKey("way-sync");
    const before = counters.queueMessages;
    expect(await call(key, "/charges", "POST")).toBe(200);
    expect(counters.queueMessages).toBeGreaterThan(before);
  });

  test("a key's last use comes from its events", async () => {
    const { id, key } = await createKey("way-b");
    const startedAt = Date.now();
    await call(key, "/reports/today");
    const record = await until(
      async (): Promise<{ readonly lastUsedAt: string | null }> => await (await asRoot(`/keys/${id}`)).json(),
      ({ lastUsedAt }) => lastUsedAt !== null,
      VISIBLE_WITHIN_MS,
    );
    expect(Date.parse(record.lastUsedAt ?? "")).toBeGreaterThanOrEqual(startedAt - 1_000);
  });

  test("1,000 requests leave in at most 20 messages and 60 rows, and the meter and the ledger agree on every unit", async () => {
    const { lineageId, key } = await createKey("way-c");
    const startedAt = Date.now();
    const before = counters.queueMessages;
    const rowsBefore = await rowsWritten();
    for (let round = 0; round < 20; round++) {
      const statuses = await Promise.all(Array.from({ length: 50 }, () => call(key, "/reports/today")));
      expect(statuses.every((status) => status === 200)).toBe(true);
    }
    const tookMs = Date.now() - startedAt;
    const seen = await until(
      () => usage("owner=way-c&groupBy=lineage"),
      ({ totals }) => totals["requests"] === 1_000,
      VISIBLE_WITHIN_MS,
    );
    expect(seen.totals).toMatchObject({ requests: 1_000, cost: 5_000 });
    // One message for each hundred; a slow machine adds one for each second.
    expect(counters.queueMessages - before).toBeLessThanOrEqual(Math.max(20, 12 + Math.ceil(tookMs / 1_000)));

    // Ids of batches, and for each consumer call one group and one total: rows follow messages, not requests.
    expect((await rowsWritten()) - rowsBefore).toBeLessThanOrEqual(60);

    const hours = [...new Set([startedAt, Date.now()].map((at) => Math.floor(at / 3_600_000)))];
    const compare = async () => {
      const reports = await Promise.all(hours.map((hour) => reconcileHour(env, "default", hour * 3_600_000)));
      return reports.flatMap((report) => report.compared).filter((compared) => compared.lineageId === lineageId);
    };
    // What a broker knows of is reported when the key has been quiet for a while.
    const compared = await until(compare, (all) => differing(all).length === 0, 40_000);
    expect(differenceUnits(compared)).toBe(0);
    expect(compared.reduce((sum, { ledger }) => sum + ledger, 0)).toBe(5_000);
  });

  test("the metrics page shows what happened, to those who may see it", async () => {
    expect((await exports.default.fetch(`${BASE}/_latchkey/metrics`)).status).toBe(401);
    const response = await exports.default.fetch(`${BASE}/_latchkey/metrics`, {
      headers: { Authorization: `Bearer ${env.LATCHKEY_ROOT_TOKEN ?? ""}` },
    });
    expect(response.headers.get("Content-Type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    expect(text).toMatch(/^latchkey_requests_total\{workspace="default",code="allowed",status_class="2xx"\} \d{4,}$/m);
    expect(text).toMatch(/^latchkey_keys\{workspace="default",status="active"\} \d+$/m);
    expect(text).toContain(`latchkey_part_up{part="registry"} 1\n`);
    expect(text).toContain(`latchkey_part_up{part="ledger"} 1\n`);
  });
});
