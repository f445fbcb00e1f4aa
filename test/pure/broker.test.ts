import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Step, stepsArbitrary } from "../support/broker-steps.ts";
import { BrokerWorld, LIMIT } from "../support/broker-world.ts";

/** A broker never makes a unit, never says of a key what the meter has not said to it, and forgets nothing that was spent. */

const RUNS = { numRuns: 500 };

function run(steps: readonly Step[], look: (world: BrokerWorld, step: Step) => void = () => undefined): BrokerWorld {
  const world = new BrokerWorld();
  for (const step of steps) {
    world.take(step);
    look(world, step);
  }
  return world;
}

function without(...kinds: readonly Step["do"][]): fc.Arbitrary<Step[]> {
  return stepsArbitrary.map((steps) => steps.filter((step) => !kinds.includes(step.do)));
}

describe("isolates, two brokers and a meter, with answers that overtake each other", () => {
  test("whatever is lost, nobody ever holds or spends a unit that the meter does not count as used", () => {
    fc.assert(
      fc.property(stepsArbitrary, (steps) => {
        run(steps, (world, step) => {
          const { used, held, admitted, lost } = world.find(LIMIT);
          expect(held + admitted + lost, JSON.stringify(step)).toBeLessThanOrEqual(used);
          expect(used).toBeLessThanOrEqual(LIMIT.limit);
          expect(world.leastInHand()).toBe(0);
        });
      }),
      RUNS,
    );
  });

  test("while nobody hands everything back, each unit that the meter counts as used is in one place after every step", () => {
    fc.assert(
      fc.property(without("release", "sendHome"), (steps) => {
        run(steps, (world, step) => {
          const { used, held, admitted, lost } = world.find(LIMIT);
          expect({ step, units: held + admitted + lost }).toEqual({ step, units: used });
        });
      }),
      RUNS,
    );
  });

  test("no admission outlives what the meter said to that broker of that record", () => {
    fc.assert(
      fc.property(stepsArbitrary, (steps) => {
        expect(run(steps).faults).toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });

  test("when everything has come home the meter knows what was spent, and has every other unit back", () => {
    fc.assert(
      fc.property(without("lose", "release", "sendHome"), (steps) => {
        const world = run(steps);
        world.settle();
        const { used, admitted } = world.find(LIMIT);
        expect(used).toBe(admitted);
        expect(world.spentAtMeter).toBe(admitted);
      }),
      RUNS,
    );
  });

  test("a report is never lost and never counted twice, whenever it comes", () => {
    fc.assert(
      fc.property(without("lose"), (steps) => {
        const world = run(steps);
        world.settle();
        expect(world.spentAtMeter).toBe(world.admitted);
      }),
      RUNS,
    );
  });
});
