import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AcquireAnswer, AcquireRequest } from "../../src/limits/acquire.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { hourOf } from "../../src/limits/window.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/** What the real object writes, and what is left when it loses its memory: `pure/meter-writes` of the product. */

const HOURLY: Limit = { name: "burst", limit: 1_000, window: "hour", kind: "rate" };
/** Early in an hour that is to come, so that no alarm rings by itself. */
const START = Date.UTC(2126, 10, 23, 12, 5);

let made = 0;
async function newMeter() {
  made += 1;
  const meter = env.KEY_METER.getByName(`default/lin_writes_${made}`);
  await meter.publish([proxyRecord()]);
  return meter;
}
type Meter = Awaited<ReturnType<typeof newMeter>>;

async function ask(meter: Meter, changes: Partial<AcquireRequest> = {}): Promise<AcquireAnswer> {
  const { id, generation } = proxyRecord();
  return await meter.acquire({
    holder: "isolate-1",
    keyId: id,
    generation,
    limits: [HOURLY],
    cost: 1,
    hour: hourOf(Date.now()),
    want: 0,
    urgent: 0,
    holdings: [],
    returned: [],
    spent: [],
    ttlMs: 4_500,
    ...changes,
  });
}

/** SQLite counts the rows that a connection has changed; a look must not change them. */
async function rowsChanged(meter: Meter): Promise<number> {
  return await runInDurableObject(
    meter,
    (_instance, state) => state.storage.sql.exec<{ rows: number }>("SELECT total_changes() AS rows").one().rows,
  );
}

async function alarmOf(meter: Meter): Promise<number | null> {
  return await runInDurableObject(meter, async (_instance, state) => await state.storage.getAlarm());
}

async function leftOf(meter: Meter): Promise<number> {
  const look = await ask(meter, { cost: 0 });
  if (look.outcome === "stale") throw new Error("the record is old");
  return look.grants[0]?.remaining ?? Number.NaN;
}

async function spentOf(meter: Meter): Promise<number> {
  return (await meter.spentByHour(0, Infinity)).reduce((sum, { spent }) => sum + spent, 0);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a key that is asked for now and then", () => {
  it.each([
    ["with a limit", [HOURLY], 980],
    ["without one", [], Number.NaN],
  ] as const)(
    "%s costs one row a request, needs no alarm, and loses nothing when its meter loses its memory each time",
    async (_name, limits, left) => {
      const meter = await newMeter();
      for (let index = 0; index < 20; index++) {
        vi.setSystemTime(START + index * 60_000);
        const before = await rowsChanged(meter);
        expect((await ask(meter, { limits })).outcome).toBe("granted");
        expect((await rowsChanged(meter)) - before).toBe(1);
        expect(await alarmOf(meter)).toBeNull();
        await evictDurableObject(meter);
      }
      expect(await spentOf(meter)).toBe(20);
      const look = await ask(meter, { limits, cost: 0 });
      expect(look.outcome === "granted" ? (look.grants[0]?.remaining ?? Number.NaN) : null).toBe(left);
    },
  );

  it("gets back what an idle isolate hands back, though the memory is lost at once", async () => {
    const meter = await newMeter();
    const granted = await ask(meter, { want: 30 });
    if (granted.outcome !== "granted") throw new Error(granted.outcome);
    const { windowStart = 0, granted: units = 0 } = granted.grants[0] ?? {};
    expect(units).toBe(31);
    vi.setSystemTime(START + 4_600);
    await meter.release({
      holder: "isolate-1",
      returned: [{ counter: "burst|3600", windowStart, units: 20 }],
      spent: [{ hour: hourOf(START), units: 10 }],
    });
    await evictDurableObject(meter);
    expect(await leftOf(meter)).toBe(989);
    expect(await spentOf(meter)).toBe(11);
  });
});

describe("a key in a burst", () => {
  async function burst(meter: Meter, calls: number): Promise<void> {
    for (let index = 0; index < calls; index++) {
      vi.setSystemTime(Date.now() + 20);
      expect((await ask(meter, { holder: `isolate-${index}` })).outcome).toBe("granted");
    }
  }

  it("costs few rows, and an alarm writes things as they are when it is over", async () => {
    const meter = await newMeter();
    const before = await rowsChanged(meter);
    await burst(meter, 200);
    // The first eight, blocks of 2, 4, 8, 16, 32 units and then 50; the alarm is counted, too, where it is a row.
    expect((await rowsChanged(meter)) - before).toBeLessThanOrEqual(20);
    const endedAt = Date.now();
    for (let alarm = await alarmOf(meter); alarm !== null; alarm = await alarmOf(meter)) {
      expect(alarm).toBeGreaterThanOrEqual(Date.now());
      vi.setSystemTime(alarm);
      await runDurableObjectAlarm(meter);
    }
    // Before an idle object loses its memory.
    expect(Date.now() - endedAt).toBeLessThan(8_000);
    await evictDurableObject(meter);
    expect(await leftOf(meter)).toBe(800);
    expect(await spentOf(meter)).toBe(200);
  });

  it("that goes on when the alarm rings has it ring again", async () => {
    const meter = await newMeter();
    await burst(meter, 200);
    expect(await runDurableObjectAlarm(meter)).toBe(true);
    expect(await alarmOf(meter)).toBeGreaterThan(Date.now());
  });

  it("whose meter loses its memory in the middle has at most 5 % of the limit less, and nothing more", async () => {
    const meter = await newMeter();
    await burst(meter, 150);
    await evictDurableObject(meter);
    const left = await leftOf(meter);
    expect(left).toBeLessThanOrEqual(850);
    expect(left).toBeGreaterThanOrEqual(800);
    // The alarm outlives the memory, and finds nothing to do.
    vi.setSystemTime(Date.now() + 5_000);
    const before = await rowsChanged(meter);
    await runDurableObjectAlarm(meter);
    expect(await leftOf(meter)).toBe(left);
    expect((await rowsChanged(meter)) - before).toBeLessThanOrEqual(1);
  });
});

it("a refusal says how long the asker need not ask again", async () => {
  const meter = await newMeter();
  expect(await ask(meter, { cost: 1_001 })).toMatchObject({ outcome: "refused", askAgainInMs: 250 });
});
