import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { admit, type AdmissionParts } from "../../src/gateway/admit.ts";
import { LeaseBook } from "../../src/gateway/lease-book.ts";
import { homeMeters } from "../../src/gateway/meters.ts";
import { RecordCache } from "../../src/gateway/record-cache.ts";
import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/** SQLite counts the rows that a connection has changed. */
async function rowsChanged(meter: DurableObjectStub): Promise<number> {
  return await runInDurableObject(
    meter,
    (_instance, state) => state.storage.sql.exec<{ rows: number }>("SELECT total_changes() AS rows").one().rows,
  );
}

it("the real meter writes at most 20 rows for 1,000 requests of a hot key", async () => {
  const limits: Limit[] = [
    { name: "burst", limit: 100_000, window: "hour", kind: "rate" },
    { name: "monthly", limit: 10_000_000, window: "month", kind: "quota" },
  ];
  const record: EdgeRecord = { ...proxyRecord(), limits, ownerLimited: false };
  const meter = env.KEY_METER.getByName(`${record.workspace}/${record.lineageId}`);
  await meter.publish([record]);
  const parts: AdmissionParts = {
    book: new LeaseBook(),
    cache: new RecordCache(),
    meters: homeMeters(env),
  };
  const policy = { mustAsk: false, ttlMs: 4_500, onMeterUnavailable: "open", graceMs: 0 } as const;
  const before = await rowsChanged(meter);
  const background: Promise<unknown>[] = [];
  for (let index = 0; index < 1_000; index++) {
    // A hash is any text here: the cache is empty.
    const hash = "hash" as KeyHash;
    const waitUntil = (work: Promise<unknown>): void => void background.push(work);
    const outcome = await admit({ record, hash, limits, cost: 1, policy, prepaid: null, waitUntil }, parts);
    expect(outcome.outcome).toBe("admitted");
  }
  const during = (await rowsChanged(meter)) - before;
  await Promise.all(background);
  const after = (await rowsChanged(meter)) - before;
  expect(during).toBeGreaterThan(0);
  expect(after).toBeLessThanOrEqual(20);
});
