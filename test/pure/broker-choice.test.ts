import { expect, test } from "vitest";
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
  urgent: 0,
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
  isolate.value.location = "SYD";
  const { meters } = isolate.value.parts;
  for (let key = 0; key < 100; key++)
    await meters.acquire({ meter: "default/lin_1", keyId: "key_1", shardKey: `hash-${key}` }, REQUEST, false);
  return asked;
}

test("nothing said: 2 brokers at a location", async () => {
  const asked = await askedBy(undefined);
  expect(asked.size).toBe(2);
  expect([...asked].every((name) => /^broker SYD\/\d+$/.test(name))).toBe(true);
});

test("as many as are said", async () => {
  expect((await askedBy({ shardsPerLocation: 1 })).size).toBe(1);
  expect((await askedBy({ shardsPerLocation: 4 })).size).toBe(4);
});

test("false: home meters alone", async () => {
  expect(await askedBy(false)).toEqual(new Set(["meter default/lin_1"]));
});
