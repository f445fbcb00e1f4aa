import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LedgerBatch } from "../../durable-objects/usage-ledger/api.ts";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { readParts } from "../../durable-objects/usage-ledger/packs.ts";
import { placesOfKey } from "../../durable-objects/usage-ledger/series.ts";
import { PACKED_WIDTH } from "../../src/usage/packed-sums.ts";
import type { UsageFilters } from "../../src/usage/query.ts";
import { seeded } from "../support/seeded.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** What the ledger costs: rows written, the dearest unit of the platform, and what it does not do as keys grow in number. */

const START = Date.parse("2026-10-05T10:00:00.000Z");
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A thousand million requests a month, from as many isolates, as in `npm run cost`. */
const REQUESTS_PER_SECOND = 386;
const ISOLATES = 8;
const KEYS = 10_000;

let count = 0;

function newLedger() {
  const name = `ledger-rows-${++count}/0`;
  return { stub: env.USAGE_LEDGER.getByName(name), ledger: ledgerByName(env.USAGE_LEDGER, name) };
}

type Pick = () => number;

function zipf(random: () => number): Pick {
  const sums: number[] = [];
  for (let rank = 1; rank <= KEYS; rank++) sums.push((sums.at(-1) ?? 0) + 1 / rank);
  const all = sums.at(-1) ?? 0;
  return () => {
    const wanted = random() * all;
    let low = 0;
    let high = KEYS - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

const COUNTRIES = ["DE", "US"] as const;

function batchOf(at: number, keys: readonly number[], country: string): LedgerBatch {
  const events = keys.map((key) =>
    usageEvent({ time: at, keyId: `key_${key}`, lineageId: `lin_${key}`, owner: `owner-${key % 500}`, country }),
  );
  const { batchId, events: sent } = usageBatch(events, at);
  return { batchId, events: sent };
}

/** One second of traffic, as the consumer hands it over: a batch of each isolate. */
function secondOf(at: number, pick: Pick): LedgerBatch[] {
  return Array.from({ length: ISOLATES }, (_isolate, isolate) => {
    const requests = Math.floor((REQUESTS_PER_SECOND + isolate) / ISOLATES);
    return batchOf(at, Array.from({ length: requests }, pick), COUNTRIES[isolate % COUNTRIES.length] ?? "");
  });
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});

afterEach(() => {
  vi.useRealTimers();
});

/** Every key has been used, from both countries: names and first uses are written. */
async function useAll(ledger: ReturnType<typeof ledgerByName>, keys: number, at: number): Promise<void> {
  vi.setSystemTime(at);
  for (let from = 0; from < keys; from += 1_000) {
    const some = Array.from({ length: 1_000 }, (_none, index) => from + index);
    const { uses } = await ledger.ingest(COUNTRIES.map((country) => batchOf(at, some, country)));
    await ledger.confirmUses(uses);
  }
}

async function rowsSinceStart(ledger: ReturnType<typeof ledgerByName>): Promise<number> {
  return (await ledger.status()).sinceStart.rowsWritten;
}

/** Rows of so many minutes of traffic, all of them folded. */
async function rowsOf(ledger: ReturnType<typeof ledgerByName>, pick: Pick, from: number, minutes: number) {
  const before = await rowsSinceStart(ledger);
  for (let at = from; at < from + minutes * MINUTE; at += SECOND) {
    vi.setSystemTime(at);
    const { uses } = await ledger.ingest(secondOf(at, pick));
    await ledger.confirmUses(uses);
  }
  return (await rowsSinceStart(ledger)) - before;
}

describe("rows written", () => {
  const MINUTES = 5;
  const perThousand = (rows: number): number => (rows / (MINUTES * 60 * REQUESTS_PER_SECOND)) * 1_000;

  test("10,000 keys by Zipf cost 5 rows for 1,000 requests, 100 for their hour, and half as much again to delete", async () => {
    const { ledger, stub } = newLedger();
    await useAll(ledger, KEYS, START);
    const rows = await rowsOf(ledger, zipf(seeded(1)), START + 2 * MINUTE, MINUTES);
    expect(perThousand(rows)).toBeLessThanOrEqual(5);
    const written = await rowsSinceStart(ledger);
    vi.setSystemTime(START + 3 * HOUR);
    await runDurableObjectAlarm(stub);
    const summed = await rowsSinceStart(ledger);
    expect(summed - written).toBeGreaterThan(20);
    expect(summed - written).toBeLessThanOrEqual(100);
    vi.setSystemTime(START + 59 * HOUR);
    await runDurableObjectAlarm(stub);
    // The day is over too.
    expect((await rowsSinceStart(ledger)) - summed).toBeLessThanOrEqual(100 + rows / 2);
  });

  test("25,000 keys in turns, of which hardly one asks twice in a minute, cost 8 rows for 1,000 requests", async () => {
    const { ledger } = newLedger();
    await useAll(ledger, 25_000, START);
    let next = 0;
    const rows = await rowsOf(ledger, () => next++ % 25_000, START + 2 * MINUTE, MINUTES);
    expect(perThousand(rows)).toBeLessThanOrEqual(8);
  });

  test("that 10,000 keys are in use is known for 40 rows an hour, not for two a key", async () => {
    const { ledger } = newLedger();
    await useAll(ledger, KEYS, START);
    await rowsOf(ledger, () => 0, START + MINUTE, 2);
    vi.setSystemTime(START + 2 * HOUR);
    const all = Array.from({ length: KEYS }, (_none, key) => key);
    const before = await rowsSinceStart(ledger);
    const { uses } = await ledger.ingest([batchOf(START + 2 * HOUR, all, "DE")]);
    expect(uses).toHaveLength(KEYS);
    await ledger.confirmUses(uses);
    // The minute of 10,000 keys is written as well.
    expect((await rowsSinceStart(ledger)) - before).toBeLessThanOrEqual(40 + 40 + 10);
    expect(await ledger.pendingUses(10)).toEqual([]);
  });

  test("what is ingested is one row, however many batches and keys it has; batches that come again are none", async () => {
    const { ledger } = newLedger();
    const batches = secondOf(START, zipf(seeded(2)));
    expect((await ledger.ingest(batches)).rowsWritten).toBe(1);
    expect((await ledger.ingest(batches)).rowsWritten).toBe(0);
    expect(await ledger.nextReconciliation(10)).toBeNull();
    expect((await ledger.ingest(secondOf(START, zipf(seeded(3))))).rowsWritten).toBe(1);
  });
});

describe("rows of one minute", () => {
  test("are cut as they grow; each key is in one of them, and each answer stays right", async () => {
    const { ledger, stub } = newLedger();
    const ask = async (filters: UsageFilters) => {
      const answer = await ledger.query({
        from: START,
        to: START + MINUTE,
        granularity: "minute",
        groupBy: [],
        filters,
      });
      return answer.ok ? answer.value.points[0]?.sums.requests : answer.error.detail;
    };
    const rounds = 12;
    for (let round = 0; round < rounds; round++) {
      // 250 new keys, and key 0 from one more country each time.
      const some = Array.from({ length: 250 }, (_none, index) => 1 + round * 250 + index);
      await ledger.ingest([batchOf(START, some, "DE"), batchOf(START, [0], `X${round}`)]);
      expect(await ask({})).toBe((round + 1) * 251);
    }
    for (const key of [1, 700, 1_999, 250 * rounds]) expect(await ask({ key: [`key_${key}`] })).toBe(1);
    expect(await ask({ key: ["key_0"] })).toBe(rounds);
    expect(await ask({ key: ["key_0", "key_5", "key_2500", "key_none"] })).toBe(rounds + 2);
    expect(await ask({ lineage: ["lin_7"], country: ["DE"] })).toBe(1);
    await runInDurableObject(stub, (_instance, { storage: { sql } }) => {
      const all = [...readParts(sql, { table: "minute", from: START / SECOND, to: START / SECOND + 60 })];
      const sizes = all.map(({ packed }) => packed.length / PACKED_WIDTH);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(512);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(rounds * 251);
      expect(all.length).toBeLessThanOrEqual(16);
      const one = [...readParts(sql, { table: "minute", from: 0, to: START }, { places: [placesOfKey("key_700")] })];
      expect(one.length).toBe(1);
    });
  });

  test("hold one key from thousands of places too", async () => {
    const { ledger } = newLedger();
    for (let from = 0; from < 4_000; from += 1_000) {
      const events = Array.from({ length: 1_000 }, (_none, index) =>
        usageEvent({ time: START, route: `/reports/${from + index}` }),
      );
      const { batchId, events: sent } = usageBatch(events, START);
      await ledger.ingest([{ batchId, events: sent }]);
    }
    const query = { from: START, to: START + MINUTE, granularity: "minute", groupBy: ["route"] } as const;
    const answer = await ledger.query({ ...query, filters: { key: ["key_a"] } });
    expect(answer.ok && answer.value.points.length).toBe(4_000);
  });
});
