import fc from "fast-check";
import { vi } from "vitest";
import { Broker } from "../../durable-objects/lease-broker/broker.ts";
import { admit } from "../../src/gateway/admit.ts";
import type { AdmissionParts, Admitted } from "../../src/gateway/admit.ts";
import { LeaseBook } from "../../src/gateway/lease-book.ts";
import { brokeredMeters, homeMeters } from "../../src/gateway/meters.ts";
import { RecordCache } from "../../src/gateway/record-cache.ts";
import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide, type MeterState, newMeterState, settle } from "../../src/limits/meter.ts";
import type { AdmissionPolicy } from "../../src/limits/policy.ts";
import { sleep, within } from "../../src/platform/clock.ts";
import { proxyRecord } from "./proxy-record.ts";

/**
 * The real `admit` of several isolates against one meter, with or without the real brokers in between, in simulated time. Calls
 * take time and get lost on every hop, brokers lose their memory, requests come at once and cost unequally, and refunds come
 * at any moment. What `leases.test.ts` shows of the lease, shown of those who use it.
 */

const START = Date.UTC(2026, 10, 23, 12, 0, 0);
const BUSY_MS = 12_000;
const METER_TIMEOUT_MS = 2_000;
const POLICY: AdmissionPolicy = { mustAsk: false, ttlMs: 4_500, onMeterUnavailable: "open", graceMs: 30_000 };

export interface Schedule {
  readonly limit: number;
  readonly windowSeconds: number;
  readonly latencyMs: number;
  readonly isolates: number;
  /** Chance per call that it does not arrive, or that its answer does not. */
  readonly loss: number;
  /** Brokers between the isolates and the meter; 0: none. */
  readonly brokers: number;
  /** A broker loses its memory after so many calls; 0: never. */
  readonly brokerLife: number;
  readonly requests: readonly {
    readonly at: number;
    readonly isolate: number;
    readonly cost: number;
    readonly refundAfterMs: number;
  }[];
}

export const scheduleArbitrary: fc.Arbitrary<Schedule> = fc.record({
  limit: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 100, max: 400 })),
  windowSeconds: fc.integer({ min: 1, max: 5 }),
  latencyMs: fc.integer({ min: 0, max: 400 }),
  isolates: fc.integer({ min: 1, max: 4 }),
  loss: fc.constantFrom(0, 0.02, 0.2),
  brokers: fc.constantFrom(0, 1, 2),
  brokerLife: fc.constantFrom(0, 0, 10, 60),
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

const LOCATIONS = ["FRA", "IAD", "NRT"];

interface Answerer {
  acquire(meter: string, request: AcquireRequest): Promise<AcquireAnswer>;
  release(meter: string, request: ReleaseRequest): Promise<void>;
}

/** A slow and lossy line. Deterministic: every so many calls one is lost, on the way there or back. */
function lossyLine({ latencyMs, loss }: Schedule): <T>(call: () => T | Promise<T>) => Promise<T> {
  let calls = 0;
  const period = loss === 0 ? Infinity : Math.round(1 / loss);
  return async (call) => {
    const lost = ++calls % period === 0;
    const lostThere = lost && calls % (2 * period) === 0;
    await sleep(latencyMs * (0.5 + (calls % 7) / 7));
    if (lostThere) throw new Error("lost on the way there");
    const answer = await call();
    await sleep(latencyMs * (0.5 + (calls % 5) / 5));
    if (lost) throw new Error("lost on the way back");
    return answer;
  };
}

function lossyMeter(state: MeterState, schedule: Schedule): Answerer {
  const line = lossyLine(schedule);
  const answer = (request: AcquireRequest): AcquireAnswer => {
    const { granted, code, violated, retryAfterMs, grants } = decide(state, request.limits ?? [], request, Date.now());
    if (granted || code === null) return { outcome: "granted", validForMs: request.ttlMs, grants };
    return { outcome: "refused", code, violated, retryAfterMs, grants };
  };
  return {
    acquire: (_meter, request) =>
      within(
        line(() => answer(request)),
        METER_TIMEOUT_MS,
        "the meter",
      ),
    release: (_meter, { returned, spent }) => line(() => settle(state, returned, spent)),
  };
}

/** A namespace of brokers, each behind a line of its own, as far as `admit` calls them. */
function lossyBrokers(meter: Answerer, schedule: Schedule): Env["LEASE_BROKER"] {
  const made = new Map<string, unknown>();
  const make = (name: string): unknown => {
    const line = lossyLine(schedule);
    let life = 0;
    let born = 0;
    const give = (): Broker => {
      const one: Broker = new Broker({
        holder: `${name}#${born++}`,
        meters: meter,
        records: new RecordCache(),
        lookUp: () => Promise.resolve({ found: null, reason: "unavailable" }),
        waitUntil: () => undefined,
        // A broker that is gone by then has no memory to look at.
        wakeAt: (at) => void setTimeout(() => void (one === broker && one.tend()), at - Date.now()),
      });
      return one;
    };
    let broker = give();
    const living = (): Broker => {
      if (schedule.brokerLife > 0 && ++life % schedule.brokerLife === 0) broker = give();
      return broker;
    };
    return {
      acquire: (...call: Parameters<Broker["acquire"]>) => line(() => living().acquire(...call)),
      release: (...call: Parameters<Broker["release"]>) => line(() => living().release(...call)),
    };
  };
  const getByName = (name: string): unknown => {
    if (!made.has(name)) made.set(name, make(name));
    return made.get(name);
  };
  // Of a namespace and its stubs the gateway calls nothing else.
  return { getByName } as unknown as Env["LEASE_BROKER"];
}

export interface Kept {
  readonly at: number;
  readonly cost: number;
}

export async function run(schedule: Schedule): Promise<{ readonly kept: readonly Kept[]; readonly limit: Limit }> {
  vi.useFakeTimers({ now: START });
  vi.spyOn(console, "error").mockReturnValue();
  const limit: Limit = {
    name: "burst",
    limit: schedule.limit,
    window: { seconds: schedule.windowSeconds },
    kind: "rate",
  };
  const record: EdgeRecord = { ...proxyRecord(), limits: [limit], ownerLimited: false };
  const meter = lossyMeter(newMeterState(null), schedule);
  // As above: the one meter, whatever its name.
  const homes = {
    getByName: (name: string) => ({
      acquire: (request: AcquireRequest) => meter.acquire(name, request),
      release: (request: ReleaseRequest) => meter.release(name, request),
    }),
  } as unknown as Env["KEY_METER"];
  const brokers = lossyBrokers(meter, schedule);
  const isolates = Array.from({ length: schedule.isolates }, (_, index): AdmissionParts => {
    const env = { KEY_METER: homes, LEASE_BROKER: brokers };
    const meters =
      schedule.brokers === 0
        ? homeMeters(env)
        : brokeredMeters(env, {
            shards: 1,
            location: () => LOCATIONS[index % schedule.brokers] ?? "",
          });
    return { book: new LeaseBook(), cache: new RecordCache(), meters };
  });
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
    const input = { record, hash, limits: [limit], cost, policy: POLICY, prepaid: null, waitUntil: () => undefined };
    const outcome = await admit(input, parts);
    if (outcome.outcome === "admitted") await settleOne(outcome, cost, refundAfterMs);
  };
  const all = Promise.all(schedule.requests.map(ask));
  await vi.advanceTimersByTimeAsync(BUSY_MS + 60_000);
  await all;
  return { kept: [...kept], limit };
}
