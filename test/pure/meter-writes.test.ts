import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AcquireRequest } from "../../src/limits/acquire.ts";
import type { Limit, LimitWindow } from "../../src/limits/limit.ts";
import { decide, type MeterState, newMeterState } from "../../src/limits/meter.ts";
import { dueAfterCall, dueAfterWake, noteWritten } from "../../src/limits/meter-writes.ts";
import { reserveAhead } from "../../src/limits/sizing.ts";
import { counterOf, hourOf, windowAt } from "../../src/limits/window.ts";
import { type Faults, LeaseWorld, NO_FAULTS } from "../support/lease-world.ts";
import { seeded } from "../support/seeded.ts";

/** Aligned to no window. */
const START = Date.UTC(2026, 10, 23, 12, 34, 56, 789);
const HOURLY: Limit = { name: "burst", limit: 100_000, window: "hour", kind: "rate" };
const MONTHLY: Limit = { name: "monthly", limit: 10_000_000, window: "month", kind: "quota" };

const limitsArbitrary: fc.Arbitrary<Limit[]> = fc
  .array(
    fc.record({
      limit: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(2_000, 100_000)),
      window: fc.oneof(
        fc.constantFrom<LimitWindow>("minute", "hour", "day", "month"),
        fc.integer({ min: 1, max: 30 }).map((seconds) => ({ seconds })),
      ),
    }),
    { maxLength: 3 },
  )
  .map((parts) => parts.map((part, index) => ({ name: `limit-${index}`, kind: "rate" as const, ...part })));

const faultsArbitrary: fc.Arbitrary<Faults> = fc.record({
  loseRequest: fc.constantFrom(0, 0, 0.1),
  loseAnswer: fc.constantFrom(0, 0, 0.1),
  crash: fc.constantFrom(0, 0, 0.02, 0.2),
  clockOffsetMs: fc.constant(0),
  refund: fc.constantFrom(0, 0.1, 0.9),
});

interface Schedule {
  readonly limits: Limit[];
  readonly faults: Faults;
  readonly isolates: number;
  readonly seed: number;
}

const scheduleArbitrary: fc.Arbitrary<Schedule> = fc.record({
  limits: limitsArbitrary,
  faults: faultsArbitrary,
  isolates: fc.integer({ min: 1, max: 40 }),
  seed: fc.integer(),
});

/** Bursts and quiet spells of random length. */
function live({ limits, faults, isolates, seed }: Schedule): { readonly world: LeaseWorld; readonly cost: number } {
  const random = seeded(seed);
  const latencyMs = Math.floor(random() * 100);
  const world = new LeaseWorld({ limits, isolates, latencyMs, faults, random, startAt: START });
  let at = START;
  let cost = 0;
  const spells = 1 + Math.floor(random() * 6);
  for (let spell = 0; spell < spells; spell++) {
    const gapMs = 10 ** (random() * 4);
    const requests = 1 + Math.floor(random() * 80);
    for (let index = 0; index < requests; index++) {
      at += Math.floor(2 * gapMs * random());
      world.request(Math.floor(random() * isolates), 1, at);
      cost++;
    }
    at += Math.floor(random() * 30_000);
  }
  world.run();
  return { world, cost };
}

describe("nothing is lost", () => {
  it("storage always knows of at least what is used, and a crash never leaves more unused than is promised", () => {
    let ahead = 0;
    fc.assert(
      fc.property(scheduleArbitrary, (schedule) => {
        // The world's meter throws when storage knows of less than is used.
        const { world } = live(schedule);
        for (const limit of schedule.limits) {
          const span = windowAt(limit.window, START);
          const promised = reserveAhead(limit.limit, span.end - span.start);
          const worst = world.meter.worstAhead.get(counterOf(limit)) ?? 0;
          expect(worst).toBeLessThanOrEqual(promised);
          if (worst > 0) ahead++;
        }
      }),
      { numRuns: 3_000 },
    );
    // Bursts are written behind: otherwise the property would hold of anything.
    expect(ahead).toBeGreaterThan(500);
  });

  it("once all is quiet storage has everything that memory has, whatever was lost or crashed before", () => {
    fc.assert(
      fc.property(scheduleArbitrary, (schedule) => {
        const { world } = live(schedule);
        const found = newMeterState(world.meter.stored);
        const { state } = world.meter;
        expect(Object.fromEntries(found.spent)).toEqual(Object.fromEntries(state.spent));
        for (const [name, counter] of state.counters) {
          if (counter.windowEnd <= world.now || counter.used === 0) continue;
          expect([name, found.counters.get(name)?.used]).toEqual([name, counter.used]);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it("a meter that loses its memory whenever it is idle counts every admitted unit once, and reports it once", () => {
    fc.assert(
      fc.property(scheduleArbitrary, ({ limits, isolates, seed }) => {
        const { world, cost } = live({ limits, isolates, seed, faults: NO_FAULTS });
        const reported = Object.values(world.meter.stored?.spent ?? {}).reduce((sum, units) => sum + units, 0);
        expect(reported).toBe(world.admitted);
        expect(world.admitted + world.refused + world.failed).toBe(cost);
        for (const limit of limits) {
          const { start } = windowAt(limit.window, world.now);
          const counter = counterOf(limit);
          const stored = world.meter.stored?.counters[counter];
          const counted = stored?.start === start ? stored.reserved : 0;
          const admitted = world.admittedByWindow.get(`${counter}@${start}`) ?? 0;
          expect(counted).toBe(admitted + world.unitsInHands(counter, start));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("rows", () => {
  const KEYS: readonly (readonly [name: string, limits: readonly Limit[]])[] = [
    ["without limits", []],
    ["with a small limit", [{ ...HOURLY, limit: 1_000 }]],
    ["with a large limit and a quota", [HOURLY, MONTHLY]],
  ];

  for (const [name, limits] of KEYS) {
    it(`a key ${name} that is asked for every 10 s costs at most one row a request, and no alarm`, () => {
      for (const isolates of [1, 3, 100]) {
        const { world, requests } = steady({ limits, isolates, gapMs: 10_000, requests: 100 });
        expect(world.admitted).toBe(requests);
        expect(world.meter.rows).toBeLessThanOrEqual(requests);
        expect(world.meter.alarmsSet).toBe(0);
      }
    });

    it(`a key ${name} costs at most 20 rows per 1,000 requests at 200 requests a second, also when each meets another isolate`, () => {
      for (const isolates of [1, 8, 1_000]) {
        const { world, requests } = steady({ limits, isolates, gapMs: 5, requests: 5_000 });
        if (limits.every((limit) => limit.limit >= requests)) expect(world.admitted).toBe(requests);
        expect(world.meter.rows).toBeLessThanOrEqual((20 * requests) / 1_000);
      }
    });
  }

  it("a burst of a few calls costs a row each, a longer one at most three more, and at most one alarm in 5 s", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 1_999 }), (calls, gapMs) => {
        const { world } = steady({ limits: [HOURLY], isolates: calls, gapMs, requests: calls });
        const alarms = Math.ceil((calls * gapMs + 2_000) / 5_000);
        expect(world.meter.alarmsSet).toBeLessThanOrEqual(calls <= 8 ? 0 : alarms);
        expect(world.meter.rows).toBeLessThanOrEqual(calls <= 8 ? calls : calls + 1 + alarms);
      }),
    );
  });

  it("refused requests write nothing", () => {
    const world = worldOf([{ ...HOURLY, limit: 10 }], 50);
    for (let index = 0; index < 2_000; index++) world.request(index % 50, 1, START + index * 20);
    world.run();
    expect(world.admitted).toBe(10);
    expect(world.refused).toBe(1_990);
    expect(world.meter.rows).toBe(10);
  });

  it("a crash in the middle of a burst leaves at most 5 % of the limit unused", () => {
    const limit: Limit = { ...HOURLY, limit: 1_000 };
    const world = worldOf([limit], 500);
    const first = windowAt(limit.window, START).end;
    for (let index = 0; index < 500; index++) world.request(index, 1, first + index * 10);
    world.at(first + 5_001, () => world.meter.crash());
    for (let index = 0; index < 2_000; index++) world.request(index % 500, 1, first + 10_000 + index * 10);
    world.run();
    expect(world.admitted).toBeGreaterThanOrEqual(950);
    expect(world.admitted).toBeLessThan(1_000);
  });
});

describe("the rules by themselves", () => {
  const ask = (state: MeterState, now: number, changes: Partial<AcquireRequest> = {}) =>
    decide(state, [HOURLY], { ...ASKED, hour: hourOf(now), ...changes }, now);

  it("a row that could not be written is due again, before anything else is answered", () => {
    const state = newMeterState(null);
    expect(ask(state, START).mustPersist).toBe(true);
    expect(dueAfterCall(state, START).checkpoint).not.toBeNull();
    // It was not written. The next call asks for nothing.
    ask(state, START + 1, { cost: 0 });
    const { checkpoint } = dueAfterCall(state, START + 1);
    expect(checkpoint?.counters[counterOf(HOURLY)]?.reserved).toBe(1);
    noteWritten(state, START + 1);
    ask(state, START + 2, { cost: 0 });
    expect(dueAfterCall(state, START + 2)).toEqual({ checkpoint: null, wakeAt: null });
  });

  it("units that come back in a burst are not kept reserved beyond what is promised", () => {
    const state = newMeterState(null);
    const limit: Limit = { ...HOURLY, limit: 1_000 };
    const call = (now: number, changes: Partial<AcquireRequest>) => {
      const decision = decide(state, [limit], { ...ASKED, hour: hourOf(now), ...changes }, now);
      const due = dueAfterCall(state, now);
      if (due.checkpoint !== null) noteWritten(state, now);
      return { decision, due };
    };
    for (let index = 0; index < 10; index++) call(START + index, {});
    const { decision } = call(START + 10, { cost: 400 });
    const windowStart = decision.grants[0]?.windowStart ?? 0;
    const back = { counter: counterOf(limit), windowStart, units: 300 };
    const { due } = call(START + 11, { cost: 0, returned: [back] });
    expect(due.checkpoint?.counters[counterOf(limit)]?.reserved).toBeLessThanOrEqual(110 + 50);
  });

  it("an alarm that finds nothing to write writes nothing, and one in the middle of a burst comes again", () => {
    const state = newMeterState(null);
    expect(dueAfterWake(state, START)).toEqual({ checkpoint: null, wakeAt: null });
    for (let index = 0; index < 9; index++) {
      ask(state, START + index);
      if (dueAfterCall(state, START + index).checkpoint !== null) noteWritten(state, START + index);
    }
    expect(dueAfterWake(state, START + 1_000)).toEqual({ checkpoint: null, wakeAt: START + 6_000 });
    const { checkpoint, wakeAt } = dueAfterWake(state, START + 6_000);
    expect(wakeAt).toBeNull();
    expect(checkpoint?.counters[counterOf(HOURLY)]?.reserved).toBe(9);
    expect(checkpoint?.spent).toEqual({ [hourOf(START)]: 9 });
  });

  it("a clock that jumps ahead and back does not begin a window again", () => {
    const short: Limit = { name: "short", limit: 3, window: { seconds: 10 }, kind: "rate" };
    const { end } = windowAt(short.window, START);
    const state = newMeterState(null);
    for (let index = 0; index < 3; index++) decide(state, [short], ASKED, end - 1);
    ask(state, end + 3_600_000);
    const stored = dueAfterCall(state, end + 3_600_000).checkpoint;
    const again = newMeterState(stored);
    expect(decide(again, [short], ASKED, end - 1).granted).toBe(false);
  });

  it("the more ask for what is used up, the later they are asked to come again, and never later than it pays", () => {
    const state = newMeterState(null);
    const none: Limit = { ...HOURLY, limit: 0 };
    const { end } = windowAt(none.window, START);
    const refused = (holder: string, now: number) => decide(state, [none], { ...ASKED, holder }, now);
    expect(refused("first", START).askAgainInMs).toBe(250);
    for (let index = 1; index < 1_000; index++) refused(`isolate-${index}`, START);
    expect(refused("first", START).askAgainInMs).toBe(4_000);
    expect(refused("first", end - 100).askAgainInMs).toBe(100);
  });
});

const ASKED: AcquireRequest = {
  holder: "isolate-1",
  keyId: "key_1",
  generation: 1,
  limits: null,
  cost: 1,
  hour: hourOf(START),
  want: 0,
  urgent: 0,
  holdings: [],
  returned: [],
  spent: [],
  ttlMs: 4_500,
};

function worldOf(limits: readonly Limit[], isolates: number): LeaseWorld {
  return new LeaseWorld({ limits, isolates, latencyMs: 5, faults: NO_FAULTS, random: seeded(5), startAt: START });
}

interface Steady {
  readonly limits: readonly Limit[];
  readonly isolates: number;
  readonly gapMs: number;
  readonly requests: number;
}

/** One request each `gapMs`, turn by turn to each isolate. */
function steady({ limits, isolates, gapMs, requests }: Steady): {
  readonly world: LeaseWorld;
  readonly requests: number;
} {
  const world = worldOf(limits, isolates);
  for (let index = 0; index < requests; index++) world.request(index % isolates, 1, START + index * gapMs);
  world.run();
  return { world, requests };
}
