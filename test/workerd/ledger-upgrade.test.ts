import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { createHash } from "node:crypto";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { migrate } from "../../durable-objects/migrate.ts";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { MIGRATIONS } from "../../durable-objects/usage-ledger/migrations.ts";
import { newId } from "../../src/platform/ids.ts";
import type { UsageQuery } from "../../src/usage/query.ts";
import { toUsageAnswer } from "../../src/usage/query.ts";
import type { MinuteSum, Sums } from "../../src/usage/rollup.ts";
import { sumByMinute } from "../../src/usage/rollup.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** A ledger that was written when each series had a row of its own is read on, added to, summed and swept by this version. */

const NOW = Date.parse("2026-10-05T10:20:30.000Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const BATCH_FROM_BEFORE = newId("bat_", NOW - MINUTE);

/** One request of each of three keys at one moment. */
const eventsAt = (time: number) =>
  ["key_a", "key_b", "key_c"].map((keyId) =>
    usageEvent({ time, keyId, lineageId: keyId.replace("key", "lin"), cost: 2 }),
  );

function groupsAt(time: number): readonly MinuteSum[] {
  return [...sumByMinute(eventsAt(time)).values()];
}

function numbersOf({ requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs }: Sums): readonly number[] {
  return [requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs];
}

/** As the version before wrote it: what is older than 10:00 is summed by hour, what is older than today by day. */
function writeOldRows(sql: SqlStorage): void {
  const [hourMark, dayMark] = [Date.parse("2026-10-05T10:00:00Z") / 1_000, Date.parse("2026-10-05T00:00:00Z") / 1_000];
  sql.exec(
    `INSERT INTO state (name, value) VALUES ('hour_mark', ?), ('day_mark', ?), ('first_hour', ?), ('alarm_at', 0)`,
    hourMark,
    dayMark,
    hourMark - 200 * 3_600,
  );
  const write = (table: string, seconds: number, time: number): void => {
    for (const { minute, seriesKey, dimensions: of, sums } of groupsAt(time)) {
      const digest = createHash("sha256").update(seriesKey).digest("base64url").slice(0, 22);
      const named = [of.keyId, of.lineageId, of.owner, of.environment, of.route, of.status, of.code, of.country];
      sql.exec(
        `INSERT OR IGNORE INTO series (digest, key_id, lineage_id, owner, environment, route, status, code, country)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        digest,
        ...named,
      );
      const { id } = sql.exec<{ id: number }>(`SELECT id FROM series WHERE digest = ?`, digest).one();
      sql.exec(
        `INSERT INTO ${table} VALUES (?, ?, ${"?, ".repeat(6)}?)`,
        minute - (minute % seconds),
        id,
        ...numbersOf(sums),
      );
    }
  };
  write("usage_day", 86_400, NOW - 5 * DAY);
  for (const time of [NOW - DAY, NOW - HOUR]) write("usage_hour", 3_600, time);
  write("usage_day", 86_400, NOW - DAY);
  for (const time of [NOW - DAY, NOW - HOUR, NOW - 10 * MINUTE]) write("usage_minute", 60, time);
  const entry = {
    g: groupsAt(NOW - MINUTE).map(({ minute, seriesKey, sums }) => [minute, seriesKey, ...numbersOf(sums)]),
    t: [{ code: "allowed", statusClass: 2, requests: 3, cost: 6, degraded: 0, latencyMs: 36 }],
  };
  sql.exec(`INSERT INTO journal (at, entry) VALUES (?, ?)`, NOW - 20_000, JSON.stringify(entry));
  sql.exec(`INSERT INTO batch (batch_id) VALUES (?)`, BATCH_FROM_BEFORE);
  sql.exec(`INSERT INTO key_use (key_id, last_used, told) VALUES ('key_a', ?1, ?1), ('key_b', ?1, 0)`, NOW - MINUTE);
  sql.exec(`INSERT INTO outcome_total VALUES ('allowed', 2, 12, 24, 0, 144)`);
}

let count = 0;

/** Wakes up with rows of the version before. */
async function oldLedger() {
  const name = `upgrade-test-${++count}/0`;
  const stub = env.USAGE_LEDGER.getByName(name);
  await runInDurableObject(stub, async (_instance, { storage }) => {
    await storage.deleteAlarm();
    await storage.deleteAll();
    migrate(storage, MIGRATIONS.slice(0, 2));
    writeOldRows(storage.sql);
  });
  await evictDurableObject(stub);
  return { stub, ledger: ledgerByName(env.USAGE_LEDGER, name) };
}

async function ask(ledger: ReturnType<typeof ledgerByName>, changes: Partial<UsageQuery>) {
  const query: UsageQuery = {
    from: NOW - DAY,
    to: NOW + MINUTE,
    granularity: "hour",
    groupBy: [],
    filters: {},
    ...changes,
  };
  const answer = await ledger.query(query);
  if (!answer.ok) throw new Error(answer.error.detail);
  return toUsageAnswer(query, answer.value);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(NOW);
});

afterEach(() => {
  vi.useRealTimers();
});

test("minutes, hours, days, the journal and the totals of before are in every answer, with their keys", async () => {
  const { ledger } = await oldLedger();
  const sums = { requests: 3, allowed: 3, refused: 0, cost: 6, bytesIn: 30, bytesOut: 300 };
  const minutes = await ask(ledger, { granularity: "minute" });
  expect(minutes.series).toMatchObject(
    [NOW - DAY, NOW - HOUR, NOW - 10 * MINUTE, NOW - MINUTE].map((time) => ({
      start: new Date(Math.floor(time / MINUTE) * MINUTE).toISOString(),
      ...sums,
    })),
  );
  const hours = await ask(ledger, { from: NOW - 30 * HOUR, groupBy: ["key"], filters: { key: ["key_b"] } });
  expect(hours.series.map(({ start, key, requests }) => [start.slice(8, 13), key, requests])).toEqual([
    ["04T10", "key_b", 1],
    ["05T09", "key_b", 1],
    ["05T10", "key_b", 2],
  ]);
  const days = await ask(ledger, { from: NOW - 10 * DAY, granularity: "day" });
  expect(days.series.map(({ start, requests }) => [start.slice(8, 10), requests])).toEqual([
    ["30", 3],
    ["04", 3],
    ["05", 9],
  ]);
  expect((await ledger.status()).totals).toMatchObject([{ code: "allowed", requests: 15, cost: 30 }]);
});

test("a batch that was counted before is not counted again, and a key's last use is known", async () => {
  const { ledger } = await oldLedger();
  const again = { batchId: BATCH_FROM_BEFORE, events: [usageEvent({ time: NOW, keyId: "key_b" })] };
  const answer = await ledger.ingest([again]);
  expect(answer.outcomes).toEqual(["duplicate"]);
  expect(answer.uses).toEqual([{ keyId: "key_b", time: NOW - MINUTE }]);
  expect(await ledger.pendingUses(10)).toEqual([{ keyId: "key_b", time: NOW - MINUTE }]);
  expect((await ask(ledger, {})).totals.requests).toBe(12);
});

test("old minutes are summed into the hour with new ones, late events go to hours and days of before, and all is swept", async () => {
  const { ledger, stub } = await oldLedger();
  const { batchId, events } = usageBatch([...eventsAt(NOW), ...eventsAt(NOW - DAY)], NOW);
  await ledger.ingest([{ batchId, events }]);
  vi.setSystemTime(NOW + 2 * HOUR);
  await runDurableObjectAlarm(stub);
  for (const granularity of ["minute", "hour", "day"] as const) {
    const from = granularity === "day" ? NOW - 2 * DAY : NOW - 25 * HOUR;
    const { series, totals } = await ask(ledger, { from, granularity, groupBy: ["lineage"] });
    expect(totals.requests, granularity).toBe(12 + 6);
    expect(new Set(series.map(({ lineage }) => lineage))).toEqual(new Set(["lin_a", "lin_b", "lin_c"]));
  }
  const hour = Date.parse("2026-10-05T10:00:00Z");
  expect(await ledger.costByLineageHour(["lin_a"], hour, hour + HOUR)).toEqual([{ lineageId: "lin_a", hour, cost: 6 }]);
  vi.setSystemTime(NOW + 100 * DAY);
  await runDurableObjectAlarm(stub);
  expect((await ask(ledger, { from: NOW - 10 * DAY, granularity: "day", groupBy: ["key"] })).totals.requests).toBe(21);
  vi.setSystemTime(NOW + 3 * 366 * DAY);
  await runDurableObjectAlarm(stub);
  const left = await runInDurableObject(stub, (_instance, { storage }) =>
    ["batch", "batch_ids", "key_use", "series", "usage_minute", "usage_hour", "usage_day", "usage_pack"].map(
      (table) => storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`).one().n,
    ),
  );
  expect(left).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});
