import { expect, it } from "vitest";
import { LeaseBook } from "../../src/gateway/lease-book.ts";
import { covers, type Lease, newLease, readClock } from "../../src/limits/lease.ts";
import { askForRequest, takeAnswer } from "../../src/limits/lease-exchange.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide, newMeterState } from "../../src/limits/meter.ts";

const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const HOUR_MS = 3_600_000;
const LIMIT: Limit = { name: "burst", limit: 1_000, window: "hour", kind: "rate" };
const ASKER = { holder: "isolate", keyId: "key_1", generation: 1, limits: [LIMIT], ttlMs: 4_500 } as const;

/** Asks at `askedAt` for 10 units ahead; the answer comes at `answeredAt`. */
function acquire(lease: Lease, askedAt: number, answeredAt: number) {
  const pledge = askForRequest(lease, { ...ASKER, cost: 1, now: askedAt, leastWant: 10 });
  const { grants } = decide(newMeterState(null), [LIMIT], pledge.request, NOW);
  return takeAnswer(lease, pledge, { outcome: "granted", validForMs: 4_500, grants }, answeredAt);
}

it("a lease does not stand once the clock that it was granted by is set back, and neither do its units", () => {
  const book = new LeaseBook();
  book.observe(NOW);
  const lease = book.of("key_1");
  expect(acquire(lease, NOW, NOW + 20)).not.toBeNull();
  expect(covers(lease, [LIMIT], 1, NOW + 20)).toBe(true);
  book.observe(NOW - HOUR_MS);
  expect(lease.validUntil).toBe(0);
  expect(lease.grantedAt).toBe(0);
  expect(covers(lease, [LIMIT], 1, NOW - HOUR_MS)).toBe(false);
});

it("readings that are out of order by some milliseconds are no step", () => {
  const book = new LeaseBook();
  const lease = book.of("key_1");
  acquire(lease, NOW, NOW + 20);
  book.observe(NOW + 20);
  book.observe(NOW + 15);
  expect(lease.validUntil).toBe(NOW + 4_500);
  expect(readClock(NOW, NOW - 250)).toEqual({ newest: NOW, setBack: false });
  expect(readClock(NOW, NOW - 251)).toEqual({ newest: NOW - 251, setBack: true });
});

it("an answer to a question of before the step grants nothing: nobody can tell how old it is", () => {
  const lease = newLease();
  expect(acquire(lease, NOW, NOW - HOUR_MS)).toBeNull();
  expect(lease.validUntil).toBe(0);
  expect(covers(lease, [LIMIT], 1, NOW - HOUR_MS)).toBe(false);
  // The meter has counted the request that is not admitted: it is told otherwise.
  expect(lease.spent.reduce((sum, { units }) => sum + units, 0)).toBe(-1);
});
