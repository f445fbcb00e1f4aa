import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** What the ledger sees of each revoked key: its first refusal and its last admission, to the ms, in one row. */

const START = Date.parse("2026-11-20T10:00:00.000Z");
const SECOND = 1_000;
const DAY = 86_400 * SECOND;

let count = 0;

function newLedger() {
  const name = `revocations-${++count}/0`;
  const ledger = ledgerByName(env.USAGE_LEDGER, name);
  const take = async (...events: readonly UsageEvent[]) => {
    const { batchId, events: sent } = usageBatch(events, Date.now());
    const batch = { batchId, events: sent };
    return { batch, answer: await ledger.ingest([batch]) };
  };
  return { stub: env.USAGE_LEDGER.getByName(name), ledger, take };
}

const letIn = (time: number, keyId = "key_a") => usageEvent({ time, keyId });
const refused = (time: number, keyId = "key_a") =>
  usageEvent({ time, keyId, status: 401, code: "key_revoked", cost: 0, upstreamMs: null });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});

afterEach(() => {
  vi.useRealTimers();
});

test("the first refusal and the last admission of a revoked key are known to the ms, in whatever order their events come", async () => {
  const { ledger, take } = newLedger();
  await take(letIn(START), letIn(START, "key_b"));
  await take(refused(START + 1_203), letIn(START + 400));
  // Another isolate stood on its lease for longer, and its events are later.
  await take(letIn(START + 4_407), refused(START + 1_100), refused(START + 9_000));
  await take(letIn(START + 4_200));
  expect(await ledger.revocationsSeen(["key_a", "key_b", "key_none"])).toEqual([
    { keyId: "key_a", firstRefusalAt: START + 1_100, lastAcceptanceAt: START + 4_407 },
  ]);
});

test("is kept over an eviction, and goes on to be right", async () => {
  const { ledger, stub, take } = newLedger();
  await take(letIn(START + 10));
  await take(refused(START + 700));
  await evictDurableObject(stub);
  await take(refused(START + 650), refused(START + 800));
  await take(letIn(START + 3_000));
  expect(await ledger.revocationsSeen(["key_a"])).toEqual([
    { keyId: "key_a", firstRefusalAt: START + 650, lastAcceptanceAt: START + 3_000 },
  ]);
});

test("an alarm between the last admission and the first refusal takes nothing away", async () => {
  const { ledger, stub, take } = newLedger();
  await take(letIn(START + 10));
  await runDurableObjectAlarm(stub);
  await take(refused(START + 700));
  await runDurableObjectAlarm(stub);
  await take(letIn(START + 900));
  expect(await ledger.revocationsSeen(["key_a"])).toEqual([
    { keyId: "key_a", firstRefusalAt: START + 700, lastAcceptanceAt: START + 900 },
  ]);
});

test("a batch that comes again changes nothing, and a key whose admissions are forgotten has none", async () => {
  const { ledger, stub, take } = newLedger();
  await take(letIn(START));
  await evictDurableObject(stub);
  const { batch } = await take(refused(START + 700));
  expect((await ledger.ingest([batch])).rowsWritten).toBe(0);
  expect(await ledger.revocationsSeen(["key_a"])).toEqual([
    { keyId: "key_a", firstRefusalAt: START + 700, lastAcceptanceAt: null },
  ]);
});

test("a revoked key that is tried without end is one row, and one that is refused for something else is none", async () => {
  const { ledger, take } = newLedger();
  await take(letIn(START));
  expect((await take(refused(START + 100))).answer.rowsWritten).toBe(2);
  for (let turn = 1; turn <= 20; turn++) {
    vi.setSystemTime(START + turn * SECOND);
    const tries = Array.from({ length: 50 }, (_none, index) => refused(START + turn * SECOND + index));
    // The batch itself.
    expect((await take(...tries)).answer.rowsWritten).toBe(1);
  }
  await take(usageEvent({ time: START, keyId: "key_c", code: "key_expired", status: 401, cost: 0 }));
  expect(await ledger.revocationsSeen(["key_c"])).toEqual([]);
});

test("is let go of after 400 days; the alarm run twice finds nothing more", async () => {
  const { ledger, stub, take } = newLedger();
  await take(refused(START));
  vi.setSystemTime(START + 399 * DAY);
  await runDurableObjectAlarm(stub);
  expect(await ledger.revocationsSeen(["key_a"])).toHaveLength(1);
  vi.setSystemTime(START + 401 * DAY);
  await runDurableObjectAlarm(stub);
  expect(await ledger.revocationsSeen(["key_a"])).toEqual([]);
  await runDurableObjectAlarm(stub);
  expect(await ledger.revocationsSeen(["key_a"])).toEqual([]);
});
