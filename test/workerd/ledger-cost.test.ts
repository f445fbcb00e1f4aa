import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { coldRequestsOf, estimateUsd, halfColdOf } from "../../src/usage/cost-estimate.ts";
import type { UsageQuery } from "../../src/usage/query.ts";
import { toUsageAnswer } from "../../src/usage/query.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

const START = Date.parse("2026-10-05T10:20:30.000Z");
const MINUTE = 60_000;
const HALF = halfColdOf("minute");

async function costBy(ledger: ReturnType<typeof ledgerByName>, groupBy: UsageQuery["groupBy"]) {
  const query: UsageQuery = { from: START - MINUTE, to: START + 9 * MINUTE, granularity: "hour", groupBy, filters: {} };
  const answer = await ledger.query(query);
  if (!answer.ok) throw new Error(answer.error.detail);
  return toUsageAnswer(query, answer.value);
}

test("usage tells what each key and each owner costs: a busy minute is cheaper per request than thin ones", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
  const ledger = ledgerByName(env.USAGE_LEDGER, "cost-test/0");
  const busy = Array.from({ length: 300 }, () => usageEvent({ time: START, keyId: "key_busy", owner: "acme" }));
  const thin = [0, 1, 2].map((minute) =>
    usageEvent({ time: START + minute * MINUTE, keyId: "key_thin", owner: "globex" }),
  );
  vi.setSystemTime(START + 3 * MINUTE);
  for (const events of [busy.slice(0, 150), busy.slice(150), thin]) {
    const { batchId, events: sent } = usageBatch(events, START);
    await ledger.ingest([{ batchId, events: sent }]);
  }
  const { series, totals } = await costBy(ledger, ["key"]);
  const coldOfBusy = coldRequestsOf(300, HALF);
  const coldOfThin = 3 * coldRequestsOf(1, HALF);
  expect(series.map(({ key, requests, estimatedCostUsd }) => [key, requests, estimatedCostUsd])).toEqual([
    ["key_busy", 300, estimateUsd(300, coldOfBusy)],
    ["key_thin", 3, estimateUsd(3, coldOfThin)],
  ]);
  expect(totals.estimatedCostUsd).toBe(estimateUsd(303, coldOfBusy + coldOfThin));
  const byOwner = await costBy(ledger, ["owner"]);
  expect(byOwner.series.map(({ owner, estimatedCostUsd }) => [owner, estimatedCostUsd])).toEqual([
    ["acme", estimateUsd(300, coldOfBusy)],
    ["globex", estimateUsd(3, coldOfThin)],
  ]);
  vi.useRealTimers();
});
