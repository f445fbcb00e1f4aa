import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bearer, control } from "../support/control.ts";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { CallCounts } from "../../scripts/lab/faults.ts";

/** Several real isolates, one meter, real time: what the property tests show of the arithmetic, shown of the product. */

let harness: Edges;
beforeAll(async () => {
  harness = await startEdges({ count: 3 });
});
afterAll(() => harness.stop());

/** What clients saw of one request. */
interface Seen {
  readonly sentAt: number;
  /** It was admitted somewhere between the two. */
  readonly answeredAt: number;
  readonly status: number;
}

/** Offers `perSecond` requests a second, turn by turn to each edge, until `until` (epoch ms). */
async function offer(edges: readonly Edge[], key: string, perSecond: number, until: number): Promise<Seen[]> {
  const seen: Promise<Seen>[] = [];
  const startedAt = Date.now();
  for (let index = 0; Date.now() < until; index++) {
    const edge = edges[index % edges.length];
    if (edge === undefined) throw new RangeError("no edges");
    const sentAt = Date.now();
    seen.push(
      edge.fetch("/limited", { headers: bearer(key) }).then(async (response) => {
        await response.arrayBuffer();
        return { sentAt, answeredAt: Date.now(), status: response.status };
      }),
    );
    await sleep(Math.max(0, startedAt + ((index + 1) * 1_000) / perSecond - Date.now()));
  }
  return await Promise.all(seen);
}

/** Waits for the start of the next window of `seconds`; returns it. */
async function nextWindow(seconds: number): Promise<number> {
  const length = seconds * 1_000;
  const start = (Math.floor(Date.now() / length) + 1) * length;
  await sleep(start - Date.now());
  return start;
}

describe("several isolates share one balance", () => {
  it.each([
    { limit: 20, seconds: 2, perSecond: 40, windows: 3 },
    { limit: 100, seconds: 5, perSecond: 80, windows: 1 },
  ])("at 4x overload $limit in $seconds s lets through at most the limit and at least 98 % of it", async (load) => {
    const { limit, seconds, perSecond, windows } = load;
    const { key } = await control(harness.home).issue({
      limits: [{ name: "burst", limit, window: { seconds }, kind: "rate" }],
    });
    const start = await nextWindow(seconds);
    const length = seconds * 1_000;
    const seen = await offer(harness.edges, key, perSecond, start + windows * length - 150);
    const passed = seen.filter(({ status }) => status === 200);
    // Whatever was sent and answered within some windows was admitted in them; on a busy machine others are admitted in the next.
    for (let first = 0; first < windows; first++) {
      for (let last = first; last < windows; last++) {
        const [from, to] = [start + first * length, start + (last + 1) * length];
        const within = passed.filter(({ sentAt, answeredAt }) => sentAt >= from && answeredAt < to);
        expect(within.length).toBeLessThanOrEqual(limit * (last - first + 1));
      }
    }
    expect(passed.length).toBeGreaterThanOrEqual(Math.ceil(limit * windows * 0.98));
    expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([200, 429]));
  });

  it("at 90 % load nothing is refused", async () => {
    const { key } = await control(harness.home).issue({
      limits: [{ name: "burst", limit: 50, window: { seconds: 2 }, kind: "rate" }],
    });
    const start = await nextWindow(2);
    const seen = await offer(harness.edges, key, 22, start + 3_900);
    expect(seen.filter(({ status }) => status !== 200)).toEqual([]);
  });

  it("a burst from all isolates at once passes the limit and not one more, and an eviction of the meter changes nothing", async () => {
    const limit = 30;
    const { key, lineageId } = await control(harness.home).issue({
      limits: [{ name: "hourly", limit, window: "hour", kind: "quota" }],
    });
    const burst = async (): Promise<number> => {
      const statuses = await Promise.all(
        Array.from({ length: 30 }, async (_, index) => {
          const response = await harness.edges[index % 3]?.fetch("/limited", { headers: bearer(key) });
          return response?.status;
        }),
      );
      return statuses.filter((status) => status === 200).length;
    };
    let passed = await burst();
    await harness.evict("KeyMeter", `default/${lineageId}`);
    passed += await burst();
    // Where the machine stood still for a second, isolates went past their broker, and what it holds comes home with its lease.
    for (const givingUpAt = Date.now() + 15_000; passed < limit && Date.now() < givingUpAt;) {
      await sleep(500);
      passed += await burst();
    }
    expect(passed).toBe(limit);
    expect(await burst()).toBe(0);
  });

  it("the old and the new key of a rotation draw on one balance, on whatever isolate", async () => {
    const api = control(harness.home);
    const old = await api.issue({ limits: [{ name: "daily", limit: 12, window: "day", kind: "quota" }] });
    const fresh = await api.rotate(old.id, { overlapSeconds: 600 });
    const statuses: number[] = [];
    for (let index = 0; index < 20; index++) {
      const key = index % 2 === 0 ? old.key : fresh.key;
      const response = await harness.edges[index % 3]?.fetch("/limited", { headers: bearer(key) });
      statuses.push(response?.status ?? 0);
    }
    expect(statuses.filter((status) => status === 200)).toHaveLength(12);
  });

  it("the keys of an owner draw on the owner's balance together, each within its own", async () => {
    const api = control(harness.home);
    const put = await api.call("PUT", "/owners/shared", {
      body: { limits: [{ name: "owner-daily", limit: 10, window: "day", kind: "quota" }] },
    });
    expect(put.status).toBe(200);
    const narrow = await api.issue({
      owner: "shared",
      limits: [{ name: "own", limit: 3, window: "day", kind: "quota" }],
    });
    const wide = await api.issue({ owner: "shared" });
    const use = async (key: string, times: number) => {
      const passed = [];
      for (let index = 0; index < times; index++) {
        const response = await harness.edges[index % 3]?.fetch("/limited", { headers: bearer(key) });
        passed.push(response?.status === 200);
      }
      return passed.filter(Boolean).length;
    };
    expect(await use(narrow.key, 5)).toBe(3);
    expect(await use(wide.key, 12)).toBe(7);
  });
});

describe("looking at a key", () => {
  it("units in the hand of an isolate that only looks at the key come back to those who use it", async () => {
    const [looker, user] = harness.edges;
    if (looker === undefined || user === undefined) throw new RangeError("no edges");
    const { key } = await control(harness.home).issue({
      limits: [{ name: "daily", limit: 400, window: "day", kind: "quota" }],
    });
    const use = async (edge: Edge, count: number): Promise<number> => {
      const statuses = await Promise.all(
        Array.from({ length: count }, async () => (await edge.fetch("/limited", { headers: bearer(key) })).status),
      );
      return statuses.filter((status) => status === 200).length;
    };
    let passed = 0;
    for (let burst = 0; burst < 4; burst++) passed += await use(looker, 30);
    for (let round = 0; round < 6; round++) {
      expect((await looker.fetch("/_latchkey/v1/whoami", { headers: bearer(key) })).status).toBe(200);
      await sleep(1_000);
      passed += await use(user, 60);
    }
    expect(passed).toBeLessThanOrEqual(400);
    expect(passed).toBeGreaterThanOrEqual(392);
  });
});

describe("the warm path touches no storage", () => {
  it("1,000 warm requests of a hot key read KV at most twice, call the meter at most 20 times and send at most 20 messages", async () => {
    const [edge] = harness.edges;
    if (edge === undefined) throw new RangeError("no edges");
    const { key } = await control(harness.home).issue({
      limits: [
        { name: "burst", limit: 1_000_000, window: "hour", kind: "rate" },
        { name: "monthly", limit: 100_000_000, window: "month", kind: "quota" },
      ],
    });
    const send = async (count: number): Promise<void> => {
      for (let sent = 0; sent < count; sent += 20) {
        await Promise.all(
          Array.from({ length: 20 }, async () => {
            const response = await edge.fetch("/warm", { headers: bearer(key) });
            expect(response.status).toBe(200);
            await response.arrayBuffer();
          }),
        );
      }
    };
    await send(200);
    await sleep(1_500);
    await Promise.all([edge.resetCalls(), harness.home.resetCalls()]);
    await send(1_000);
    await sleep(1_500);
    const [calls, objects] = [await edge.calls(), await harness.home.calls()];
    console.log("storage operations per 1,000 warm requests:", JSON.stringify(calls));
    expect(calls["KEYS.get"] ?? 0).toBeLessThanOrEqual(2);
    const sum = (counts: CallCounts, ...names: string[]): number =>
      names.reduce((total, name) => total + (counts[name] ?? 0), 0);
    const asked = ["KEY_METER.acquire", "KEY_METER.release"];
    expect(sum(calls, ...asked, "LEASE_BROKER.acquire", "LEASE_BROKER.release")).toBeLessThanOrEqual(20);
    // The brokers'.
    expect(sum(objects, ...asked)).toBeLessThanOrEqual(20);
    expect(calls["USAGE.send"] ?? 0).toBeLessThanOrEqual(20);
  });
});
