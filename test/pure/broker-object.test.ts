import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Broker } from "../../durable-objects/lease-broker/broker.ts";
import { RecordCache } from "../../src/gateway/record-cache.ts";
import type { Resolved } from "../../src/gateway/resolve.ts";
import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import type { Introduction } from "../../src/limits/introduction.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide, type MeterState, newMeterState, settle } from "../../src/limits/meter.ts";
import { counterOf, hourOf } from "../../src/limits/window.ts";
import { BROKER_ACCOUNT_IDLE_MS, BROKER_ACCOUNTS, BROKER_TIMEOUT_MS, RECORD_MISS_TTL_MS } from "../../src/constants.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/** What a broker keeps and for how long, how often it asks, and what it says when it cannot. */

const DAILY: Limit = { name: "daily", limit: 1_000, window: "day", kind: "quota" };
const HASH = "hash" as KeyHash; // any text will do
const UNREACHABLE = "unreachable";

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 23, 12) });
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Meters that count, a store with one key in it, and a broker before them. */
class Lab {
  readonly meters = new Map<string, MeterState>();
  readonly asked: { readonly meter: string; readonly request: AcquireRequest }[] = [];
  readonly released: { readonly meter: string; readonly request: ReleaseRequest }[] = [];
  stored: EdgeRecord | null | typeof UNREACHABLE = proxyRecord();
  /** What the meters know of it. */
  newest: EdgeRecord | null = null;
  metersAreDown = false;
  latencyMs = 0;
  reads = 0;
  readonly broker: Broker;

  constructor() {
    const records = new RecordCache();
    this.broker = new Broker({
      holder: "broker-1",
      records,
      meters: {
        acquire: (meter, request) => this.#answer(meter, request),
        release: (meter, request) => {
          this.released.push({ meter, request });
          settle(this.meter(meter), request.returned, request.spent);
          return Promise.resolve();
        },
      },
      lookUp: () => Promise.resolve(this.#lookUp(records)),
      waitUntil: (work) => void work,
      wakeAt: (at) => void setTimeout(() => void this.broker.tend(), at - Date.now()),
    });
  }

  meter(name: string): MeterState {
    const known = this.meters.get(name) ?? newMeterState(null);
    this.meters.set(name, known);
    return known;
  }

  used(meter: string): number {
    return this.meter(meter).counters.get(counterOf(DAILY))?.used ?? 0;
  }

  #lookUp(records: RecordCache): Resolved {
    if (records.isMiss(HASH, Date.now())) return { found: null, reason: "unknown" };
    this.reads++;
    if (this.stored === UNREACHABLE) return { found: null, reason: "unavailable" };
    if (this.stored !== null) return { found: records.put(HASH, this.stored, Date.now()) };
    records.putMiss(HASH, Date.now());
    return { found: null, reason: "unknown" };
  }

  async #answer(meter: string, request: AcquireRequest): Promise<AcquireAnswer> {
    this.asked.push({ meter, request });
    if (this.latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, this.latencyMs));
    if (this.metersAreDown) throw new Error("Network connection lost.");
    if (this.newest !== null && request.generation < this.newest.generation) {
      settle(this.meter(meter), request.returned, []);
      return { outcome: "stale", record: this.newest };
    }
    const decision = decide(this.meter(meter), request.limits ?? [], request, Date.now());
    if (decision.code === null) return { outcome: "granted", validForMs: request.ttlMs, grants: decision.grants };
    const { code, violated, retryAfterMs, grants } = decision;
    return { outcome: "refused", code, violated, retryAfterMs, grants };
  }
}

function asking(changes: Partial<AcquireRequest> = {}): AcquireRequest {
  const account = { holder: "isolate-1", keyId: "key_1", generation: 1, limits: [DAILY] };
  const hand = { want: 0, urgent: 0, holdings: [], returned: [], spent: [] };
  return { ...account, cost: 1, hour: hourOf(Date.now()), ttlMs: 4_500, ...hand, ...changes };
}

function introduction(changes: Partial<Introduction> = {}): Introduction {
  const routePolicy = { strict: false, onMeterUnavailable: null, graceSeconds: null };
  const asked = { hash: HASH, holder: "isolate-1", plans: {}, routeLimits: [], cost: 1, hour: hourOf(Date.now()) };
  return { ...asked, routePolicy, ...changes };
}

describe("introductions", () => {
  test("a hundred isolates that meet a key cost one read and one call to its meter", async () => {
    const lab = new Lab();
    for (let index = 0; index < 100; index++) {
      const introduced = await lab.broker.introduce(introduction({ holder: `isolate-${index}` }));
      expect(introduced).toMatchObject({ outcome: "known", answer: { outcome: "granted" } });
    }
    expect([lab.reads, lab.asked.length]).toEqual([1, 1]);
  });

  test("an unknown key is read once while the miss is remembered, and no caller is told to remember it longer", async () => {
    const lab = new Lab();
    lab.stored = null;
    expect(await lab.broker.introduce(introduction())).toEqual({ outcome: "unknown", forMs: RECORD_MISS_TTL_MS });
    vi.advanceTimersByTime(RECORD_MISS_TTL_MS - 100);
    expect(await lab.broker.introduce(introduction())).toEqual({ outcome: "unknown", forMs: 100 });
    expect(lab.reads).toBe(1);
    lab.stored = proxyRecord();
    vi.advanceTimersByTime(100);
    expect(await lab.broker.introduce(introduction())).toMatchObject({ outcome: "known" });
  });

  test("a record that is old is put right by the meter, in the same answer, and stays right", async () => {
    const lab = new Lab();
    lab.newest = proxyRecord({ generation: 3, scopes: ["charges:read"] });
    for (let turn = 0; turn < 2; turn++) {
      expect(await lab.broker.introduce(introduction())).toMatchObject({
        record: { generation: 3, scopes: ["charges:read"] },
        answer: { outcome: "granted" },
      });
    }
    expect(lab.asked.map(({ request }) => request.generation)).toEqual([1, 3]);
  });

  test.each([
    ["strict", proxyRecord({ policy: { strict: true } })],
    ["revoked", proxyRecord({ state: "revoked" })],
    ["disabled", proxyRecord({ state: "disabled" })],
    ["expired", proxyRecord({ expiresAt: 1 })],
  ])("of a key that is %s the record is told, and nothing is charged", async (_, record) => {
    const lab = new Lab();
    lab.stored = record;
    expect(await lab.broker.introduce(introduction())).toEqual({ outcome: "known", record, answer: null });
    expect(lab.asked).toEqual([]);
  });

  test("a key whose admissions are shorter keeps its bound, however old the broker's own lease is", async () => {
    const lab = new Lab();
    lab.stored = proxyRecord({ policy: { leaseTtlSeconds: 1 } });
    for (let turn = 0; turn < 20; turn++) {
      const introduced = await lab.broker.introduce(introduction());
      if (introduced?.outcome !== "known" || introduced.answer?.outcome !== "granted") throw new Error("not granted");
      const last = lab.asked.length;
      expect(introduced.answer.validForMs).toBeLessThanOrEqual(1_000);
      expect(lab.asked[last - 1]?.request.ttlMs).toBe(1_000);
      await vi.advanceTimersByTimeAsync(150);
    }
  });

  test("a store that cannot be read makes no key unknown", async () => {
    const lab = new Lab();
    lab.stored = UNREACHABLE;
    expect(await lab.broker.introduce(introduction())).toBe(null);
  });

  test("two workspaces with the same lineage and key ids have nothing in common", async () => {
    const lab = new Lab();
    const first = await lab.broker.acquire("one/lin_1", asking({ cost: 0, want: 40 }), false);
    expect(first).toMatchObject({ outcome: "granted" });
    await lab.broker.acquire("two/lin_1", asking({ generation: 7 }), false);
    expect(lab.asked.map(({ meter }) => meter)).toEqual(["one/lin_1", "two/lin_1"]);
    // Nor do an owner's limits and a key's, at whatever meter.
    await lab.broker.acquire("one/owner/lin_1", asking({ keyId: null, generation: 0, limits: null }), false);
    expect(lab.asked).toHaveLength(3);
  });

  test("a very long table of plans is no more than a slow call", async () => {
    const lab = new Lab();
    const plans = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`plan-${index}`, [DAILY]]));
    lab.stored = proxyRecord({ plan: "plan-4999" });
    expect(await lab.broker.introduce(introduction({ plans }))).toMatchObject({
      answer: { grants: [{ limit: DAILY, granted: 1 }] },
    });
  });
});

describe("what comes back", () => {
  test("what one isolate hands back another may have, without a call", async () => {
    const lab = new Lab();
    const granted = await lab.broker.acquire("default/lin_1", asking({ want: 40 }), false);
    if (granted?.outcome !== "granted") throw new Error("not granted");
    const [grant] = granted.grants;
    if (grant === undefined || grant.granted < 5) throw new Error("too little was granted to try this");
    const returned = [{ counter: counterOf(DAILY), windowStart: grant.windowStart, units: grant.granted - 1 }];
    lab.broker.release({ meter: "default/lin_1", keyId: "key_1" }, { holder: "isolate-1", returned, spent: [] });
    const { length } = lab.asked;
    expect(await lab.broker.acquire("default/lin_1", asking({ cost: 4, holder: "isolate-2" }), false)).toMatchObject({
      outcome: "granted",
      grants: [{ granted: 4 }],
    });
    expect(lab.asked).toHaveLength(length);
  });

  test("units that it never held go home at once: they came by another broker, or before a crash", async () => {
    const lab = new Lab();
    decide(lab.meter("default/lin_1"), [DAILY], asking({ cost: 30 }), Date.now());
    const returned = [{ counter: counterOf(DAILY), windowStart: Date.UTC(2026, 10, 23), units: 30 }];
    lab.broker.release({ meter: "default/lin_1", keyId: "key_1" }, { holder: "isolate-1", returned, spent: [] });
    await vi.advanceTimersByTimeAsync(0);
    expect(lab.used("default/lin_1")).toBe(0);
  });

  test("when nobody asks any more the meter has every unit that was not spent, and hears of each that was", async () => {
    const lab = new Lab();
    for (let index = 0; index < 20; index++) {
      await lab.broker.acquire("default/lin_1", asking({ holder: `isolate-${index}`, want: 8 }), false);
      await vi.advanceTimersByTimeAsync(100);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    const spent = [...lab.meter("default/lin_1").spent.values()].reduce((sum, units) => sum + units, 0);
    expect(spent).toBe(20);
    // The rest is with the isolates, who said nothing more.
    const granted = lab.used("default/lin_1");
    expect(granted).toBeGreaterThanOrEqual(20);
    expect(granted).toBeLessThanOrEqual(20 * 9);
    expect(lab.released.length).toBeGreaterThan(0);
  });
});

describe("a meter that cannot be reached", () => {
  test("is the caller's to ask: nothing that was reported is taken, what was handed back is", async () => {
    const lab = new Lab();
    await lab.broker.acquire("default/lin_1", asking({ want: 40 }), false);
    await vi.advanceTimersByTimeAsync(10_000);
    lab.metersAreDown = true;
    const spent = [{ hour: hourOf(Date.now()), units: 9 }];
    expect(await lab.broker.acquire("default/lin_1", asking({ spent }), false)).toBe(null);
    expect(await lab.broker.introduce(introduction())).toBe(null);
    lab.metersAreDown = false;
    await vi.advanceTimersByTimeAsync(60_000);
    await lab.broker.acquire("default/lin_1", asking(), false);
    await vi.advanceTimersByTimeAsync(60_000);
    const known = [...lab.meter("default/lin_1").spent.values()].reduce((sum, units) => sum + units, 0);
    expect(known).toBe(2);
  });

  test("is not asked again for a second, and those of other keys are", async () => {
    const lab = new Lab();
    lab.metersAreDown = true;
    for (let turn = 0; turn < 5; turn++) expect(await lab.broker.acquire("default/lin_1", asking(), false)).toBe(null);
    expect(lab.asked).toHaveLength(1);
    lab.metersAreDown = false;
    expect(await lab.broker.acquire("default/lin_2", asking(), false)).toMatchObject({ outcome: "granted" });
    vi.advanceTimersByTime(1_000);
    expect(await lab.broker.acquire("default/lin_1", asking(), false)).toMatchObject({ outcome: "granted" });
  });
});

describe("a caller that has given up, since the meter took too long", () => {
  test("is handed nothing: the units stay for those who come next, and it is charged by the meter alone", async () => {
    const lab = new Lab();
    lab.latencyMs = BROKER_TIMEOUT_MS;
    const asked = lab.broker.acquire("default/lin_1", asking({ cost: 30 }), false);
    const met = lab.broker.introduce(introduction({ cost: 30 }));
    await vi.advanceTimersByTimeAsync(2 * BROKER_TIMEOUT_MS);
    expect([await asked, await met]).toEqual([null, null]);
    const { length } = lab.asked;
    expect(await lab.broker.acquire("default/lin_1", asking({ cost: 12 }), false)).toMatchObject({
      outcome: "granted",
    });
    expect(lab.asked).toHaveLength(length);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lab.used("default/lin_1")).toBe(12);
  });

  test("while it waited for another's call, the same", async () => {
    const lab = new Lab();
    lab.latencyMs = BROKER_TIMEOUT_MS;
    const first = lab.broker.acquire("default/lin_1", asking({ limits: [] }), false);
    const second = lab.broker.acquire("default/lin_1", asking({ limits: [], holder: "isolate-2" }), false);
    await vi.advanceTimersByTimeAsync(BROKER_TIMEOUT_MS);
    expect([await first, await second]).toEqual([null, null]);
    expect(lab.asked).toHaveLength(1);
  });
});

describe("how often it asks", () => {
  test("a key without limits that a thousand isolates use costs about a call per lease", async () => {
    const lab = new Lab();
    lab.latencyMs = 80;
    const answers: Promise<AcquireAnswer | null>[] = [];
    for (let index = 0; index < 1_000; index++) {
      answers.push(lab.broker.acquire("default/lin_1", asking({ holder: `isolate-${index}`, limits: [] }), false));
      await vi.advanceTimersByTimeAsync(20);
    }
    await vi.advanceTimersByTimeAsync(1_000);
    expect(new Set((await Promise.all(answers)).map((answer) => answer?.outcome))).toEqual(new Set(["granted"]));
    // 20 s of leases that are renewed 2 s before their end.
    expect(lab.asked.length).toBeLessThanOrEqual(10);
  });

  test("a burst of isolates that meet a key at once waits for one call", async () => {
    const lab = new Lab();
    lab.stored = proxyRecord();
    lab.latencyMs = 100;
    const burst = Promise.all(
      Array.from({ length: 200 }, (_, index) => lab.broker.introduce(introduction({ holder: `isolate-${index}` }))),
    );
    await vi.advanceTimersByTimeAsync(1_000);
    expect((await burst).every((one) => one?.outcome === "known" && one.answer?.outcome === "granted")).toBe(true);
    expect(lab.asked).toHaveLength(1);
  });

  test("a look is the meter's word of that moment, each time", async () => {
    const lab = new Lab();
    for (let turn = 0; turn < 3; turn++) await lab.broker.acquire("default/lin_1", asking({ cost: 0 }), true);
    expect(lab.asked).toHaveLength(3);
  });

  test("a strict request is not its to answer", async () => {
    const lab = new Lab();
    expect(await lab.broker.acquire("default/lin_1", asking({ ttlMs: 0 }), false)).toBe(null);
    expect(lab.asked).toEqual([]);
  });
});

describe("a key that is used every few seconds", () => {
  /** Uses of one unit by isolates that have not met the key, `gapMs` apart. */
  async function useFor(lab: Lab, seconds: number, gapMs: number): Promise<void> {
    for (let turn = 0; turn < (seconds * 1_000) / gapMs; turn++) {
      const asked = lab.broker.acquire("default/lin_1", asking({ holder: `isolate-${turn}` }), false);
      await vi.advanceTimersByTimeAsync(gapMs);
      expect(await asked).toMatchObject({ outcome: "granted" });
    }
  }

  /** Calls that made the meter write a row. */
  const written = (lab: Lab): number =>
    lab.asked.filter(({ request }) => request.spent.length + request.returned.length > 0 || request.cost > 0).length;

  test("finds its lease standing: nobody waits for the meter, though leases end in between", async () => {
    const lab = new Lab();
    await useFor(lab, 20, 5_000);
    lab.metersAreDown = true;
    const asked = lab.broker.acquire("default/lin_1", asking(), false);
    expect(await asked).toMatchObject({ outcome: "granted" });
  });

  test("costs a row for several uses, not for each", async () => {
    const lab = new Lab();
    await useFor(lab, 300, 5_000);
    expect(written(lab) + lab.released.length).toBeLessThanOrEqual(60 / 4);
  });

  test("is kept no longer when it is quiet: the meter has every unit back that was not spent, and knows of the others", async () => {
    const lab = new Lab();
    await useFor(lab, 60, 5_000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lab.used("default/lin_1")).toBe(12);
    expect([...lab.meter("default/lin_1").spent.values()]).toEqual([12]);
    const { length } = lab.asked;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(lab.asked).toHaveLength(length);
  });

  test("once a minute, is not kept at all", async () => {
    const lab = new Lab();
    await useFor(lab, 600, 60_000);
    expect(lab.asked).toHaveLength(10);
  });

  test("is not kept on a record that the meter has replaced, however often it rings", async () => {
    const lab = new Lab();
    await useFor(lab, 10, 2_000);
    lab.newest = proxyRecord({ generation: 2 });
    const { length } = lab.asked;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lab.asked.length - length).toBeLessThanOrEqual(1);
  });
});

describe("many who wait at once", () => {
  test("cost a call for all of them, which asks for what they need", async () => {
    const lab = new Lab();
    lab.latencyMs = 100;
    const burst = Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        lab.broker.acquire("default/lin_1", asking({ holder: `isolate-${index}` }), false),
      ),
    );
    await vi.advanceTimersByTimeAsync(1_000);
    expect((await burst).every((one) => one?.outcome === "granted")).toBe(true);
    // The first asks for itself, the second for all who came meanwhile; then ahead of need.
    expect(lab.asked.length).toBeLessThanOrEqual(4);
    expect(lab.asked[1]?.request.urgent).toBeGreaterThanOrEqual(298);
  });

  test("for more than is left: so many are let in as there are units, and the others hear no, in a few calls", async () => {
    const lab = new Lab();
    lab.latencyMs = 100;
    decide(lab.meter("default/lin_1"), [DAILY], asking({ cost: 900 }), Date.now());
    const burst = Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        lab.broker.acquire("default/lin_1", asking({ holder: `isolate-${index}` }), false),
      ),
    );
    await vi.advanceTimersByTimeAsync(1_000);
    const outcomes = (await burst).map((one) => one?.outcome);
    expect(outcomes.filter((outcome) => outcome === "granted")).toHaveLength(100);
    expect(outcomes.filter((outcome) => outcome === "refused")).toHaveLength(200);
    expect(lab.asked.length).toBeLessThanOrEqual(6);
  });
});

describe("what it keeps", () => {
  /** Whether the account is still there: its lease needs no call. */
  async function isKept(lab: Lab, meter: string): Promise<boolean> {
    const { length } = lab.asked;
    await lab.broker.acquire(meter, asking({ limits: [] }), false);
    return lab.asked.length === length;
  }

  test("no more accounts than its bound, the ones used last; what they held goes home all the same", async () => {
    const lab = new Lab();
    await lab.broker.acquire("default/first", asking({ holder: "isolate-2" }), false);
    await lab.broker.acquire("default/first", asking({ want: 40 }), false);
    const before = lab.used("default/first");
    for (let index = 0; index < BROKER_ACCOUNTS; index++)
      await lab.broker.acquire(`default/lin_${index}`, asking({ limits: [] }), false);
    expect(await isKept(lab, `default/lin_${BROKER_ACCOUNTS - 1}`)).toBe(true);
    expect(await isKept(lab, "default/first")).toBe(false);
    await vi.advanceTimersByTimeAsync(60_000);
    // Its own spare units came back; those that it had handed on are the isolate's.
    expect(lab.used("default/first")).toBeLessThan(before);
    expect(lab.used("default/first")).toBeGreaterThan(0);
  });

  test("nothing of a key that was idle for a minute, once another comes", async () => {
    const lab = new Lab();
    lab.newest = proxyRecord({ generation: 2 });
    // It hears of the newer record, and would know it again.
    expect(await lab.broker.acquire("default/lin_1", asking(), false)).toMatchObject({ outcome: "stale" });
    expect(await lab.broker.acquire("default/lin_1", asking(), false)).toMatchObject({ outcome: "stale" });
    expect(lab.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(BROKER_ACCOUNT_IDLE_MS);
    await lab.broker.acquire("default/lin_2", asking({ generation: 2 }), false);
    await lab.broker.acquire("default/lin_1", asking(), false);
    expect(lab.asked).toHaveLength(3);
  });
});
