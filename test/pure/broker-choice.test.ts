import { afterEach, expect, test, vi } from "vitest";
import { brokeredMeters } from "../../src/gateway/meters.ts";
import type { GatewayConfig } from "../../src/config.ts";
import { createIsolate } from "../../src/gateway/isolate.ts";
import type { AcquireRequest } from "../../src/limits/acquire.ts";

/** `leaseBrokers` in the configuration decides whom an isolate asks. */

const REQUEST: AcquireRequest = {
  holder: "isolate-1",
  keyId: "key_1",
  generation: 1,
  limits: [],
  cost: 1,
  hour: 0,
  want: 0,
  holdings: [],
  returned: [],
  spent: [],
  ttlMs: 4_500,
};

/** Names of the objects that were asked for a hundred keys. */
async function askedBy(leaseBrokers: GatewayConfig["leaseBrokers"]): Promise<Set<string>> {
  const asked = new Set<string>();
  const namespace = (binding: string) => ({
    getByName: (name: string) => {
      asked.add(`${binding} ${name}`);
      return { acquire: () => Promise.resolve({ outcome: "granted", validForMs: 4_500, grants: [] }) };
    },
  });
  const upstreams = { api: { url: "https://origin.test" } };
  const config: GatewayConfig = leaseBrokers === undefined ? { upstreams } : { upstreams, leaseBrokers };
  // What an isolate is made of, as far as this test goes.
  const env = { KEY_METER: namespace("meter"), LEASE_BROKER: namespace("broker") } as unknown as Env;
  const isolate = createIsolate(config, env);
  if (!isolate.ok) throw new Error(isolate.error.map(({ detail }) => detail).join());
  isolate.value.place = { region: "oc", colo: "SYD" };
  const { meters } = isolate.value.parts;
  for (let key = 0; key < 100; key++)
    await meters.acquire({ meter: "default/lin_1", keyId: "key_1", shardKey: `hash-${key}` }, REQUEST, false);
  return asked;
}

test("nothing said: 4 brokers in a region", async () => {
  const asked = await askedBy(undefined);
  expect(asked.size).toBe(4);
  expect([...asked].every((name) => name.startsWith("broker oc/0/"))).toBe(true);
});

test("as many as are said", async () => {
  expect(await askedBy({ shardsPerRegion: 1 })).toEqual(new Set(["broker oc/0/0"]));
  expect((await askedBy({ shardsPerRegion: 4 })).size).toBe(4);
});

test("false: home meters alone", async () => {
  expect(await askedBy(false)).toEqual(new Set(["meter default/lin_1"]));
});

afterEach(() => {
  vi.useRealTimers();
});

test("a key that is hot keeps its lane for a while, so that what the lane's broker holds of a limit stays within reach", async () => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 23) });
  const asked: string[] = [];
  const getByName = (name: string) => {
    asked.push(name);
    const granted = { outcome: "granted", validForMs: 4_500, grants: [] } as const;
    return { acquire: () => Promise.resolve(granted), release: () => Promise.resolve() };
  };
  // What `brokeredMeters` calls of a namespace.
  const env = { LEASE_BROKER: { getByName } } as unknown as Env;
  const meters = brokeredMeters(env, { shards: 1, place: () => ({ region: "oc", colo: "SYD" }) });
  const account = { meter: "default/lin_1", keyId: "key_1", shardKey: "hash" } as const;
  const laneAfter = async (act: () => Promise<unknown>): Promise<string | undefined> => {
    await act();
    return asked.at(-1)?.split("/")[1];
  };
  const acquire = (want: number) => laneAfter(() => meters.acquire(account, { ...REQUEST, want }, false));
  expect(await acquire(31)).toBe("0");
  const lane = await acquire(32);
  expect(lane).not.toBe("0");
  // Once it is refused it wishes for nothing, and at the end it hands back.
  expect(await acquire(0)).toBe(lane);
  expect(await laneAfter(() => meters.release(account, { holder: "isolate-1", returned: [], spent: [] }))).toBe(lane);
  vi.advanceTimersByTime(10_000);
  expect(await acquire(0)).toBe("0");
});
