import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { brokeredMeters, homeMeters, type Meters } from "../../src/gateway/meters.ts";
import type { KeyHash } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import type { Introduction } from "../../src/limits/introduction.ts";
import { hourOf } from "../../src/limits/window.ts";

/** Who is asked, and what becomes of a call that fails: nothing is handed back twice, and nobody waits long for a broker. */

const GRANTED: AcquireAnswer = { outcome: "granted", validForMs: 4_500, grants: [] };
const BACK = { counter: "burst|10", windowStart: 1, units: 5 };
const ACCOUNT = { meter: "default/lin_1", keyId: "key_1", shardKey: "hash" };
const FRANKFURT = "FRA";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function asking(changes: Partial<AcquireRequest> = {}): AcquireRequest {
  const hour = hourOf(Date.now());
  const account = { holder: "isolate-1", keyId: "key_1", generation: 1, limits: [] };
  const hand = { want: 0, urgent: 0, holdings: [], returned: [BACK], spent: [{ hour, units: 3 }] };
  return { ...account, cost: 1, hour, ttlMs: 4_500, ...hand, ...changes };
}

/** A namespace that notes who was called, with what, and answers as it is told. */
function namespaceOf(answer: (method: string) => unknown) {
  const calls: { name: string; method: string; args: readonly unknown[] }[] = [];
  const getByName = (name: string) =>
    new Proxy(
      {},
      {
        get: (_, method) =>
          method === "then"
            ? undefined
            : async (...args: unknown[]) => {
                calls.push({ name, method: String(method), args });
                return await answer(String(method));
              },
      },
    );
  return { calls, namespace: { getByName } };
}

interface Lab {
  readonly meters: Meters;
  readonly brokers: ReturnType<typeof namespaceOf>["calls"];
  readonly homes: ReturnType<typeof namespaceOf>["calls"];
}

function lab(brokerAnswers: () => unknown, at: string | null | (() => string) = FRANKFURT, shards = 16): Lab {
  const brokers = namespaceOf(() => brokerAnswers());
  const homes = namespaceOf((method) => (method === "acquire" ? GRANTED : undefined));
  // Of namespaces the gateway uses `getByName` alone.
  const env = { KEY_METER: homes.namespace, LEASE_BROKER: brokers.namespace } as unknown as Env;
  return {
    meters: brokeredMeters(env, { shards, location: typeof at === "function" ? at : () => at }),
    brokers: brokers.calls,
    homes: homes.calls,
  };
}

const lost = (): never => {
  throw new Error("Network connection lost.");
};

function introduction(): Introduction {
  const routePolicy = { strict: false, onMeterUnavailable: null, graceSeconds: null };
  // A hash is any text here.
  return { hash: "hash" as KeyHash, holder: "isolate-1", plans: {}, routeLimits: [], routePolicy, cost: 1, hour: 0 };
}

describe("a broker that does not answer", () => {
  test.each([
    ["is down, or its answer is lost", lost],
    ["hangs", () => new Promise(() => undefined)],
  ])("and %s: the home meter is asked within a second, and is handed back nothing", async (_, answer) => {
    const { meters, brokers, homes } = lab(answer);
    const asked = meters.acquire(ACCOUNT, asking(), false);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await asked).toEqual(GRANTED);
    expect(brokers).toHaveLength(1);
    expect(homes.map(({ name, method, args }) => ({ name, method, args }))).toEqual([
      { name: ACCOUNT.meter, method: "acquire", args: [asking({ returned: [] })] },
    ]);
  });

  test("is left alone for a second, by all of its accounts; other brokers are not", async () => {
    let location = FRANKFURT;
    const { meters, brokers, homes } = lab(lost, () => location, 1);
    await meters.acquire(ACCOUNT, asking(), false);
    await meters.acquire({ ...ACCOUNT, shardKey: "other" }, asking(), false);
    expect(await meters.introduce(introduction())).toBe(null);
    await meters.release(ACCOUNT, { holder: "isolate-1", returned: [BACK], spent: [] });
    expect([brokers.length, homes.length]).toEqual([1, 3]);
    // In between it goes to the meter whole: nobody else has heard it.
    expect(homes[1]?.args).toEqual([asking()]);
    expect(homes[2]).toMatchObject({ method: "release", args: [{ holder: "isolate-1", returned: [BACK], spent: [] }] });
    location = "IAD";
    await meters.acquire(ACCOUNT, asking(), false);
    expect(brokers).toHaveLength(2);
    location = FRANKFURT;
    vi.advanceTimersByTime(1_000);
    await meters.acquire(ACCOUNT, asking(), false);
    expect(brokers).toHaveLength(3);
  });

  test("does not get units that were handed back twice: what may have arrived is not sent to the meter", async () => {
    const { meters, brokers, homes } = lab(lost);
    await meters.release(ACCOUNT, { holder: "isolate-1", returned: [BACK], spent: [] });
    expect(brokers).toHaveLength(1);
    expect(homes).toEqual([]);
  });

  test("makes nobody unknown: KV is read", async () => {
    const { meters } = lab(lost);
    expect(await meters.introduce(introduction())).toBe(null);
  });
});

test("a broker that is well and cannot reach a meter is asked about other keys at once", async () => {
  const { meters, brokers, homes } = lab(() => null, FRANKFURT, 1);
  expect(await meters.acquire(ACCOUNT, asking(), false)).toEqual(GRANTED);
  expect(homes[0]?.args).toEqual([asking({ returned: [] })]);
  expect(await meters.introduce(introduction())).toBe(null);
  expect(brokers).toHaveLength(2);
});

describe("who is asked", () => {
  test("a strict request: the home meter, always", async () => {
    const { meters, brokers, homes } = lab(() => GRANTED);
    await meters.acquire(ACCOUNT, asking({ ttlMs: 0 }), true);
    expect([brokers.length, homes.length]).toEqual([0, 1]);
    // As it is: nobody else heard of it.
    expect(homes[0]?.args).toEqual([asking({ ttlMs: 0 })]);
  });

  test("nobody nearby, while the isolate does not know where it is", async () => {
    const { meters, brokers, homes } = lab(() => GRANTED, null);
    await meters.acquire(ACCOUNT, asking(), false);
    await meters.release(ACCOUNT, { holder: "isolate-1", returned: [], spent: [] } satisfies ReleaseRequest);
    expect(await meters.introduce(introduction())).toBe(null);
    expect([brokers.length, homes.length]).toEqual([0, 2]);
  });

  test("the broker of its location, always the same one, however hot a key is", async () => {
    const { meters, brokers } = lab(() => GRANTED);
    await meters.acquire(ACCOUNT, asking({ want: 0 }), false);
    await meters.acquire(ACCOUNT, asking({ want: 1_000 }), false);
    expect(brokers.map(({ name }) => name)).toEqual([brokers[0]?.name, brokers[0]?.name]);
    expect(brokers[0]?.name).toMatch(/^FRA\/\d+$/);
  });

  test("where no location is told: brokers of no location", async () => {
    const { meters, brokers } = lab(() => GRANTED, "");
    await meters.acquire(ACCOUNT, asking(), false);
    expect(brokers[0]?.name).toMatch(/^any\/\d+$/);
  });

  test("keys are spread over all brokers of a location, and each has one", async () => {
    const { meters, brokers } = lab(() => GRANTED);
    for (let turn = 0; turn < 2; turn++)
      for (let key = 0; key < 400; key++)
        await meters.acquire({ ...ACCOUNT, shardKey: `hash-${key}` }, asking(), false);
    const names = brokers.map(({ name }) => name);
    const asked = new Map<string, number>();
    for (const name of names) asked.set(name, (asked.get(name) ?? 0) + 1);
    expect(asked.size).toBe(16);
    expect(Math.max(...asked.values())).toBeLessThan(3 * (names.length / 16));
    expect(names.slice(400)).toEqual(names.slice(0, 400));
  });

  test("without brokers: home meters alone, and KV for who is met", async () => {
    const homes = namespaceOf(() => GRANTED);
    const meters = homeMeters({ KEY_METER: homes.namespace } as unknown as Env); // as above
    await meters.acquire(ACCOUNT, asking(), false);
    await meters.release(ACCOUNT, { holder: "isolate-1", returned: [], spent: [] });
    expect(await meters.introduce(introduction())).toBe(null);
    expect(homes.calls.map(({ method }) => method)).toEqual(["acquire", "release"]);
  });
});
