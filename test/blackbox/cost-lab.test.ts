import { afterAll, beforeAll, expect, test } from "vitest";
import type { CostLab } from "../../scripts/cost/lab.ts";
import { startCostLab } from "../../scripts/cost/lab.ts";

/** The lab that `npm run cost` counts in: real isolates on a clock of their own. */

const KEYS = 40;
/** Not faster: a fast clock makes time-outs short, and this machine may be busy. */
const SPEED = 2;

let lab: CostLab;
beforeAll(async () => {
  lab = await startCostLab({ isolates: 2, keys: KEYS, progress: () => undefined });
  await lab.setSpeed(SPEED);
});
afterAll(() => lab.stop());

test("every request of quiet keys is counted with what it uses, and those of a busy key use next to nothing", async () => {
  const traffic = { isolates: 2, requestsPerSecond: 8, seed: 3 };
  await lab.reset();
  const turns = { kind: "turns", first: 0, stride: 1 } as const;
  const quiet = await lab.drive({ ...traffic, seconds: 5, keys: lab.keys, pick: turns });
  // Time for the queue and its consumer.
  await lab.wait(6 * SPEED);
  const cold = await lab.units();
  expect(cold).toMatchObject({ requests: quiet.sent, refused: 0 });
  expect(quiet.sent).toBeGreaterThan(10);
  const asked = Object.entries(cold.calls)
    .filter(([name]) => /\.(?:acquire|introduce)$/.test(name))
    .reduce((sum, [, calls]) => sum + calls, 0);
  // Each of these keys is new to its isolate.
  expect(asked).toBeGreaterThanOrEqual(Math.min(quiet.sent, KEYS));
  expect(cold.queueMessages).toBeGreaterThan(0);
  expect(cold.queueOperations).toBeGreaterThanOrEqual(3 * cold.queueMessages);
  expect(cold.objects["UsageLedger"]?.rowsWritten).toBeGreaterThan(0);

  const keys = lab.keys.slice(0, 1);
  await lab.drive({ ...traffic, seconds: 2, keys, pick: { kind: "zipf" } });
  await lab.reset();
  const busy = await lab.drive({ ...traffic, requestsPerSecond: 100, seconds: 3, keys, pick: { kind: "zipf" } });
  const warm = await lab.units();
  expect(warm).toMatchObject({ requests: busy.sent, refused: 0, kvReads: 0 });
  // What the quiet keys left goes home meanwhile: that is no asking.
  expect(warm.calls["KeyMeter.acquire"] ?? 0).toBeLessThan(busy.sent / 5);
});
