import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { readUsageQuery, toUsageAnswer } from "../../src/usage/query.ts";
import { DEFAULT_RETENTION, type Retention } from "../../src/usage/retention.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** Days and months of time zones, and how long sums are kept where the deployment says so. */

const START = Date.parse("2026-09-28T00:10:00.000Z");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let count = 0;

function newLedger() {
  const name = `periods-test-${++count}/0`;
  return { stub: env.USAGE_LEDGER.getByName(name), ledger: ledgerByName(env.USAGE_LEDGER, name) };
}

type Ledger = ReturnType<typeof newLedger>["ledger"];

async function ask(ledger: Ledger, parameters: Record<string, string>) {
  const query = readUsageQuery(new URLSearchParams(parameters), Date.now());
  if (!query.ok) throw new Error(query.error.detail);
  const answer = await ledger.query(query.value);
  return answer.ok ? toUsageAnswer(query.value, answer.value) : answer.error;
}

/** An event each seven hours and some, with a cost that tells it from the others. */
async function fill(ledger: Ledger, days: number, retention?: Retention): Promise<ReadonlyMap<number, number>> {
  const events = new Map<number, number>();
  let cost = 1;
  for (let time = START; time < START + days * DAY; time += 7 * HOUR + 11 * 60_000) {
    vi.setSystemTime(time + 1_000);
    const { batchId, events: of } = usageBatch([usageEvent({ time, cost })], time);
    await ledger.ingest([{ batchId, events: of }], retention);
    events.set(time, cost);
    cost += 1;
  }
  return events;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});

afterEach(() => {
  vi.useRealTimers();
});

describe("billing periods", () => {
  test.each(["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland"])(
    "each day and month of %s has what happened in it, over a change of the clocks, summed or not",
    async (timeZone) => {
      const { ledger, stub } = newLedger();
      const events = await fill(ledger, 60);
      await runDurableObjectAlarm(stub);
      await evictDurableObject(stub);
      const now = Date.now();
      for (const [granularity, characters] of [
        ["day", 10],
        ["month", 7],
      ] as const) {
        const from = new Date(START - 5 * HOUR).toISOString();
        const answer = await ask(ledger, { granularity, timeZone, from, to: new Date(now + HOUR).toISOString() });
        if (!("series" in answer)) throw new Error(answer.detail);
        const date = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" });
        const named = (time: number): string => date.format(time).slice(0, characters);
        const expected = new Map<string, number>();
        for (const [time, cost] of events) expected.set(named(time), (expected.get(named(time)) ?? 0) + cost);
        const got = answer.series.map(({ start, cost }) => [named(Date.parse(start)), cost]);
        expect(got).toEqual([...expected]);
      }
    },
  );

  test("days that begin in the middle of an hour are told while minutes are kept, and then refused in words", async () => {
    const { ledger } = newLedger();
    const events = await fill(ledger, 5);
    const now = Date.now();
    const timeZone = "Asia/Kolkata";
    const from = new Date(now - 40 * HOUR).toISOString();
    const answer = await ask(ledger, { granularity: "day", timeZone, from });
    if (!("series" in answer)) throw new Error(answer.detail);
    const lately = [...events].filter(([time]) => time >= now - 40 * HOUR);
    expect(answer.totals.cost).toBe(lately.reduce((sum, [, cost]) => sum + cost, 0));
    const older = await ask(ledger, { granularity: "day", timeZone, from: new Date(now - 4 * DAY).toISOString() });
    expect(older).toMatchObject({ parameter: "timeZone", detail: expect.stringContaining("48 hours") });
  });
});

describe("retention", () => {
  const SHORT: Retention = { minuteHours: 24, hourDays: 7, dayMonths: 1 };

  test("what is past the deployment's own retention is deleted, and said", async () => {
    const { ledger, stub } = newLedger();
    await fill(ledger, 45, SHORT);
    await runDurableObjectAlarm(stub);
    const now = Date.now();
    const at = (ms: number) => new Date(now - ms).toISOString();
    expect(await ask(ledger, { granularity: "minute", from: at(30 * HOUR) })).toMatchObject({
      detail: expect.stringContaining("24 hours"),
    });
    expect(await ask(ledger, { granularity: "hour", from: at(9 * DAY) })).toMatchObject({
      detail: expect.stringContaining("7 days"),
    });
    const days = await ask(ledger, { granularity: "day", from: at(45 * DAY) });
    if (!("series" in days)) throw new Error(days.detail);
    expect(Date.parse(days.series[0]?.start ?? "")).toBeGreaterThanOrEqual(now - 32 * DAY);
  });

  test("a longer one holds from when it was set: what is gone is not answered with sums that lack it", async () => {
    const { ledger, stub } = newLedger();
    await fill(ledger, 10, SHORT);
    await runDurableObjectAlarm(stub);
    const event = usageEvent({ time: Date.now() });
    const { batchId, events } = usageBatch([event], Date.now());
    await ledger.ingest([{ batchId, events }], DEFAULT_RETENTION);
    const from = new Date(Date.now() - 40 * HOUR).toISOString();
    expect(await ask(ledger, { granularity: "minute", from })).toMatchObject({ parameter: "from" });
    vi.setSystemTime(Date.now() + 20 * HOUR);
    const later = await ask(ledger, { granularity: "minute", from: new Date(Date.now() - 40 * HOUR).toISOString() });
    expect(later).toHaveProperty("series");
  });

  test("who does not say changes nothing, and saying it again writes nothing", async () => {
    const { ledger } = newLedger();
    const ingest = async (retention?: Retention): Promise<number> => {
      const { batchId, events } = usageBatch([usageEvent({ time: Date.now() })], Date.now());
      return (await ledger.ingest([{ batchId, events }], retention)).rowsWritten;
    };
    const first = await ingest(SHORT);
    const again = await ingest(SHORT);
    const silent = await ingest();
    expect(first).toBeGreaterThan(again);
    expect(silent).toBe(again);
  });
});
