import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { alertCenterOf } from "../../durable-objects/alert-center/client.ts";
import type { KeptFinding } from "../../durable-objects/watch/api.ts";
import { tellWatch, watchOf } from "../../durable-objects/watch/client.ts";
import { MOST_KEYS } from "../../durable-objects/watch/minute-book.ts";
import { SETTLED_AFTER_MS } from "../../durable-objects/watch/watch.ts";
import type { WatchPolicy } from "../../src/detection/policy.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { type KeySighting, sightingsIn } from "../../src/usage/sightings.ts";
import { created, newWorkspace, openRegistry } from "../support/registry-lab.ts";
import { strangerEvent, usageEvent } from "../support/usage-makers.ts";

/** The watch inside workerd: told of events, it judges by its alarm, keeps findings, and reports them. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A Monday; far ahead, so that no alarm rings by itself. */
const START = Date.parse("2035-01-01T00:00:00.000Z");
const POLICY: WatchPolicy = { rules: [], plans: {} };
const ALL = 1_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});

afterEach(() => {
  vi.useRealTimers();
});

function openWatch(workspace = newWorkspace()) {
  const stub = env.WATCH.getByName(workspace);
  const api = watchOf(env.WATCH, workspace);
  return {
    workspace,
    stub,
    api,
    tell: (events: readonly UsageEvent[], policy = POLICY) => tellWatch(env.WATCH, workspace, events, policy),
    /** As the clock says, once; gives whether an alarm was set. */
    ring: () => runDurableObjectAlarm(stub),
    found: async (): Promise<readonly KeptFinding[]> => (await api.list({}, ALL, null)).data,
    sql: (query: string) => runInDurableObject(stub, (_watch, { storage: { sql } }) => sql.exec<Row>(query).toArray()),
  };
}

type Row = Record<string, string | number | null>;

/** Rings as often as it takes: a turn judges a part of one hour. */
async function settle(lab: Lab): Promise<void> {
  for (let turns = 0; turns < 60; turns++) {
    const at = await runInDurableObject(lab.stub, (_watch, { storage }) => storage.getAlarm());
    if (at === null || at > Date.now() + 1_000) return;
    await lab.ring();
  }
  throw new Error("the watch does not come to an end");
}

type Lab = ReturnType<typeof openWatch>;

/** An hour of one key, evenly over some minutes. */
function hourOfKey(keyId: string, hour: number, requests: number, changes: Partial<KeySighting> = {}): KeySighting[] {
  return [0, 15, 30, 45].map((minute) => ({
    keyId,
    environment: "live",
    minute: hour / 1_000 + minute * 60,
    requests: requests / 4,
    cost: requests / 4,
    limited: 0,
    failures: 0,
    errors: 0,
    testContext: 0,
    places: [{ country: "DE", asn: 64_500, network: "203.0.113.0/24", requests: requests / 4 }],
    ...changes,
  }));
}

/** Office hours for so many days, each hour told as it goes and judged when it is over. */
async function learn(lab: Lab, keyIds: readonly string[], days: number): Promise<void> {
  for (let hour = START; hour < START + days * DAY; hour += HOUR) {
    if ((hour / HOUR) % 24 < 8) continue;
    vi.setSystemTime(hour + 50 * MINUTE);
    await lab.api.observe({ keys: keyIds.flatMap((keyId) => hourOfKey(keyId, hour, 400)), networks: [] }, POLICY);
    vi.setSystemTime(hour + HOUR + SETTLED_AFTER_MS);
    await settle(lab);
  }
  vi.setSystemTime(START + days * DAY);
}

describe("a canary key", () => {
  test("is found within a minute of its first use, told to the alert center once, and again only while it goes on", async () => {
    const lab = openWatch();
    const registry = openRegistry(lab.workspace);
    const key = await created(registry, { tags: ["canary"], owner: "acme" });
    await lab.tell([usageEvent({ time: START + 1_000, keyId: key.id })]);
    vi.setSystemTime(START + MINUTE);
    expect(await lab.ring()).toBe(true);
    const [finding, ...more] = await lab.found();
    expect(more).toEqual([]);
    expect(finding).toMatchObject({
      kind: "canary_used",
      severity: "page",
      owner: "acme",
      subject: { type: "key", id: key.id },
      evidence: { requests: 1 },
      firstSeenAt: START + MINUTE,
    });
    const center = alertCenterOf(env, lab.workspace);
    const listed = await center.list({ kind: "canary_used" }, 10, null);
    if (!listed.ok) throw new Error(listed.error.detail);
    expect(listed.value.data).toHaveLength(1);
    expect(listed.value.data[0]).toMatchObject({
      kind: "canary_used",
      severity: "page",
      owner: "acme",
      state: "firing",
    });
    expect(await lab.sql("SELECT reported FROM finding")).toEqual([{ reported: 1 }]);
  });

  test("is found by the same row when the alarm runs twice and after the object was evicted", async () => {
    const lab = openWatch();
    const registry = openRegistry(lab.workspace);
    const key = await created(registry, { tags: ["canary"] });
    await lab.tell([usageEvent({ time: START + 1_000, keyId: key.id })]);
    vi.setSystemTime(START + MINUTE);
    await lab.ring();
    await lab.ring();
    await evictDurableObject(lab.stub);
    await lab.ring();
    vi.setSystemTime(START + HOUR + SETTLED_AFTER_MS);
    await lab.ring();
    const found = await lab.found();
    expect(found).toHaveLength(1);
    expect(found[0]?.evidence).toMatchObject({ requests: 1 });
  });

  test("says nothing where the policy has its detector off", async () => {
    const lab = openWatch();
    const registry = openRegistry(lab.workspace);
    const key = await created(registry, { tags: ["canary"], owner: "redteam" });
    const policy: WatchPolicy = { rules: [{ owner: "redteam", off: ["canary_used"] }], plans: {} };
    await lab.tell([usageEvent({ time: START + 1_000, keyId: key.id })], policy);
    vi.setSystemTime(START + MINUTE);
    await lab.ring();
    expect(await lab.found()).toEqual([]);
  });
});

describe("workspaces", () => {
  test("do not see each other's findings, and a finding is told to its own alert center alone", async () => {
    const one = openWatch();
    const other = openWatch();
    const key = await created(openRegistry(one.workspace), { tags: ["canary"] });
    await one.tell([usageEvent({ time: START + 1_000, keyId: key.id })]);
    await other.tell([usageEvent({ time: START + 1_000, keyId: key.id })]);
    vi.setSystemTime(START + MINUTE);
    await one.ring();
    await other.ring();
    expect(await one.found()).toHaveLength(1);
    // The other workspace's registry has no such key: nothing says that it is a canary.
    expect(await other.found()).toEqual([]);
    const listed = await alertCenterOf(env, other.workspace).list({}, 10, null);
    expect(listed).toMatchObject({ ok: true, value: { data: [] } });
  });
});

describe("keys tried from one network", () => {
  test("are found by how many different ones were refused, without a key's history", async () => {
    const lab = openWatch();
    const tried = Array.from({ length: 40 }, (_, credentialTag) => ({
      ...strangerEvent(START + 1_000),
      credentialTag,
    }));
    const again = Array.from({ length: 100 }, () => ({
      ...strangerEvent(START + 1_000),
      clientIp: "198.51.100.0/24",
      credentialTag: 7,
    }));
    await lab.tell([...tried, ...again]);
    vi.setSystemTime(START + MINUTE);
    await lab.ring();
    expect(await lab.found()).toMatchObject([
      {
        kind: "credential_stuffing",
        severity: "ticket",
        owner: null,
        subject: { type: "network", id: "203.0.113.0/24" },
        evidence: { keysRefused: 40, attempts: 40 },
      },
    ]);
  });
});

describe("a key with a past", () => {
  test("is silent while it does what it always did, and found when a new place uses it many times over", async () => {
    const lab = openWatch();
    const registry = openRegistry(lab.workspace);
    const { id } = await created(registry);
    await learn(lab, [id], 28);
    expect(await lab.found()).toEqual([]);
    const monday = START + 28 * DAY + 10 * HOUR;
    vi.setSystemTime(monday + 50 * MINUTE);
    const places = [{ country: "BR", asn: 64_999, network: "198.51.100.0/24", requests: 2_000 }];
    const thief = hourOfKey(id, monday, 8_000, { places });
    await lab.api.observe({ keys: [...hourOfKey(id, monday, 400), ...thief], networks: [] }, POLICY);
    vi.setSystemTime(monday + HOUR + SETTLED_AFTER_MS);
    await settle(lab);
    const kinds = (await lab.found()).map(({ kind, severity }) => [kind, severity]);
    expect(kinds).toContainEqual(["spike", "page"]);
  });

  test("is told by a dry run what other thresholds would have found, which changes nothing", async () => {
    const lab = openWatch();
    const registry = openRegistry(lab.workspace);
    const { id } = await created(registry);
    await learn(lab, [id], 28);
    const begin = START + 28 * DAY;
    // Two hours of three times the usual: below what is found by default.
    for (const hour of [10, 11]) {
      vi.setSystemTime(begin + hour * HOUR + 50 * MINUTE);
      await lab.api.observe({ keys: hourOfKey(id, begin + hour * HOUR, 1_200), networks: [] }, POLICY);
      vi.setSystemTime(begin + (hour + 1) * HOUR + SETTLED_AFTER_MS);
      await settle(lab);
    }
    expect(await lab.found()).toEqual([]);
    const query = { from: begin, to: begin + DAY, cursor: "" };
    const asItIs = await lab.api.dryRun({ ...query, changes: {} });
    expect(asItIs).toMatchObject({ findings: [], keys: 1, nextCursor: null });
    expect(asItIs.knownSince).not.toBeNull();
    const before = await lab.sql("SELECT state, recent FROM watched_key");
    const tighter = await lab.api.dryRun({ ...query, changes: { spike: { ratio: 2, overOwnWorst: 1 } } });
    expect(tighter.findings.map(({ kind, owner }) => [kind, owner])).toEqual([["spike", "acme"]]);
    expect(await lab.sql("SELECT state, recent FROM watched_key")).toEqual(before);
    expect(await lab.found()).toEqual([]);
  });

  test("keeps it over evictions between any two hours", async () => {
    const lab = openWatch();
    const { id } = await created(openRegistry(lab.workspace));
    for (let hour = START; hour < START + 6 * HOUR; hour += HOUR) {
      vi.setSystemTime(hour + 50 * MINUTE);
      await lab.api.observe({ keys: hourOfKey(id, hour, 400), networks: [] }, POLICY);
      await lab.ring();
      await evictDurableObject(lab.stub);
      vi.setSystemTime(hour + HOUR + SETTLED_AFTER_MS);
      await settle(lab);
      await evictDurableObject(lab.stub);
    }
    const rows = await lab.sql("SELECT hour, rows FROM key_hours ORDER BY hour");
    expect(rows.map((row) => row["hour"])).toEqual([0, 1, 2, 3, 4, 5].map((hour) => START / 1_000 + hour * 3_600));
    for (const row of rows) expect(row["rows"]).toContain(`["${id}",[${row["hour"] ?? ""},400,400,`);
    expect(await lab.api.status()).toMatchObject({ keys: 1, judgedUntil: START + 6 * HOUR });
  });
});

describe("bounds", () => {
  test("keys past those that find room are counted as unwatched, and events of judged hours as late", async () => {
    const lab = openWatch();
    const keys = Array.from({ length: MOST_KEYS + 3 }, (_, at) => hourOfKey(`key_${at}`, START, 4).slice(0, 1)).flat();
    await lab.api.observe({ keys, networks: [] }, POLICY);
    expect(await lab.api.status()).toMatchObject({ unwatched: 3, late: 0 });
    await lab.api.observe({ keys: hourOfKey("key_0", START - HOUR, 4), networks: [] }, POLICY);
    expect(await lab.api.status()).toMatchObject({ unwatched: 3, late: 4 });
  });

  test("an hour of many keys is judged in turns, each key once", async () => {
    const lab = openWatch();
    const keys = Array.from({ length: 450 }, (_, at) => hourOfKey(`key_${at}`, START, 4)).flat();
    await lab.api.observe({ keys, networks: [] }, POLICY);
    vi.setSystemTime(START + HOUR + SETTLED_AFTER_MS);
    let rings = 0;
    while ((await lab.api.status()).judgedUntil === START && rings < 10) {
      rings += 1;
      await lab.ring();
    }
    expect(rings).toBe(3);
    const rows = await lab.sql("SELECT rows FROM key_hours");
    const judged = rows.flatMap((row) => (JSON.parse(`${row["rows"] ?? ""}`) as [string][]).map(([keyId]) => keyId));
    expect(judged).toHaveLength(450);
    expect(new Set(judged).size).toBe(450);
  });

  test("the alarm falls silent once nothing was asked for a day", async () => {
    const lab = openWatch();
    await lab.api.observe({ keys: hourOfKey("key_a", START, 4), networks: [] }, POLICY);
    let rings = 0;
    for (let now = START + MINUTE; rings < 400; rings++) {
      vi.setSystemTime(now);
      if (!(await lab.ring())) break;
      const next = await runInDurableObject(lab.stub, (_watch, { storage }) => storage.getAlarm());
      if (next === null) break;
      expect(next).toBeGreaterThan(now);
      now = next;
    }
    // Each minute of the first hour, and each hour of the day after it.
    expect(rings).toBeLessThan(60 + 26);
    expect((await lab.api.status()).judgedUntil).toBeGreaterThanOrEqual(START + DAY);
  });
});

test("a batch is sighted as its events say, and a watch that fails takes nothing else with it", async () => {
  const lost = { getByName: () => ({ observe: () => Promise.reject(new Error("down")) }) };
  await expect(tellWatch(lost, "w", [usageEvent({ time: START })], POLICY)).resolves.toBeUndefined();
  expect(sightingsIn([usageEvent({ time: START })], () => 0).keys).toHaveLength(1);
});
