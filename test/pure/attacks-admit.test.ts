import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { admit } from "../../src/gateway/admit.ts";
import type { AdmissionParts, Admitted, Meters } from "../../src/gateway/admit.ts";
import { LeaseBook } from "../../src/gateway/lease-book.ts";
import type { AdmissionPolicy } from "../../src/gateway/policy.ts";
import { RecordCache } from "../../src/gateway/record-cache.ts";
import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { AcquireAnswer } from "../../src/limits/acquire.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide, type MeterState, newMeterState, settle } from "../../src/limits/meter.ts";
import { windowAt } from "../../src/limits/window.ts";
import { sleep, within } from "../../src/platform/clock.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/**
 * The real `admit` of several isolates against one meter whose calls take time and get lost: concurrent requests of unequal
 * cost, refunds at any moment. What `leases.test.ts` shows of the lease, shown of those who use it.
 */

const START = Date.UTC(2026, 10, 23, 12, 0, 0);
const BUSY_MS = 12_000;
const METER_TIMEOUT_MS = 2_000;
const POLICY: AdmissionPolicy = { mustAsk: false, ttlMs: 4_500, onMeterUnavailable: "open", graceMs: 30_000 };

interface Schedule {
  readonly limit: number;
  readonly windowSeconds: number;
  readonly latencyMs: number;
  readonly isolates: number;
  /** Chance per call that it does not arrive, or that its answer does not. */
  readonly loss: number;
  readonly requests: readonly {
    readonly at: number;
    readonly isolate: number;
    readonly cost: number;
    readonly refundAfterMs: number;
  }[];
}

const scheduleArbitrary: fc.Arbitrary<Schedule> = fc.record({
  limit: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 100, max: 400 })),
  windowSeconds: fc.integer({ min: 1, max: 5 }),
  latencyMs: fc.integer({ min: 0, max: 400 }),
  isolates: fc.integer({ min: 1, max: 4 }),
  loss: fc.constantFrom(0, 0.02, 0.2),
  requests: fc.array(
    fc.record({
      /** Half of them around the edges of windows. */
      at: fc.oneof(
        fc.nat(BUSY_MS),
        fc
          .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: -300, max: 100 }))
          .map(([second, off]) => second * 1_000 + off),
      ),
      isolate: fc.nat(3),
      cost: fc.constantFrom(0, 1, 1, 1, 3, 30),
      /** 0: kept. */
      refundAfterMs: fc.constantFrom(0, 0, 0, 1, 300, 1_000),
    }),
    { minLength: 300, maxLength: 700, size: "max" },
  ),
});

/** One meter behind a slow and lossy line. Deterministic: every third of `1 / loss` calls is lost, on the way there or back. */
function lossyMeter(state: MeterState, { latencyMs, loss }: Schedule): Meters {
  let calls = 0;
  const period = loss === 0 ? Infinity : Math.round(1 / loss);
  const exchange = async (request: Parameters<Meters["acquire"]>[1]): Promise<AcquireAnswer> => {
    const lost = ++calls % period === 0;
    const lostThere = lost && calls % (2 * period) === 0;
    await sleep(latencyMs * (0.5 + (calls % 7) / 7));
    if (lostThere) throw new Error("lost on the way there");
    const { granted, code, violated, retryAfterMs, grants } = decide(state, request.limits ?? [], request, Date.now());
    await sleep(latencyMs * (0.5 + (calls % 5) / 5));
    if (lost) throw new Error("lost on the way back");
    if (granted || code === null) return { outcome: "granted", validForMs: request.ttlMs, grants };
    return { outcome: "refused", code, violated, retryAfterMs, grants };
  };
  return {
    acquire: (_meter, request) => within(exchange(request), METER_TIMEOUT_MS, "the meter"),
    release: async (_meter, { returned, spent }) => {
      await sleep(latencyMs);
      settle(state, returned, spent);
    },
  };
}

interface Kept {
  readonly at: number;
  readonly cost: number;
}

async function run(schedule: Schedule): Promise<{ readonly kept: readonly Kept[]; readonly limit: Limit }> {
  vi.useFakeTimers({ now: START });
  vi.spyOn(console, "error").mockReturnValue();
  const limit: Limit = {
    name: "burst",
    limit: schedule.limit,
    window: { seconds: schedule.windowSeconds },
    kind: "rate",
  };
  const record: EdgeRecord = { ...proxyRecord(), limits: [limit], ownerLimited: false };
  const meters = lossyMeter(newMeterState(null), schedule);
  const isolates = Array.from({ length: schedule.isolates }, (): AdmissionParts => ({
    book: new LeaseBook(),
    cache: new RecordCache(),
    meters,
  }));
  const kept = new Set<Kept>();
  const settleOne = async (outcome: Admitted, cost: number, refundAfterMs: number): Promise<void> => {
    // The moment of the admission; `outcome.at` is when it was paid for.
    const one = { at: Date.now(), cost };
    kept.add(one);
    if (refundAfterMs === 0) return;
    await sleep(refundAfterMs);
    kept.delete(one);
    outcome.refund();
    outcome.refund();
  };
  const ask = async ({ at, isolate, cost, refundAfterMs }: Schedule["requests"][number]): Promise<void> => {
    await sleep(at);
    const parts = isolates[isolate % isolates.length];
    if (parts === undefined) return;
    // A hash is any text here: the cache is empty.
    const hash = "hash" as KeyHash;
    const input = { record, hash, limits: [limit], cost, policy: POLICY, waitUntil: () => undefined };
    const outcome = await admit(input, parts);
    if (outcome.outcome === "admitted") await settleOne(outcome, cost, refundAfterMs);
  };
  const all = Promise.all(schedule.requests.map(ask));
  await vi.advanceTimersByTimeAsync(BUSY_MS + 60_000);
  await all;
  return { kept: [...kept], limit };
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("no schedule of concurrent requests, lost calls and refunds lets more through than the limit", async () => {
  await fc.assert(
    fc.asyncProperty(scheduleArbitrary, async (schedule) => {
      const { kept, limit } = await run(schedule);
      const perWindow = new Map<number, number>();
      for (const { at, cost } of kept) {
        const { start } = windowAt(limit.window, at);
        perWindow.set(start, (perWindow.get(start) ?? 0) + cost);
      }
      expect(Math.max(0, ...perWindow.values())).toBeLessThanOrEqual(limit.limit);
    }),
    { numRuns: 100 },
  );
});
