import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  MAX_ACTIVE_ALERTS,
  MAX_CONDITIONS,
  MAX_PENDING_PER_CHANNEL,
} from "../../durable-objects/alert-center/bounds.ts";
import type { Condition } from "../../src/alerts/condition.ts";
import { settingsOf } from "../../src/alerts/config.ts";
import { MESSAGES_PER_WINDOW } from "../../src/alerts/plan.ts";
import { AS_ROOT, HOOK_AND_DEAD, openAlerts, receive } from "../support/alert-lab.ts";
import { condition } from "../support/alert-makers.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

beforeEach(() => {
  for (const level of ["warn", "error"] as const) vi.spyOn(console, level).mockImplementation(() => {});
  vi.useFakeTimers({ toFake: ["Date"], now: Math.ceil(Date.now() / HOUR) * HOUR });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const later = (ms: number): void => void vi.setSystemTime(Date.now() + ms);
const now = (change: Partial<Condition> = {}): Condition => condition({ at: Date.now(), ...change });

describe("a condition", () => {
  test("is told once, however often it is reported, over evictions and alarms that run twice", async () => {
    const sent = receive();
    const alerts = openAlerts();
    await alerts.report([now()]);
    await alerts.report([now()]);
    await alerts.evict();
    later(31 * SECOND);
    await alerts.alarm();
    await alerts.evict();
    await alerts.report([now()]);
    await alerts.alarm();
    await alerts.alarm();
    expect(sent).toHaveLength(1);
    expect(JSON.parse(sent[0]?.body ?? "")).toMatchObject({
      type: "alerts.notify",
      data: { workspace: alerts.workspace, counts: { new: 1 }, items: [{ kind: "spike", owner: "acme" }] },
    });
    const listed = await alerts.api.list({}, 10, null);
    expect(listed).toMatchObject({ ok: true, value: { data: [{ state: "firing", owner: "acme" }], nextCursor: null } });
  });

  test("that nobody reports any longer is over after its kind's hold time, and that is told", async () => {
    const sent = receive();
    const alerts = openAlerts();
    await alerts.report([now()]);
    later(MINUTE);
    await alerts.alarm();
    await alerts.evict();
    later(HOUR);
    await alerts.alarm();
    later(10 * MINUTE);
    await alerts.alarm();
    expect(sent.map(({ body }) => JSON.parse(body).data.counts)).toMatchObject([{ new: 1 }, { resolved: 1 }]);
    expect(await alerts.api.list({ state: "resolved" }, 10, null)).toMatchObject({
      value: { data: [{ resolved: { by: "system" } }] },
    });
  });

  test("that comes a second time after it was over, with its old time, changes nothing", async () => {
    receive();
    const alerts = openAlerts();
    const first = now();
    await alerts.report([first]);
    later(SECOND);
    await alerts.report([now({ over: true })]);
    await alerts.report([first]);
    expect(await alerts.api.list({ state: "firing" }, 10, null)).toMatchObject({ value: { data: [] } });
  });

  test("that is not sound is refused by itself, with the member that is not", async () => {
    const alerts = openAlerts();
    const bad = [
      now({ owner: "no owner" }),
      now({ evidence: { path: "https://elsewhere.example/", numbers: {} } }),
      now({ kind: "nothing" as never }),
    ];
    const reported = await alerts.report([...bad, now()]);
    expect(reported).toEqual({
      accepted: 1,
      refused: [
        { index: 0, member: "owner" },
        { index: 1, member: "evidence.path" },
        { index: 2, member: "kind" },
      ],
    });
  });

  test("never brings what looks like a key or a token into an alert, its message or the log of deliveries", async () => {
    const sent = receive();
    const alerts = openAlerts();
    const key = `lk_live_${"A1b2".repeat(8)}000000`;
    await alerts.report([
      now({ summary: `Seen: ${key}, Bearer ${"x".repeat(40)}`, subject: key }),
      now({ owner: key.slice(0, 60) }),
    ]);
    later(MINUTE);
    await alerts.alarm();
    const stored = JSON.stringify([
      await alerts.sql("SELECT * FROM alerts"),
      await alerts.sql("SELECT * FROM deliveries"),
      sent,
    ]);
    expect(sent).toHaveLength(1);
    expect(stored).toContain("[redacted]");
    expect(stored).not.toContain("A1b2");
    expect(stored).not.toContain("xxxxxxxx");
    expect(stored).not.toContain("wwww");
  });
});

test("10,000 conditions at once are at most 20 messages, a bounded table, and nothing that grows without end", async () => {
  const sent = receive();
  const alerts = openAlerts();
  for (let batch = 0; batch < 10_000 / MAX_CONDITIONS; batch++) {
    await alerts.report(
      Array.from({ length: MAX_CONDITIONS }, (_, index) => now({ owner: `o${batch * MAX_CONDITIONS + index}` })),
    );
  }
  later(MINUTE);
  await alerts.alarm();
  later(10 * MINUTE);
  await alerts.alarm();
  expect(sent.length).toBeLessThanOrEqual(MESSAGES_PER_WINDOW);
  expect(sent).toHaveLength(1);
  const [rows] = await alerts.sql("SELECT count(*) AS n FROM alerts");
  expect(rows?.["n"]).toBe(MAX_ACTIVE_ALERTS + 1);
  expect(JSON.parse(sent[0]?.body ?? "").data.counts.new).toBe(MAX_ACTIVE_ALERTS + 1);
});

test("workspaces have alerts of their own", async () => {
  const sent = receive();
  const [one, other] = [openAlerts(), openAlerts()];
  await one.report([now({ summary: "Of the first." })]);
  await other.report([now({ owner: "other", summary: "Of the second." })]);
  later(MINUTE);
  await one.alarm();
  expect(sent).toHaveLength(1);
  expect(sent[0]?.body).not.toContain("second");
  expect(await other.api.list({ owner: "acme" }, 10, null)).toMatchObject({ value: { data: [] } });
});

describe("silences", () => {
  const silence = (alerts: ReturnType<typeof openAlerts>, ms: number) =>
    alerts.api.addQuiet(
      {
        id: `sil_${crypto.randomUUID()}`,
        type: "silence",
        matcher: { owners: ["acme"] },
        startsAt: Date.now(),
        endsAt: Date.now() + ms,
        reason: "r",
      },
      AS_ROOT,
    );

  test("hold over an eviction, and what still fires at their end is told then", async () => {
    const sent = receive();
    const alerts = openAlerts();
    await silence(alerts, HOUR);
    await alerts.report([now({ kind: "canary_used", severity: "page" })]);
    await alerts.evict();
    later(MINUTE);
    await alerts.alarm();
    expect(sent).toHaveLength(0);
    expect(await alerts.api.list({ state: "silenced" }, 10, null)).toMatchObject({
      value: { data: [{ state: "silenced", quiet: { type: "silence" } }] },
    });
    later(HOUR);
    await alerts.alarm();
    expect(sent).toHaveLength(1);
  });

  test("that are ended let the next alarm speak", async () => {
    const sent = receive();
    const alerts = openAlerts();
    const made = await silence(alerts, DAY);
    if (!made.ok) throw new Error(made.error.detail);
    await alerts.report([now({ kind: "canary_used", severity: "page" })]);
    later(MINUTE);
    await alerts.api.endQuiet("silence", made.value.value.id, AS_ROOT);
    await alerts.alarm();
    expect(sent).toHaveLength(1);
  });
});

describe("writes", () => {
  test("that are repeated with their key give the first answer, and another request with it is a conflict", async () => {
    receive();
    const alerts = openAlerts();
    await alerts.report([now()]);
    const listed = await alerts.api.list({}, 1, null);
    const id = listed.ok ? (listed.value.data[0]?.id ?? "") : "";
    const write = { by: "root", idempotency: { key: "root/1", fingerprint: "f" } };
    const first = await alerts.api.acknowledge(id, write);
    await alerts.api.resolve(id, AS_ROOT);
    const again = await alerts.api.acknowledge(id, write);
    expect(first).toMatchObject({ ok: true, value: { replayed: false, value: { state: "acknowledged" } } });
    expect(again).toMatchObject({ ok: true, value: { replayed: true, value: { state: "acknowledged" } } });
    expect(
      await alerts.api.acknowledge(id, { ...write, idempotency: { key: "root/1", fingerprint: "g" } }),
    ).toMatchObject({
      error: { code: "idempotency_conflict" },
    });
    expect(await alerts.api.acknowledge(id, AS_ROOT)).toMatchObject({ error: { code: "conflict" } });
    expect(await alerts.api.acknowledge("alt_none", AS_ROOT)).toMatchObject({ error: { code: "not_found" } });
    const shown = await alerts.api.get(id);
    expect(shown?.history.map(({ event, by }) => [event, by])).toEqual([
      ["began", "system"],
      ["acknowledged", "root"],
      ["resolved", "root"],
    ]);
  });
});

describe("a channel", () => {
  const both = { ...HOOK_AND_DEAD, defaultChannels: ["dead", "hook"] };
  const isDead = (url: string) => url.includes("dead.example.com");

  test("that does not answer delays itself alone", async () => {
    let release: (() => void) | undefined;
    const stuck = new Promise<void>((resolve) => {
      release = resolve;
    });
    const sent = receive(async ({ url }) => {
      if (isDead(url)) await stuck;
      return new Response("ok");
    });
    const alerts = openAlerts(both);
    await alerts.report([now()]);
    later(MINUTE);
    await alerts.alarm();
    await alerts.report([now({ kind: "canary_used", severity: "page", owner: "b" })]);
    later(MINUTE);
    await alerts.alarm();
    // Two wait for the dead one by now, and nobody is woken for them again and again.
    expect(await alerts.alarmAt()).toBeGreaterThan(Date.now());
    expect(sent.filter(({ url }) => !isDead(url))).toHaveLength(2);
    expect(sent.filter(({ url }) => isDead(url))).toHaveLength(1);
    release?.();
    await vi.waitFor(async () => {
      expect(await alerts.api.listDeliveries({ state: "pending" }, 10, null)).toMatchObject({ value: { data: [] } });
    });
  });

  test("that fails is tried again, is told of on another one after an hour, and gets all that waited when it works", async () => {
    let works = false;
    const sent = receive(({ url }) => new Response(null, { status: isDead(url) && !works ? 503 : 200 }));
    const alerts = openAlerts(both);
    await alerts.report([now({ kind: "key_stale", severity: "notice" })]);
    for (let minute = 0; minute < 100; minute++) {
      later(MINUTE);
      await alerts.alarm();
    }
    const told = sent.filter(({ url }) => !isDead(url)).map(({ body }) => JSON.parse(body).data.items[0].kind);
    expect(told).toEqual(["key_stale", "channel_failing"]);
    expect(await alerts.api.listDeliveries({ channel: "dead" }, 10, null)).toMatchObject({
      value: { data: [{ state: "pending", lastStatus: 503, lastError: "answered 503" }] },
    });
    works = true;
    // The next message to it finds out, and what waited for hours more does not wait any longer.
    await alerts.report([now({ owner: "b" })]);
    for (let minute = 0; minute < 10; minute++) {
      later(MINUTE);
      await alerts.alarm();
    }
    const deliveries = await alerts.api.listDeliveries({ channel: "dead" }, 10, null);
    const states = deliveries.ok ? deliveries.value.data.map(({ state, lastStatus }) => [state, lastStatus]) : [];
    expect(states).toEqual([
      ["delivered", 200],
      ["delivered", 200],
    ]);
    expect(await alerts.api.list({ kind: "channel_failing" }, 10, null)).toMatchObject({
      value: { data: [{ state: "resolved" }] },
    });
  });

  test("that never works is given up after three days, without a message to itself or a loop", async () => {
    const sent = receive(() => new Response(null, { status: 500 }));
    const alerts = openAlerts({ ...HOOK_AND_DEAD, defaultChannels: ["dead"] });
    await alerts.report([now({ kind: "key_stale", severity: "notice" })]);
    for (let hour = 0; hour < 100; hour++) {
      later(HOUR);
      await alerts.alarm();
    }
    const deliveries = await alerts.api.listDeliveries({}, 100, null);
    if (!deliveries.ok) throw new Error("no deliveries");
    const kinds = deliveries.value.data.flatMap(({ message }) => message.items.map(({ kind }) => kind));
    expect(new Set(kinds)).toEqual(new Set(["key_stale"]));
    // The alert began and ended; both were tried to the end.
    expect(deliveries.value.data.map(({ state }) => state)).toEqual(["failed", "failed"]);
    expect(sent.length).toBeLessThanOrEqual(2 * 11);
  });

  test("whose message is cut off with the object gets it again", async () => {
    let cut = true;
    const sent = receive(() => {
      if (cut) throw new Error("cut off");
      return new Response("ok");
    });
    const alerts = openAlerts();
    await alerts.report([now()]);
    later(MINUTE);
    await alerts.alarm();
    await alerts.evict();
    cut = false;
    later(MINUTE);
    await alerts.alarm();
    expect(sent.length).toBeGreaterThan(1);
    expect(new Set(sent.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(await alerts.api.listDeliveries({}, 10, null)).toMatchObject({ value: { data: [{ state: "delivered" }] } });
  });

  test("that refuses a message goes on with the others, and a delivery can be replayed", async () => {
    let refuses = true;
    const sent = receive(() => new Response(null, { status: refuses ? 400 : 204 }));
    const alerts = openAlerts();
    await alerts.report([now()]);
    later(MINUTE);
    await alerts.alarm();
    refuses = false;
    await alerts.report([now({ kind: "canary_used", severity: "page" })]);
    later(31 * SECOND);
    await alerts.alarm();
    const listed = await alerts.api.listDeliveries({ state: "delivered" }, 1, null);
    const id = listed.ok ? (listed.value.data[0]?.id ?? "") : "";
    const before = sent.length;
    expect(await alerts.api.replay(id, AS_ROOT)).toMatchObject({ ok: true, value: { value: { replayOf: id } } });
    await alerts.alarm();
    expect(sent.length).toBe(before + 1);
    expect(sent.at(-1)?.headers["webhook-id"]).toBe(listed.ok ? listed.value.data[0]?.message.id : "");
  });

  test("that answers 410 gets nothing more of that message, and redirects are not followed", async () => {
    const sent = receive(() => new Response(null, { status: 410 }));
    const alerts = openAlerts();
    await alerts.report([now()]);
    later(MINUTE);
    await alerts.alarm();
    expect(await alerts.api.listDeliveries({}, 10, null)).toMatchObject({
      value: { data: [{ state: "failed", lastStatus: 410 }] },
    });
    vi.restoreAllMocks();
    const moved = receive(() => new Response(null, { status: 302, headers: { location: "http://127.0.0.1/" } }));
    const other = openAlerts();
    await other.report([now()]);
    later(MINUTE);
    await other.alarm();
    expect(moved).toHaveLength(1);
    expect(sent).toHaveLength(1);
    expect(await other.api.listDeliveries({}, 10, null)).toMatchObject({
      value: { data: [{ state: "pending", lastStatus: 302 }] },
    });
  });

  test("that thinks in incidents never hears of one that was over before it could be told", async () => {
    let works = false;
    const sent = receive(() => new Response(null, { status: works ? 202 : 500 }));
    const alerts = openAlerts({
      channels: { oncall: { type: "pagerduty", routingKeyFromEnv: "TEST_HOOK_SECRET" } },
      defaultChannels: ["oncall"],
      updateSeconds: 60,
    });
    await alerts.report([now({ kind: "canary_used", severity: "page" })]);
    later(MINUTE);
    await alerts.alarm();
    await alerts.report([now({ kind: "canary_used", severity: "page", over: true })]);
    later(2 * MINUTE);
    works = true;
    await alerts.alarm();
    later(5 * MINUTE);
    await alerts.alarm();
    const listed = await alerts.api.listDeliveries({}, 10, null);
    const outcomes = listed.ok ? listed.value.data.map(({ message, state }) => [message.action, state]) : [];
    expect(outcomes).toEqual([
      ["resolve", "delivered"],
      ["trigger", "dropped"],
    ]);
    // The trigger was tried once, and may have arrived: its end is sent all the same, and nothing after it.
    expect(sent.map(({ body }) => JSON.parse(body).event_action)).toEqual(["trigger", "resolve"]);
  });

  test("that is down for long keeps 200 messages, and drops the oldest", async () => {
    receive(() => new Response(null, { status: 500 }));
    const alerts = openAlerts();
    for (let index = 0; index < MAX_PENDING_PER_CHANNEL + 3; index++) {
      await alerts.api.testChannel("hook", null, settingsOf(HOOK_AND_DEAD), AS_ROOT);
    }
    const counted = await alerts.sql("SELECT state, count(*) AS n FROM deliveries GROUP BY state ORDER BY state");
    expect(counted).toEqual([
      { state: "dropped", n: 3 },
      { state: "pending", n: MAX_PENDING_PER_CHANNEL },
    ]);
    expect(await alerts.sql("SELECT max(seq) AS seq FROM deliveries WHERE state = 'dropped'")).toEqual([{ seq: 3 }]);
  });

  test("whose variable is missing or leads into a private network gets nothing, and the log says why without the address", async () => {
    const sent = receive();
    const alerts = openAlerts({
      channels: {
        gone: { type: "slack", urlFromEnv: "TEST_NO_SUCH" },
        inside: { type: "slack", urlFromEnv: "LATCHKEY_UPSTREAM_URL" },
      },
      defaultChannels: ["gone", "inside"],
    });
    await alerts.report([now()]);
    later(MINUTE);
    await alerts.alarm();
    expect(sent).toHaveLength(0);
    const listed = await alerts.api.listDeliveries({}, 10, null);
    const errors = listed.ok ? listed.value.data.map(({ lastError }) => lastError) : [];
    expect(new Set(errors)).toEqual(
      new Set(["the channel's URL must be https", "the variable TEST_NO_SUCH is not set"]),
    );
  });
});

test("the alarm stands for the next thing to do after an eviction, too", async () => {
  receive();
  const alerts = openAlerts();
  await alerts.report([now()]);
  const at = await alerts.alarmAt();
  expect(at).toBe(Date.now() + 30 * SECOND);
  await alerts.evict();
  await alerts.report([now({ owner: "later" })]);
  expect(await alerts.alarmAt()).toBe(at);
});

test("what is past its time is deleted", async () => {
  receive();
  const alerts = openAlerts();
  await alerts.report([now()]);
  later(MINUTE);
  await alerts.alarm();
  await alerts.report([now({ over: true })]);
  later(10 * MINUTE);
  await alerts.alarm();
  later(31 * DAY);
  await alerts.report([now({ owner: "new" })]);
  await alerts.alarm();
  const counts = await alerts.sql(
    "SELECT (SELECT count(*) FROM alerts) AS alerts, (SELECT count(*) FROM history) AS history, (SELECT count(*) FROM deliveries WHERE state <> 'pending') AS deliveries",
  );
  expect(counts).toEqual([{ alerts: 1, history: 1, deliveries: 0 }]);
});
