import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { addEventTo, type Distributions, figuresIn, noDistributions } from "../../src/usage/distributions.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import type { UsageQuery } from "../../src/usage/query.ts";
import { GRANULARITY_SECONDS, isAllowed } from "../../src/usage/rollup.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

const START = Date.parse("2026-10-05T10:00:00.000Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** What happens next: time passes, events come (now or late), a batch comes again, the object is evicted, its alarm runs. */
const anyStep = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1_000, max: 7 * HOUR }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("events" as const),
      late: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 30 * HOUR })), { minLength: 1, maxLength: 6 }),
      key: fc.constantFrom("key_a", "key_b"),
      code: fc.constantFrom("allowed", "rate_limited"),
      cost: fc.integer({ min: 0, max: 50 }),
      latencyMs: fc.integer({ min: 0, max: 60_000 }),
      upstreamMs: fc.option(fc.integer({ min: 0, max: 60_000 })),
      clientIp: fc.option(fc.constantFrom("192.0.2.1", "192.0.2.2", "2001:db8::1")),
      asn: fc.constantFrom(64_500, null),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "again" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "evict" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "alarm" as const }) },
);

let count = 0;

test("whatever the order of events, repeats, evictions and alarms, each answer is the sum of the events", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { minLength: 5, maxLength: 25 }),
      fc.constantFrom("minute" as const, "hour" as const, "day" as const),
      fc.tuple(fc.integer({ min: 0, max: 40 * 60 }), fc.integer({ min: 0, max: 40 * 60 })),
      async (steps, granularity, [a, b]) => {
        vi.setSystemTime(START);
        const name = `sums-test-${++count}/0`;
        const stub = env.USAGE_LEDGER.getByName(name);
        const ledger = ledgerByName(env.USAGE_LEDGER, name);
        const events: UsageEvent[] = [];
        let last: { batchId: string; events: readonly UsageEvent[] } | null = null;
        for (const step of steps) {
          const now = Date.now();
          if (step.kind === "pass") vi.setSystemTime(now + step.ms);
          if (step.kind === "evict") {
            // Only a running object can be evicted.
            await ledger.status();
            await evictDurableObject(stub);
          }
          if (step.kind === "alarm") await runDurableObjectAlarm(stub);
          if (step.kind === "again" && last !== null) await ledger.ingest([last]);
          if (step.kind === "events") {
            const { kind: _kind, late: lates, key: keyId, ...of } = step;
            const fresh = lates.map((late) => usageEvent({ ...of, keyId, time: now - late }));
            last = usageBatch(fresh, now);
            events.push(...fresh);
            await ledger.ingest([{ batchId: last.batchId, events: fresh }]);
          }
        }
        const now = Date.now();
        // Within the retention of minutes, where every answer is exact to the minute.
        const from = now - Math.max(a, b) * MINUTE;
        const to = now - Math.min(a, b) * MINUTE + MINUTE;
        const query: UsageQuery = { from, to, granularity, groupBy: ["key"], filters: {}, distributions: true };
        const answer = await ledger.query(query);
        if (!answer.ok) throw new Error(answer.error.detail);
        // What is priced as cold depends on the table that answers.
        const points = answer.value.points.map(({ start, group, sums, distributions }) => ({
          start,
          group,
          sums,
          figures: figuresIn(distributions ?? noDistributions()),
        }));
        expect(points).toEqual(bruteForce(events, answer.value.from, answer.value.to, query));
        expect(answer.value.from).toBe(Math.floor(from / MINUTE) * MINUTE);
        expect(answer.value.to).toBe(Math.ceil(to / MINUTE) * MINUTE);
        const { totals } = await ledger.status();
        expect(totals.reduce((sum, total) => sum + total.cost, 0)).toBe(
          events.reduce((sum, event) => sum + event.cost, 0),
        );
      },
    ),
    { numRuns: 60 },
  );
});

interface Counted {
  readonly start: number;
  readonly group: readonly (string | null)[];
  readonly sums: Record<string, number>;
  readonly distributions: Distributions;
}

function bruteForce(events: readonly UsageEvent[], from: number, to: number, query: UsageQuery) {
  if (query.granularity === "month") throw new Error("months are counted elsewhere");
  const seconds = GRANULARITY_SECONDS[query.granularity];
  const points = new Map<string, Counted>();
  for (const event of events) {
    if (event.time < from || event.time >= to) continue;
    const start = Math.floor(event.time / 1_000 / seconds) * seconds;
    const point = points.get(`${start} ${event.keyId}`) ?? {
      start,
      group: [event.keyId],
      sums: { requests: 0, allowed: 0, refused: 0, cost: 0, bytesIn: 0, bytesOut: 0, latencyMs: 0 },
      distributions: noDistributions(),
    };
    const add = (field: string, value: number) => {
      point.sums[field] = (point.sums[field] ?? 0) + value;
    };
    add("requests", 1);
    add(isAllowed(event.code) ? "allowed" : "refused", 1);
    add("cost", event.cost);
    add("bytesIn", event.bytesIn);
    add("bytesOut", event.bytesOut);
    add("latencyMs", event.latencyMs);
    addEventTo(point.distributions, event);
    points.set(`${start} ${event.keyId}`, point);
  }
  return [...points.values()]
    .toSorted((a, b) => a.start - b.start || (String(a.group[0]) < String(b.group[0]) ? -1 : 1))
    .map(({ distributions, ...point }) => ({ ...point, figures: figuresIn(distributions) }));
}
