import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Edges, startEdges } from "../../scripts/lab/edges.ts";
import { bearer, type Control, control } from "../support/control.ts";
import { strangerKey } from "../support/contract.ts";
import { readExposition } from "../support/exposition.ts";

/** The measures of a running deployment, by its API and as a scraper reads them. */

interface Measure {
  readonly id: string;
  readonly value: number | null;
  readonly met: boolean | null;
  readonly why: string | null;
  readonly definition: string;
  readonly detail: Record<string, unknown>;
}

const PATIENCE_MS = 20_000;

let harness: Edges;
let api: Control;
beforeAll(async () => {
  harness = await startEdges({ count: 2 });
  api = control(harness.home);
});
afterAll(() => harness.stop());

async function measures(query = "", by = api): Promise<ReadonlyMap<string, Measure>> {
  const answer = await by.call<{ measures: readonly Measure[] }>("GET", `/measures${query}`);
  expect(answer.status).toBe(200);
  return new Map(answer.body.measures.map((measure) => [measure.id, measure]));
}

async function use(edge: number, key: string): Promise<number> {
  const response = await harness.edges[edge]?.fetch("/anything", { headers: bearer(key), cf: { colo: "FRA" } });
  await response?.arrayBuffer();
  return response?.status ?? 0;
}

test("M4, M15 and M16 of a leaked key: each revoke's first refusal and last admission are measured, and what came after the leak", async () => {
  const leakedAt = new Date(Date.now() - 60_000).toISOString();
  const { id, key } = await api.issue();
  const { id: unused } = await api.issue();
  for (let turn = 0; turn < 3; turn++) expect(await use(0, key)).toBe(200);
  expect(await use(1, key)).toBe(200);
  const body = { reason: "leaked", note: "Seen in a public repository", leakedAt };
  expect((await api.call("POST", `/keys/${id}/revoke`, { body })).status).toBe(200);
  await api.revoke(unused, "retired");
  // On its lease; how long, nobody has to know here.
  let lastLetIn = 0;
  for (const until = Date.now() + 8_000; Date.now() < until; await sleep(50)) {
    const status = await use(1, key);
    if (status !== 200) break;
    lastLetIn = Date.now();
  }
  expect(await use(1, key)).toBe(401);
  let measured = await measures();
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(300)) {
    measured = await measures();
    if (Number(measured.get("M4")?.detail["usedAgain"]) === 1) break;
  }
  const lag = measured.get("M4");
  expect(lag?.detail).toMatchObject({ revoked: 2, usedAgain: 1, notUsedAgain: 1 });
  expect(lag?.met).toBe(true);
  expect(lag?.value).toBeLessThanOrEqual(5);
  if (lastLetIn > 0) expect(lag?.value).toBeGreaterThan(0);
  expect(Number(lag?.detail["firstRefusalSeconds"])).toBeGreaterThanOrEqual(0);
  expect(measured.get("M15")?.value).toBeGreaterThan(60);
  expect(measured.get("M16")?.value).toBeGreaterThan(59);
  expect(Number(measured.get("M16")?.detail["requestsAfterLeak"])).toBeGreaterThanOrEqual(4);
  expect(measured.get("M8")?.detail).toMatchObject({ keysRevokedAsLeaked: 1 });
});

test("all sixteen come with their definition, for the time that is asked for, and of the caller's workspace alone", async () => {
  const { key } = await api.issue({ limits: [{ name: "few", limit: 2, window: "minute", kind: "rate" }] });
  for (let turn = 0; turn < 4; turn++) await use(0, key);
  await harness.edges[0]?.fetch("/anything", { headers: bearer(strangerKey()) });
  let measured = await measures();
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(300)) {
    measured = await measures();
    if (Number(measured.get("M6")?.value) > 0) break;
  }
  expect([...measured.keys()]).toEqual(Array.from({ length: 16 }, (_none, index) => `M${index + 1}`));
  for (const { definition, value, why } of measured.values()) {
    expect(definition.length).toBeGreaterThan(15);
    expect(value === null).toBe(why !== null);
  }
  expect(measured.get("M1")).toMatchObject({ value: 1, met: true });
  expect(measured.get("M2")?.value).not.toBeNull();
  expect(measured.get("M3")?.value).toBeGreaterThanOrEqual(1);
  expect(measured.get("M5")?.value).toBeGreaterThan(0);
  expect(measured.get("M7")?.value).toBe(0);
  expect(measured.get("M9")?.value).toBeGreaterThan(0);
  expect(measured.get("M10")).toMatchObject({ value: 1 });
  expect(measured.get("M13")).toMatchObject({ value: 0, met: false });
  const past = await measures("?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z");
  expect(past.get("M3")?.value).toBe(0);
  expect(past.get("M1")?.value).toBeNull();
  const other = await measures("", control(harness.home, "other"));
  expect(other.get("M3")?.value).toBe(0);
  expect(other.get("M1")?.value).toBeNull();
  for (const wrong of [
    "?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z",
    "?top=51",
    "?from=2020-01-01T00:00:00Z",
    "?x=1",
  ])
    expect((await api.call("GET", `/measures${wrong}`)).status).toBe(400);
  const { key: admin } = await api.issue({ kind: "admin", scopes: ["keys:read"] });
  expect((await api.call("GET", "/measures", { token: admin })).status).toBe(403);
});

test("a scraper reads them in a format without a fault, single keys where it asks for them", async () => {
  const scrape = async (query: string) => {
    const response = await fetch(`${harness.home.url}/_latchkey/metrics${query}`, {
      headers: bearer(harness.rootToken),
    });
    expect(response.status).toBe(200);
    return readExposition(await response.text());
  };
  const plain = await scrape("");
  expect(plain.get("latchkey_part_up")?.samples).toContainEqual({ labels: { part: "measures" }, value: 1 });
  expect(plain.get("latchkey_auth_success_ratio")?.samples).toEqual([{ labels: { workspace: "default" }, value: 1 }]);
  expect(plain.get("latchkey_revocation_first_refusal_seconds")?.samples).toHaveLength(1);
  for (const { samples } of plain.values()) expect(samples.some(({ labels }) => "key" in labels)).toBe(false);
  const withKeys = await scrape("?top=1");
  expect(withKeys.get("latchkey_top_key_requests_per_second")?.samples).toHaveLength(1);
});
