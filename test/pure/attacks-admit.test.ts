import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { windowAt } from "../../src/limits/window.ts";
import { run, type Schedule, scheduleArbitrary } from "../support/admission-lab.ts";

/** Each takes some 40 ms of real time. */
const RUNS = 200;

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** The most that any one window let through. */
async function most(schedule: Schedule): Promise<number> {
  const { kept, limit } = await run(schedule);
  const perWindow = new Map<number, number>();
  for (const { at, cost } of kept) {
    const { start } = windowAt(limit.window, at);
    perWindow.set(start, (perWindow.get(start) ?? 0) + cost);
  }
  return Math.max(0, ...perWindow.values());
}

test("no schedule of concurrent requests, lost calls and refunds lets more through than the limit, brokers or not", async () => {
  await fc.assert(
    fc.asyncProperty(scheduleArbitrary, async (schedule) => {
      expect(await most(schedule)).toBeLessThanOrEqual(schedule.limit);
    }),
    { numRuns: RUNS },
  );
});

test("what a limit holds is served through brokers too: two regions, nothing lost, twice as much asked for", async () => {
  const requests = Array.from({ length: 400 }, (_, index) => ({
    at: 1_000 + index * 10,
    isolate: index % 4,
    cost: 1,
    refundAfterMs: 0,
  }));
  const steady = { windowSeconds: 5, latencyMs: 40, isolates: 4, loss: 0, brokers: 2, brokerLife: 0, requests };
  for (const limit of [20, 200]) {
    const served = await most({ ...steady, limit });
    expect(served).toBeLessThanOrEqual(limit);
    expect(served).toBeGreaterThanOrEqual(0.98 * limit);
  }
});
