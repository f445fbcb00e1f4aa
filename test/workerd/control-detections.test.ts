import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { tellWatch } from "../../durable-objects/watch/client.ts";
import { openControl } from "../support/control-lab.ts";
import { created, openRegistry } from "../support/registry-lab.ts";
import { strangerEvent, usageEvent } from "../support/usage-makers.ts";

/** What was found, as operators and programs see it. */

/** A Monday; far ahead, so that no alarm rings by itself. */
const START = Date.parse("2035-01-01T00:00:00.000Z");
const MINUTE = 60_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});
afterEach(() => {
  vi.useRealTimers();
});

async function open(canaries = 1) {
  const control = openControl();
  const registry = openRegistry(control.workspace);
  const keys = [];
  for (let count = 0; count < canaries; count++) {
    keys.push(await created(registry, { tags: ["canary"], owner: `owner-${count}` }));
  }
  const used = keys.map(({ id }) => usageEvent({ time: START + 1_000, keyId: id }));
  const tried = Array.from({ length: 30 }, (_, credentialTag) => ({ ...strangerEvent(START + 1_000), credentialTag }));
  await tellWatch(env.WATCH, control.workspace, [...used, ...tried], { rules: [], plans: {} });
  vi.setSystemTime(START + MINUTE);
  await runDurableObjectAlarm(env.WATCH.getByName(control.workspace));
  return { ...control, keys };
}

describe("GET /detections", () => {
  test("pages through what was found, filtered by kind, severity, owner, subject and time", async () => {
    const control = await open(4);
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const page = await control.call("GET", `/detections?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      expect(page.status).toBe(200);
      seen.push(...page.body["data"].map(({ id }: { id: string }) => id));
      cursor = page.body["nextCursor"];
    }
    expect(seen).toHaveLength(5);
    expect(new Set(seen).size).toBe(5);
    for (const [query, found] of [
      ["kind=canary_used", 4],
      ["kind=spike", 0],
      ["severity=page", 5],
      ["owner=owner-2", 1],
      [`subject=${control.keys[0]?.id ?? ""}`, 1],
      ["subject=203.0.113.0%2F24", 1],
      ["since=2035-01-01T00:01:00Z", 5],
      ["since=2035-01-01T00:02:00Z", 0],
    ] as const) {
      const page = await control.call("GET", `/detections?${query}`);
      expect([query, page.body["data"].length]).toEqual([query, found]);
    }
    expect((await control.call("GET", "/detections?kind=nothing")).status).toBe(400);
    expect((await control.call("GET", "/detections?cursor=nonsense")).status).toBe(400);
  });

  test("shows one with its numbers and a sentence; another workspace has none of it", async () => {
    const control = await open();
    const [{ id }] = (await control.call("GET", "/detections?kind=canary_used")).body["data"];
    const one = await control.call("GET", `/detections/${id}`);
    expect(one).toMatchObject({
      status: 200,
      body: {
        id,
        kind: "canary_used",
        severity: "page",
        owner: "owner-0",
        subject: { type: "key", id: control.keys[0]?.id },
        evidence: { requests: 1 },
        firstSeenAt: "2035-01-01T00:01:00.000Z",
      },
    });
    expect(one.body["summary"]).toContain("used once");
    expect((await control.call("GET", `/detections/${id}`, { workspace: "other" })).status).toBe(404);
    expect((await control.call("GET", "/detections", { workspace: "other" })).body["data"]).toEqual([]);
    expect((await control.call("GET", "/detections/det_0")).status).toBe(404);
  });
});

describe("POST /detections/dry-run", () => {
  test("goes over the last week, and says from when on hours are known", async () => {
    const control = await open();
    const answer = await control.call("POST", "/detections/dry-run", { body: { thresholds: { spike: { ratio: 2 } } } });
    expect(answer).toMatchObject({
      status: 200,
      body: { data: [], from: "2034-12-25T00:00:00.000Z", to: "2035-01-01T00:00:00.000Z", nextCursor: null },
    });
  });

  test.each([
    ["/thresholds/spike", { thresholds: { spike: { rate: 1 } } }],
    ["/thresholds/spike/ratio", { thresholds: { spike: { ratio: "4" } } }],
    ["/from", { from: "2035-01-01T00:00:00Z", to: "2035-01-01T00:30:00Z" }],
    ["/from", { from: "2034-12-01T00:00:00Z" }],
  ])("names the fault at %s", async (pointer, body) => {
    const control = openControl();
    const answer = await control.call("POST", "/detections/dry-run", { body });
    expect(answer.status).toBe(400);
    expect(answer.body["errors"]).toMatchObject([{ pointer }]);
  });
});
