import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import type { Health } from "../../src/usage/health.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** What the ledger keeps of how well checks went. */

/** A Monday, far enough ahead that no alarm rings by itself. */
const START = Date.parse("2035-01-01T10:00:00.000Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let count = 0;

function newLedger() {
  const name = `health-${++count}/0`;
  const ledger = ledgerByName(env.USAGE_LEDGER, name);
  const stub = env.USAGE_LEDGER.getByName(name);
  return {
    stub,
    ledger,
    take: async (...events: readonly UsageEvent[]) => {
      const { batchId, events: sent } = usageBatch(events, Date.now());
      const batch = { batchId, events: sent };
      await ledger.ingest([batch]);
      return batch;
    },
    rows: async () =>
      await runInDurableObject(stub, (_object, state) =>
        state.storage.sql.exec<{ hour: number }>(`SELECT hour FROM health ORDER BY hour`).toArray(),
      ),
  };
}

const health = (time: number, of: Partial<Health>): Health => ({
  start: time / 1_000,
  requests: 0,
  undecided: 0,
  slow: 0,
  degraded: 0,
  ...of,
});

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});
afterEach(() => void vi.useRealTimers());

test("each request is counted once in its minute, over redelivery, eviction and folding, late ones too", async () => {
  const { ledger, stub, take } = newLedger();
  const batch = await take(
    usageEvent({ time: START + 1 }),
    usageEvent({ time: START + 2, status: 503, code: "verification_unavailable" }),
    usageEvent({ time: START + 3, authMs: 51 }),
    usageEvent({ time: START + 4, authMs: 50, degraded: true }),
  );
  await ledger.ingest([batch]);
  const first = health(START, { requests: 4, undecided: 1, slow: 1, degraded: 1 });
  expect(await ledger.health()).toEqual([first]);
  await evictDurableObject(stub);
  expect(await ledger.health()).toEqual([first]);
  vi.setSystemTime(START + 2 * MINUTE);
  // A question folds what is in the journal.
  await ledger.status();
  expect(await ledger.health()).toEqual([first]);
  await take(usageEvent({ time: START + MINUTE }), usageEvent({ time: START + 5, authMs: 900 }));
  await ledger.ingest([batch]);
  const both = [{ ...first, requests: 5, slow: 2 }, health(START + MINUTE, { requests: 1 })];
  expect(await ledger.health()).toEqual(both);
  await ledger.status();
  await evictDurableObject(stub);
  expect(await ledger.health()).toEqual(both);
});

test("minutes become hours after seven hours, and nothing after three days; a row holds an hour", async () => {
  const { ledger, stub, take, rows } = newLedger();
  for (let minute = 0; minute < 90; minute++) await take(usageEvent({ time: START + minute * MINUTE }));
  vi.setSystemTime(START + 2 * HOUR);
  await ledger.status();
  expect(await ledger.health()).toHaveLength(90);
  expect(await rows()).toHaveLength(2);
  vi.setSystemTime(START + 9 * HOUR);
  expect(await ledger.health()).toEqual([health(START, { requests: 60 }), health(START + HOUR, { requests: 30 })]);
  vi.setSystemTime(START + 80 * HOUR);
  expect(await ledger.health()).toEqual([]);
  await runDurableObjectAlarm(stub);
  expect(await rows()).toEqual([]);
});

test("to ask for it folds nothing and writes nothing", async () => {
  const { ledger, take, rows } = newLedger();
  await take(usageEvent({ time: START }));
  expect((await ledger.health()).map(({ requests }) => requests)).toEqual([1]);
  expect(await rows()).toEqual([]);
  await ledger.status();
  expect(await rows()).toHaveLength(1);
});
