import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { UsageBatch } from "../../src/usage/event.ts";
import type { UsageQuery } from "../../src/usage/query.ts";
import { toUsageAnswer } from "../../src/usage/query.ts";
import { strangerEvent, usageBatch, usageEvent } from "../support/usage-makers.ts";

const START = Date.parse("2026-10-05T10:20:30.000Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let count = 0;

/** A ledger of its own for each test. */
function newLedger() {
  const name = `ledger-test-${++count}/0`;
  return { name, stub: env.USAGE_LEDGER.getByName(name), ledger: ledgerByName(env.USAGE_LEDGER, name) };
}

async function ask(ledger: ReturnType<typeof ledgerByName>, changes: Partial<UsageQuery> = {}) {
  const now = Date.now();
  const query: UsageQuery = {
    from: now - DAY,
    to: now + MINUTE,
    granularity: "hour",
    groupBy: [],
    filters: {},
    ...changes,
  };
  const answer = await ledger.query(query);
  if (!answer.ok) throw new Error(answer.error.detail);
  return toUsageAnswer(query, answer.value);
}

function part({ batchId, events }: UsageBatch) {
  return { batchId, events };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the usage ledger", () => {
  test("counts a batch once, however often it comes, across evictions too", async () => {
    const { ledger, stub } = newLedger();
    const batch = part(usageBatch([usageEvent({ time: START, cost: 5 }), strangerEvent(START)], START));
    expect((await ledger.ingest([batch, batch])).outcomes).toEqual(["ingested", "duplicate"]);
    await evictDurableObject(stub);
    expect((await ledger.ingest([batch])).outcomes).toEqual(["duplicate"]);
    const { totals } = await ask(ledger);
    expect(totals).toMatchObject({
      requests: 2,
      allowed: 1,
      refused: 1,
      cost: 5,
      bytesIn: 20,
      bytesOut: 200,
      averageLatencyMs: 12,
    });
  });

  test("refuses to count a batch that is too old to be known", async () => {
    const { ledger } = newLedger();
    const batch = part(usageBatch([usageEvent({ time: START })], START));
    await ledger.ingest([batch]);
    vi.setSystemTime(START + 11 * DAY);
    expect((await ledger.ingest([batch])).outcomes).toEqual(["forgotten"]);
    expect((await ask(ledger, { from: START - DAY, granularity: "day" })).totals.requests).toBe(1);
  });

  test("late events land in their own minute, also after that hour and day were summed", async () => {
    const { ledger, stub } = newLedger();
    await ledger.ingest([part(usageBatch([usageEvent({ time: START })], START))]);
    for (const later of [2 * HOUR, 26 * HOUR]) {
      const now = START + later;
      vi.setSystemTime(now);
      await evictDurableObject(stub);
      await ledger.ingest([part(usageBatch([usageEvent({ time: START + 1_000 })], now))]);
    }
    const minute = { start: "2026-10-05T10:20:00.000Z", requests: 3 };
    const range = { from: START - HOUR, to: START + 27 * HOUR };
    expect((await ask(ledger, { ...range, granularity: "minute" })).series).toMatchObject([minute]);
    expect((await ask(ledger, { ...range, granularity: "hour" })).series).toMatchObject([
      { start: "2026-10-05T10:00:00.000Z", requests: 3 },
    ]);
    const days = await ask(ledger, { from: START - DAY, to: START + 27 * HOUR, granularity: "day" });
    expect(days.series).toMatchObject([{ start: "2026-10-05T00:00:00.000Z", requests: 3 }]);
  });

  test("an hour cut in two by the range counts only what lies within", async () => {
    const { ledger } = newLedger();
    const hour = Math.floor(START / HOUR) * HOUR;
    const events = [5, 25, 45].map((minutes) => usageEvent({ time: hour - 2 * HOUR + minutes * MINUTE }));
    await ledger.ingest([part(usageBatch(events, START))]);
    const cut = await ask(ledger, { from: hour - 2 * HOUR + 20 * MINUTE, to: hour - 2 * HOUR + 40 * MINUTE });
    expect(cut.totals.requests).toBe(1);
    expect(cut.series).toMatchObject([{ start: new Date(hour - 2 * HOUR).toISOString(), requests: 1 }]);
    expect(cut.from).toBe(new Date(hour - 2 * HOUR + 20 * MINUTE).toISOString());
  });

  test("groups and filters by each name of the contract", async () => {
    const { ledger } = newLedger();
    const events = [
      usageEvent({ time: START, keyId: "key_a", owner: "acme", country: "DE", cost: 5 }),
      usageEvent({
        time: START,
        keyId: "key_b",
        owner: "acme",
        country: "FR",
        status: 429,
        code: "rate_limited",
        cost: 0,
      }),
      usageEvent({ time: START, keyId: "key_c", owner: "bolt", country: null, route: "/charges", status: 500 }),
      strangerEvent(START),
    ];
    await ledger.ingest([part(usageBatch(events, START))]);
    const byOwner = await ask(ledger, { groupBy: ["owner"] });
    expect(byOwner.series.map(({ owner, requests, cost }) => [owner, requests, cost])).toEqual([
      [null, 1, 0],
      ["acme", 2, 5],
      ["bolt", 1, 1],
    ]);
    const byKeyAndStatus = await ask(ledger, { groupBy: ["key", "status"], filters: { owner: ["acme"] } });
    expect(byKeyAndStatus.series.map(({ key, status }) => [key, status])).toEqual([
      ["key_a", 200],
      ["key_b", 429],
    ]);
    expect((await ask(ledger, { filters: { status: ["429"] } })).totals.refused).toBe(1);
    expect((await ask(ledger, { filters: { code: ["allowed"], route: ["/charges"] } })).totals.requests).toBe(1);
    expect((await ask(ledger, { filters: { country: ["FR", ""] } })).totals.requests).toBe(2);
    expect((await ask(ledger, { filters: { key: [""] } })).totals.requests).toBe(1);
    expect((await ask(ledger, { filters: { key: ["key_a' OR 1=1 --"] } })).totals.requests).toBe(0);
    expect((await ask(ledger, { filters: { lineage: ["lin_a"], environment: ["live"] } })).totals.requests).toBe(3);
  });

  test("an answer of 10,000 rows is given, one more is refused with a way out", async () => {
    const { ledger } = newLedger();
    const events = (from: number, to: number) =>
      Array.from({ length: to - from }, (_none, index) => usageEvent({ time: START, keyId: `key_${from + index}` }));
    for (let at = 0; at < 10_000; at += 2_500) await ledger.ingest([part(usageBatch(events(at, at + 2_500), START))]);
    const now = Date.now();
    const query: UsageQuery = {
      from: now - HOUR,
      to: now + MINUTE,
      granularity: "hour",
      groupBy: ["key"],
      filters: {},
    };
    const full = await ledger.query(query);
    expect(full.ok && full.value.points.length).toBe(10_000);
    await ledger.ingest([part(usageBatch(events(10_000, 10_001), START))]);
    expect(await ledger.query(query)).toMatchObject({
      ok: false,
      error: { parameter: "groupBy", detail: expect.stringContaining("10000") },
    });
  });

  test("rows written follow the distinct groups, not the events", async () => {
    const { ledger } = newLedger();
    const batches = Array.from({ length: 20 }, () =>
      part(
        usageBatch(
          Array.from({ length: 100 }, (_none, index) => usageEvent({ time: START + index, keyId: `key_${index % 4}` })),
          START,
        ),
      ),
    );
    await ledger.ingest(batches.slice(0, 10));
    const { rowsWritten } = await ledger.ingest(batches.slice(10));
    // 1,000 events: ten batch ids, four groups of one minute, one total.
    expect(rowsWritten).toBeLessThanOrEqual(15);
  });

  describe("the journal", () => {
    const KEYS = 50;
    /** One request of each of 50 keys, as one batch. */
    const round = (at: number) =>
      part(
        usageBatch(
          Array.from({ length: KEYS }, (_none, index) => usageEvent({ time: at, keyId: `key_${index}`, cost: 2 })),
          at,
        ),
      );
    const journaled = (stub: DurableObjectStub) =>
      runInDurableObject(
        stub,
        (_instance, state) =>
          state.storage.sql
            .exec<{ n: number }>(
              `SELECT COUNT(*) AS n FROM journal_slot
               WHERE round = (SELECT value FROM state WHERE name = 'journal_round')`,
            )
            .one().n,
      );

    test("many keys cost a row a minute each, and not one with each batch", async () => {
      const { ledger } = newLedger();
      await ledger.ingest([round(START - MINUTE)]);
      await ask(ledger);
      let rows = 0;
      // Of these the first minute is folded by the first ingest of the second one.
      for (let second = 0; second <= 60; second++) {
        vi.setSystemTime(START + second * 1_000);
        rows += (await ledger.ingest([round(START + second * 1_000)])).rowsWritten;
      }
      // 61 batch ids and entries, 60 entries gone, 50 keys in two minutes, one total.
      expect(rows).toBeLessThanOrEqual(61 + 61 + 60 + 2 * KEYS + 1);
    });

    test("what was ingested is read at once, whatever happens before it is folded, and is folded once", async () => {
      const { ledger, stub } = newLedger();
      const first = round(START);
      await ledger.ingest([first]);
      expect(await journaled(stub)).toBe(1);
      await evictDurableObject(stub);
      expect((await ledger.ingest([first, round(START + 1)])).outcomes).toEqual(["duplicate", "ingested"]);
      expect(await journaled(stub)).toBe(2);
      expect((await ask(ledger)).totals).toMatchObject({ requests: 2 * KEYS, cost: 4 * KEYS });
      expect(await journaled(stub)).toBe(0);
      await evictDurableObject(stub);
      expect((await ledger.ingest([first])).outcomes).toEqual(["duplicate"]);
      expect((await ask(ledger)).totals).toMatchObject({ requests: 2 * KEYS });
      expect((await ledger.status()).totals).toMatchObject([{ code: "allowed", requests: 2 * KEYS }]);
    });

    test("takes what does not fit into one row, and never holds more than a fold can take at once", async () => {
      const { ledger, stub } = newLedger();
      const route = `/${"long/".repeat(200)}`;
      let sent = 0;
      let most = 0;
      for (let ingest = 0; ingest < 16; ingest++) {
        const events = Array.from({ length: 2_000 }, () => usageEvent({ time: START, keyId: `key_${sent++}`, route }));
        const { rowsWritten } = await ledger.ingest([part(usageBatch(events, START))]);
        if (ingest === 0) expect(rowsWritten).toBeGreaterThan(5);
        most = Math.max(most, await journaled(stub));
      }
      expect(await journaled(stub)).toBeLessThan(most);
      expect((await ask(ledger)).totals.requests).toBe(sent);
      expect((await ledger.status()).totals).toMatchObject([{ requests: sent }]);
    });

    test("what lay in the journal while its hour and day were summed is in both", async () => {
      const { ledger, stub } = newLedger();
      await ledger.ingest([round(START)]);
      vi.setSystemTime(START + 26 * HOUR);
      await runDurableObjectAlarm(stub);
      await ledger.ingest([round(START)]);
      for (const granularity of ["minute", "hour", "day"] as const) {
        const { totals } = await ask(ledger, { granularity, from: START - 18 * HOUR, to: START + 2 * DAY });
        expect(totals, granularity).toMatchObject({ requests: 2 * KEYS });
      }
    });
  });

  test("what is past its retention is deleted, once, and coarser sums stay", async () => {
    const { ledger, stub } = newLedger();
    await ledger.ingest([part(usageBatch([usageEvent({ time: START })], START))]);
    const rows = () =>
      runInDurableObject(stub, (_instance, state) =>
        [
          "batch_ids",
          "usage_pack WHERE grain = 60",
          "usage_pack WHERE grain = 3600",
          "usage_pack WHERE grain = 86400",
          "series",
        ].map((table) => state.storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`).one().n),
      );
    await ask(ledger);
    expect(await rows()).toEqual([1, 1, 0, 0, 1]);
    vi.setSystemTime(START + 47 * HOUR);
    await runDurableObjectAlarm(stub);
    expect(await rows()).toEqual([1, 1, 1, 1, 1]);
    vi.setSystemTime(START + 50 * HOUR);
    await ledger.ingest([part(usageBatch([usageEvent({ time: START + 50 * HOUR })], START + 50 * HOUR))]);
    await runDurableObjectAlarm(stub);
    expect(await rows()).toEqual([2, 1, 1, 1, 1]);
    await runDurableObjectAlarm(stub);
    expect(await rows()).toEqual([2, 1, 1, 1, 1]);
    expect((await ask(ledger, { from: START - DAY, granularity: "hour" })).totals.requests).toBe(2);
    vi.setSystemTime(START + 100 * DAY);
    await ledger.ingest([part(usageBatch([usageEvent({ time: START + 100 * DAY })], START + 100 * DAY))]);
    await runDurableObjectAlarm(stub);
    expect(await rows()).toEqual([1, 1, 0, 2, 1]);
    vi.setSystemTime(START + 3 * 366 * DAY);
    await runDurableObjectAlarm(stub);
    expect(await rows()).toEqual([0, 0, 0, 0, 0]);
  });

  test("names a key's use until the registry is known to have it, and then once an hour at most", async () => {
    const { ledger, stub } = newLedger();
    const use = async (time: number, code = "allowed") => {
      vi.setSystemTime(time);
      return (await ledger.ingest([part(usageBatch([usageEvent({ time, code })], time))])).uses;
    };
    expect(await use(START, "key_revoked")).toEqual([]);
    const first = await use(START);
    expect(first).toEqual([{ keyId: "key_a", time: START }]);
    await evictDurableObject(stub);
    // Nobody confirmed: it is told again.
    expect(await use(START + 1_000)).toEqual([{ keyId: "key_a", time: START }]);
    expect(await ledger.pendingUses(10)).toEqual([{ keyId: "key_a", time: START }]);
    await ledger.confirmUses(first);
    expect(await ledger.pendingUses(10)).toEqual([]);
    expect(await use(START + HOUR - 1)).toEqual([]);
    expect(await use(START + HOUR)).toEqual([{ keyId: "key_a", time: START + HOUR }]);
    // A late event does not turn the clock back.
    await ledger.confirmUses([{ keyId: "key_a", time: START + HOUR }]);
    expect(await use(START + 10_000)).toEqual([]);
  });

  test("a confirmation that goes with the object's memory makes the registry be told again, and loses nothing", async () => {
    const { ledger, stub } = newLedger();
    const use = async (time: number) => {
      vi.setSystemTime(time);
      return (await ledger.ingest([part(usageBatch([usageEvent({ time })], time))])).uses;
    };
    await ledger.status();
    const uses = await use(START + 2 * MINUTE);
    await ledger.confirmUses(uses);
    expect(await use(START + 2 * MINUTE + 1)).toEqual([]);
    await evictDurableObject(stub);
    expect(await use(START + 2 * MINUTE + 2)).toEqual(uses);
    await ledger.confirmUses(uses);
    await evictDurableObject(stub);
    // This one was stored: an object that has just woken up does not keep it in memory alone.
    expect(await use(START + 2 * MINUTE + 3)).toEqual([]);
    expect(await ledger.pendingUses(10)).toEqual([]);
  });

  test("events that storage did not take are counted when they come again", async () => {
    const { ledger, stub } = newLedger();
    const batch = part(usageBatch([usageEvent({ time: START })], START));
    const rename = (from: string, to: string) =>
      runInDurableObject(
        stub,
        (_instance, { storage }) => void storage.sql.exec(`ALTER TABLE ${from} RENAME TO ${to}`),
      );
    await rename("journal_slot", "elsewhere");
    await expect(runInDurableObject(stub, (object) => void object.ingest([batch]))).rejects.toThrow("journal_slot");
    await rename("elsewhere", "journal_slot");
    const answer = await ledger.ingest([batch]);
    expect(answer.outcomes).toEqual(["ingested"]);
    expect(answer.uses).toEqual([{ keyId: "key_a", time: START }]);
    await rename("usage_pack", "elsewhere");
    await expect(runInDurableObject(stub, (object) => void object.status())).rejects.toThrow("usage_pack");
    await rename("elsewhere", "usage_pack");
    expect((await ledger.ingest([batch])).outcomes).toEqual(["duplicate"]);
    expect((await ask(ledger, { groupBy: ["key"] })).series).toMatchObject([{ key: "key_a", requests: 1 }]);
  });

  test("cost by lineage and hour is the same before and after the hour is summed", async () => {
    const { ledger } = newLedger();
    const hour = Math.floor(START / HOUR) * HOUR;
    const events = [
      usageEvent({ time: START, lineageId: "lin_a", cost: 5 }),
      usageEvent({ time: START, lineageId: "lin_a", keyId: "key_2", cost: 7 }),
      usageEvent({ time: START, lineageId: "lin_b", cost: 1 }),
      usageEvent({ time: START, lineageId: "lin_c", cost: 0, code: "rate_limited", status: 429 }),
    ];
    await ledger.ingest([part(usageBatch(events, START))]);
    const costs = () => ledger.costByLineageHour(["lin_a", "lin_c"], hour, hour + HOUR);
    expect(await costs()).toEqual([{ lineageId: "lin_a", hour, cost: 12 }]);
    vi.setSystemTime(START + 2 * HOUR);
    await ask(ledger);
    expect(await costs()).toEqual([{ lineageId: "lin_a", hour, cost: 12 }]);
    expect(await ledger.lineagesUsed(hour, hour + HOUR, 10)).toEqual(["lin_a", "lin_b", "lin_c"]);
  });

  test("events of a series that was swept are counted again from scratch, without a restart between", async () => {
    const { ledger, stub } = newLedger();
    await ledger.ingest([part(usageBatch([usageEvent({ time: START })], START))]);
    const later = START + 3 * 366 * DAY;
    vi.setSystemTime(later);
    await runDurableObjectAlarm(stub);
    await ledger.ingest([part(usageBatch([usageEvent({ time: later })], later))]);
    expect((await ask(ledger, { groupBy: ["key"] })).series).toMatchObject([{ key: "key_a", requests: 1 }]);
  });

  test("totals by outcome only rise, whatever is swept", async () => {
    const { ledger, stub } = newLedger();
    await ledger.ingest([part(usageBatch([usageEvent({ time: START, degraded: true }), strangerEvent(START)], START))]);
    vi.setSystemTime(START + 3 * 366 * DAY);
    await runDurableObjectAlarm(stub);
    const { totals } = await ledger.status();
    expect(totals).toMatchObject([
      { code: "allowed", statusClass: 2, requests: 1, cost: 1, degraded: 1 },
      { code: "key_invalid", statusClass: 4, requests: 1, cost: 0, degraded: 0 },
    ]);
  });
});
