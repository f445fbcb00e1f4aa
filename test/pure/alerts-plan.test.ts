import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import { ALERT_KINDS, SEVERITIES } from "../../src/alerts/kinds.ts";
import type { AlertKind } from "../../src/alerts/kinds.ts";
import { MAX_ITEMS, textOf } from "../../src/alerts/message.ts";
import { MESSAGES_PER_WINDOW } from "../../src/alerts/plan.ts";
import { ALERTS_START as START, ONE_WEBHOOK, condition } from "../support/alert-makers.ts";
import { AlertWorld } from "../support/alert-world.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const KINDS = Object.keys(ALERT_KINDS).filter((kind): kind is AlertKind => kind !== "channel_failing");

const CHANNELS = {
  hook: { type: "webhook", urlFromEnv: "U", secretsFromEnv: ["S"] },
  chat: { type: "slack", urlFromEnv: "U" },
  pager: { type: "pagerduty", routingKeyFromEnv: "K" },
  owners: { type: "email", provider: "resend", tokenFromEnv: "T", from: "a@example.com", to: "owner" },
} as const satisfies AlertsConfig["channels"];

const severity = fc.constantFrom(...SEVERITIES);
const owner = fc.option(fc.constantFrom("a", "b", "c"));
const matcher = fc.record(
  { severities: fc.uniqueArray(severity, { minLength: 1 }), owners: fc.uniqueArray(fc.constantFrom("a", "b", "c")) },
  { requiredKeys: [] },
);
const config = fc.record({
  channels: fc.constant(CHANNELS),
  groupSeconds: fc.constantFrom(0, 30, 120),
  updateSeconds: fc.constantFrom(60, 300),
  routes: fc.array(
    fc.record({
      match: matcher,
      channels: fc.uniqueArray(fc.constantFrom("hook", "chat", "pager", "owners"), { minLength: 1 }),
      continue: fc.boolean(),
    }),
    { maxLength: 4 },
  ),
  defaultChannels: fc.uniqueArray(fc.constantFrom("hook", "chat", "pager", "owners")),
});

describe("a storm", () => {
  test("of 10,000 conditions at once, of as many owners, is at most 20 messages, with counts and the worst ten", () => {
    fc.assert(
      fc.property(config, fc.infiniteStream(severity), (routing, severities) => {
        const world = new AlertWorld(routing, START);
        for (let index = 0; index < 10_000; index++) {
          const { value } = severities.next();
          const name = `o${index}`;
          world.contacts.set(name, true);
          // Set, not reported one by one: looking each up among 10,000 is what the object's table is for.
          world.report(condition({ owner: name, severity: value ?? "page" }));
        }
        world.now += 10 * SECOND + routing.groupSeconds * SECOND;
        const told = world.tick();
        expect(told.length).toBeLessThanOrEqual(MESSAGES_PER_WINDOW);
        for (const message of told) {
          expect(message.items.length).toBeLessThanOrEqual(MAX_ITEMS);
          const counted = Object.values(message.counts).reduce((sum, count) => sum + count, 0);
          expect(message.items.length + message.more).toBe(counted);
        }
      }),
      { numRuns: 5 },
    );
  });

  test("to one channel is one message for each severity, and silence after it until somebody is to be reminded", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    for (let index = 0; index < 2_000; index++) {
      const worst = SEVERITIES[index % 3] ?? "page";
      world.report(condition({ owner: `o${index}`, severity: worst, kind: "idle_key_woke" }));
    }
    world.runUntil(START + HOUR);
    expect(world.messages.map((message) => [message.severity, message.counts.new, message.more])).toEqual([
      ["page", 667, 657],
      ["ticket", 667, 657],
      ["notice", 666, 656],
    ]);
  });

  test("of one owner and kind is one alert, which names some subjects and counts the rest", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 1_000; index++) world.report(condition({ subject: `key_${index}` }));
    }
    expect(world.alerts.size).toBe(1);
    world.runUntil(START + MINUTE);
    expect(world.messages).toHaveLength(1);
    const [item] = world.messages[0]?.items ?? [];
    expect(item?.subjects).toHaveLength(5);
    // By HyperLogLog: 995, give or take.
    expect(item?.moreSubjects).toBeGreaterThan(850);
    expect(item?.moreSubjects).toBeLessThan(1_150);
  });

  test("of one owner that goes on, with a thousand subjects reported each minute, is one message and no row a minute", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    const all = (): void => {
      for (let index = 0; index < 1_000; index++) world.report(condition({ subject: `key_${index}`, at: world.now }));
    };
    all();
    all();
    const before = world.active("acme", "spike");
    world.now += MINUTE;
    all();
    // The very same object: nothing to write.
    expect(world.active("acme", "spike")).toBe(before);
    world.runUntil(START + 3 * HOUR, all);
    expect(world.messages).toHaveLength(1);
  });

  test("that goes to owners reaches each of them, 20 in a window", () => {
    const world = new AlertWorld({ channels: CHANNELS, defaultChannels: ["owners"], updateSeconds: 60 }, START);
    for (let index = 0; index < 100; index++) {
      world.contacts.set(`o${index}`, true);
      world.report(condition({ owner: `o${index}`, severity: "notice", kind: "key_expiring" }));
    }
    world.runUntil(START + 10 * MINUTE);
    expect(new Set(world.messages.map((message) => message.owner)).size).toBe(100);
    expect(world.messages).toHaveLength(100);
    for (const message of world.messages) {
      const near = world.messages.filter(({ at }) => at > message.at - MINUTE && at <= message.at);
      expect(near.length).toBeLessThanOrEqual(MESSAGES_PER_WINDOW);
    }
  });
});

/** What happens in a random world, one entry a step. */
const step = fc.oneof(
  fc.record({ do: fc.constant("report"), owner, kind: fc.constantFrom(...KINDS), severity, subject: fc.nat(3) }),
  fc.record({ do: fc.constant("over"), owner, kind: fc.constantFrom(...KINDS), subject: fc.nat(3) }),
  fc.record({ do: fc.constantFrom("acknowledge", "resolve"), pick: fc.nat(20) }),
  fc.record({ do: fc.constant("wait"), minutes: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ do: fc.constant("silence"), matcher, minutes: fc.integer({ min: 1, max: 300 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function play(world: AlertWorld, steps: readonly Step[]): void {
  for (const name of ["a", "b", "c"]) world.contacts.set(name, name !== "c");
  for (const [index, of] of steps.entries()) {
    if ("minutes" in of && of.do === "wait") world.runUntil(world.now + of.minutes * MINUTE);
    else if ("matcher" in of)
      world.quiets.push({
        id: `sil_${index}`,
        type: "silence",
        matcher: of.matcher,
        startsAt: world.now,
        endsAt: world.now + of.minutes * MINUTE,
        reason: "",
        createdBy: "root",
        createdAt: world.now,
      });
    else if ("kind" in of)
      world.report(
        condition({
          kind: of.kind,
          owner: of.owner,
          subject: `s${of.subject}`,
          at: world.now,
          ...("severity" in of ? { severity: of.severity } : { over: true }),
        }),
      );
    else if ("pick" in of) {
      const alert = [...world.alerts.values()][of.pick];
      if (alert !== undefined && of.do === "acknowledge") world.acknowledge(alert);
      if (alert !== undefined && of.do === "resolve") world.resolve(alert);
    }
    world.tick();
  }
}

describe("in any order of events", () => {
  const worlds = fc.tuple(config, fc.array(step, { maxLength: 40 }));

  test("every alert that fires is told once as new to each destination, resolved after it and never before", () => {
    fc.assert(
      fc.property(worlds, ([routing, steps]) => {
        const world = new AlertWorld(routing, START);
        play(world, steps);
        // Long enough for every hold time, silence and window to end.
        world.runUntil(world.now + 4 * 24 * HOUR);
        const heard = new Map<string, string[]>();
        for (const message of world.messages) {
          for (const item of message.items) {
            const key = `${item.alertId} at ${message.channel}/${message.owner ?? ""}`;
            heard.set(key, [...(heard.get(key) ?? []), item.need]);
          }
        }
        for (const [key, needs] of heard) {
          expect([key, needs[0]]).toEqual([key, "new"]);
          expect([key, needs.filter((need) => need === "new")]).toEqual([key, ["new"]]);
          expect([key, needs.at(-1)]).toEqual([key, "resolved"]);
          expect([key, needs.filter((need) => need === "resolved")]).toEqual([key, ["resolved"]]);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("nothing is said of an alert while it is silenced", () => {
    fc.assert(
      fc.property(worlds, ([routing, steps]) => {
        const world = new AlertWorld(routing, START);
        play(world, steps);
        world.runUntil(world.now + 10 * HOUR);
        for (const message of world.messages) {
          for (const item of message.items) {
            const hides = world.quiets.some(
              ({ matcher: of, startsAt, endsAt }) =>
                startsAt <= message.at &&
                endsAt > message.at &&
                (of.severities?.includes(item.severity) ?? true) &&
                (of.owners === undefined || (item.owner !== null && of.owners.includes(item.owner))) &&
                // A silence that was made after the message of the same moment.
                startsAt < message.at,
            );
            expect(hides).toBe(false);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test("no more messages leave than a window allows, and the same events give the same messages", () => {
    fc.assert(
      fc.property(worlds, ([routing, steps]) => {
        const [world, twin] = [new AlertWorld(routing, START), new AlertWorld(routing, START)];
        play(world, steps);
        play(twin, steps);
        expect(twin.messages).toEqual(world.messages);
        for (const { at } of world.messages) {
          const near = world.messages.filter((of) => of.at <= at && of.at > at - routing.updateSeconds * SECOND);
          expect(near.length).toBeLessThanOrEqual(MESSAGES_PER_WINDOW);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("grouping", () => {
  test("what begins within 30 s is one message; what begins later waits for five minutes to have passed", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    world.report(condition({ owner: "a" }));
    world.runUntil(START + 20 * SECOND);
    world.report(condition({ owner: "b", at: world.now }));
    world.runUntil(START + 40 * SECOND);
    expect(world.messages.map(({ counts, at }) => [counts.new, at - START])).toEqual([[2, 30 * SECOND]]);
    world.report(condition({ owner: "c", at: world.now }));
    world.runUntil(START + 20 * MINUTE);
    expect(world.messages.map(({ counts, at }) => [counts.new, at - START])).toEqual([
      [2, 30 * SECOND],
      [1, 330 * SECOND],
    ]);
    // Those that were told, and are to be told again in a day, do not come along.
    expect(world.messages.map(({ items }) => items.length)).toEqual([2, 1]);
  });

  test("a page does not wait behind a notice", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    world.report(condition({ severity: "notice" }));
    world.runUntil(START + MINUTE);
    world.report(condition({ kind: "canary_used", severity: "page", at: world.now }));
    world.runUntil(START + 2 * MINUTE);
    expect(world.messages.map(({ severity: of, at }) => [of, at - START])).toEqual([
      ["notice", 30 * SECOND],
      ["page", 90 * SECOND],
    ]);
  });
});

describe("reminders", () => {
  const holding = (world: AlertWorld, severityOf: "page" | "ticket" | "notice") => () =>
    world.report(condition({ severity: severityOf, at: world.now }));

  test.each([
    ["page", 4],
    ["ticket", 24],
  ] as const)("a %s that nobody acknowledged is told again after %i h", (of, hours) => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    world.report(condition({ severity: of }));
    world.runUntil(START + hours * HOUR - MINUTE, holding(world, of));
    expect(world.messages).toHaveLength(1);
    world.runUntil(START + hours * HOUR + 2 * MINUTE, holding(world, of));
    expect(world.messages.map(({ counts }) => counts.still)).toEqual([0, 1]);
  });

  test("a notice is never told again, and nothing is once it is acknowledged", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    world.report(condition({ severity: "notice" }));
    const page = world.report(condition({ kind: "canary_used", severity: "page" }));
    world.runUntil(START + MINUTE);
    expect(world.messages).toHaveLength(2);
    if (page !== null) world.acknowledge(page);
    world.runUntil(START + 72 * HOUR, () => {
      world.report(condition({ severity: "notice", at: world.now }));
      world.report(condition({ kind: "canary_used", severity: "page", subject: `key_${world.now}`, at: world.now }));
    });
    expect(world.messages).toHaveLength(2);
  });

  test("what was acknowledged and gets worse is told at once", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    const ticket = world.report(condition());
    world.runUntil(START + MINUTE);
    if (ticket !== null) world.acknowledge(ticket);
    world.report(condition({ severity: "page", at: world.now }));
    world.runUntil(START + 3 * MINUTE);
    expect(world.messages.map(({ severity: of, counts }) => [of, counts.new, counts.changed])).toEqual([
      ["ticket", 1, 0],
      ["page", 0, 1],
    ]);
  });

  test("what was bad and is better is told of as what it is now", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    world.report(condition({ kind: "key_expiring", severity: "ticket", subject: "key_a", stage: 3 }));
    world.report(condition({ kind: "key_expiring", severity: "notice", subject: "key_b", stage: 1 }));
    world.runUntil(START + 20 * HOUR, () => {
      const at = world.now;
      world.report(condition({ kind: "key_expiring", severity: "notice", subject: "key_b", stage: 1, at }));
    });
    expect(world.active("acme", "key_expiring")).toMatchObject({
      severity: "notice",
      subjects: [{ subject: "key_b" }],
    });
    expect(world.messages).toHaveLength(1);
  });

  test("a later stage is told, the same stage again is not", () => {
    const world = new AlertWorld(ONE_WEBHOOK, START);
    const expiring = (stage: number) => condition({ kind: "key_expiring", severity: "notice", stage, at: world.now });
    world.report(expiring(1));
    world.runUntil(START + HOUR, () => world.report(expiring(1)));
    expect(world.messages).toHaveLength(1);
    world.report(expiring(2));
    world.runUntil(START + 2 * HOUR, () => world.report(expiring(2)));
    expect(world.messages.map(({ counts }) => counts.changed)).toEqual([0, 1]);
  });
});

describe("incidents", () => {
  const PAGER: AlertsConfig = { channels: { pager: CHANNELS.pager }, defaultChannels: ["pager"] };

  test("what was told together is one incident, acknowledged and resolved when all of it is", () => {
    const world = new AlertWorld(PAGER, START);
    const [one, two] = [world.report(condition({ owner: "a" })), world.report(condition({ owner: "b" }))];
    world.runUntil(START + MINUTE);
    if (one === null || two === null) throw new Error("nothing fires");
    world.acknowledge(one);
    world.runUntil(START + 10 * MINUTE);
    expect(world.messages.map(({ action }) => action)).toEqual(["trigger"]);
    world.acknowledge(two);
    world.runUntil(START + 20 * MINUTE);
    world.resolve(one);
    world.runUntil(START + 30 * MINUTE);
    world.resolve(two);
    world.runUntil(START + 40 * MINUTE);
    expect(world.messages.map(({ action }) => action)).toEqual(["trigger", "acknowledge", "resolve"]);
    expect(new Set(world.messages.map(({ incident }) => incident))).toEqual(new Set([world.messages[0]?.id]));
  });
});

test("a message names the evidence and the runbook of each alert", () => {
  const world = new AlertWorld({ ...ONE_WEBHOOK, runbookUrl: "https://wiki.example.com/latchkey" }, START);
  world.report(condition());
  world.runUntil(START + MINUTE);
  const text = world.messages.map(textOf).join("\n");
  expect(text).toContain("https://keys.example.com/_latchkey/keys/key_a?from=2026-11-24T11:00:00Z");
  expect(text).toContain("https://wiki.example.com/latchkey#alert-spike");
});
