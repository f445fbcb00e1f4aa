import { describe, expect, test } from "vitest";
import {
  EVENT_BUFFER_MAX,
  EVENT_FLUSH_COUNT,
  EVENT_FLUSH_MS,
  EVENT_OVERDUE_MS,
  EVENT_SEND_LOST_MS,
} from "../../src/constants.ts";
import { counters } from "../../src/platform/counters.ts";
import { EventBuffer } from "../../src/usage/buffer.ts";
import type { UsageBatch } from "../../src/usage/event.ts";
import { usageEvent } from "../support/usage-makers.ts";

/** A clock that is moved by hand, a queue that can refuse or hang, and requests that can be cut off. */
class World {
  now = 1_700_000_000_000;
  readonly delivered: UsageBatch[] = [];
  queue: "takes" | "refuses" | "hangs" = "takes";
  attempts = 0;
  #timers: { at: number; resolve: () => void }[] = [];
  readonly buffer = new EventBuffer({
    now: () => this.now,
    sleep: (ms) => new Promise((resolve) => this.#timers.push({ at: this.now + ms, resolve })),
  });
  readonly ctx = { waitUntil: (work: Promise<unknown>) => void work };
  readonly send = async (batch: UsageBatch): Promise<boolean> => {
    this.attempts += 1;
    if (this.queue === "hangs") return await new Promise<never>(() => {});
    if (this.queue === "refuses") return false;
    this.delivered.push(batch);
    return true;
  };

  request(count = 1): void {
    for (let i = 0; i < count; i++) this.buffer.add(usageEvent({ time: this.now }), this.ctx, this.send, this.now);
  }

  /** The platform ends every request that is still at work: its timers never fire. */
  cutRequests(): void {
    this.#timers = [];
  }

  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.filter((timer) => timer.at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.resolve();
    }
    this.now = until;
    await settle();
  }

  /** Ids of the events that arrived, each once however often its batch came: what the ledger would count. */
  countedEvents(): number {
    return [...new Map(this.delivered.map((batch) => [batch.batchId, batch.events.length])).values()].reduce(
      (sum, n) => sum + n,
      0,
    );
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe("the event buffer of an isolate", () => {
  test("one event is sent within the flush time, by the request that brought it", async () => {
    const world = new World();
    world.request();
    await world.pass(EVENT_FLUSH_MS - 1);
    expect(world.delivered).toHaveLength(0);
    await world.pass(1);
    expect(world.delivered).toHaveLength(1);
    expect(world.buffer.size).toBe(0);
  });

  test("under load at most 20 messages leave for 1,000 requests", async () => {
    const world = new World();
    for (let i = 0; i < 1_000; i++) {
      world.request();
      await world.pass(1);
    }
    await world.pass(EVENT_FLUSH_MS);
    expect(world.delivered.length).toBeLessThanOrEqual(20);
    expect(world.countedEvents()).toBe(1_000);
  });

  test("a full buffer leaves at once and its owner's timer sends nothing twice", async () => {
    const world = new World();
    world.request(EVENT_FLUSH_COUNT);
    await settle();
    expect(world.delivered.map((batch) => batch.events.length)).toEqual([EVENT_FLUSH_COUNT]);
    world.request();
    await world.pass(EVENT_FLUSH_MS);
    expect(world.delivered.map((batch) => batch.events.length)).toEqual([EVENT_FLUSH_COUNT, 1]);
  });

  test("large events leave before the queue's bound of 128 KB is in sight", async () => {
    const world = new World();
    for (let i = 0; i < 99; i++) {
      world.buffer.add(
        usageEvent({ time: world.now, route: `/${"x".repeat(1_000)}` }),
        world.ctx,
        world.send,
        world.now,
      );
    }
    await world.pass(EVENT_FLUSH_MS);
    expect(world.delivered.length).toBeGreaterThan(1);
    for (const batch of world.delivered) expect(JSON.stringify(batch).length).toBeLessThan(120_000);
    expect(world.countedEvents()).toBe(99);
  });

  test("even the widest events fit in a queue message", async () => {
    const world = new World();
    const wide = usageEvent({
      time: world.now,
      workspace: "w".repeat(64),
      owner: "o".repeat(64),
      keyId: `key_${"k".repeat(26)}`,
      lineageId: `lin_${"l".repeat(26)}`,
      code: "verification_unavailable",
      method: "M".repeat(16),
      route: `/${"é".repeat(200)}`,
      bytesIn: 1e12,
      bytesOut: 1e12,
      latencyMs: 1e9,
      authMs: 1e9,
      upstreamMs: 1e9,
      clientIp: "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
      userAgentFamily: "python-requests",
      tokenId: "t".repeat(64),
      mintedTokenId: "t".repeat(64),
    });
    while (world.delivered.length === 0) {
      world.buffer.add(wide, world.ctx, world.send, world.now);
      await settle();
    }
    const bytes = new TextEncoder().encode(JSON.stringify(world.delivered[0])).length;
    expect(bytes).toBeLessThan(128_000);
  });

  test("events of an owner that was cut off are sent by the next request", async () => {
    const world = new World();
    world.request(3);
    world.cutRequests();
    await world.pass(EVENT_FLUSH_MS + EVENT_OVERDUE_MS);
    expect(world.delivered).toHaveLength(0);
    world.request();
    await settle();
    expect(world.countedEvents()).toBe(4);
  });

  test("a batch whose request was cut off while sending is sent again under the same id", async () => {
    const world = new World();
    world.queue = "hangs";
    world.request(EVENT_FLUSH_COUNT);
    await settle();
    world.cutRequests();
    world.queue = "takes";
    await world.pass(EVENT_SEND_LOST_MS);
    world.request();
    await world.pass(EVENT_FLUSH_MS);
    expect(world.countedEvents()).toBe(EVENT_FLUSH_COUNT + 1);
    expect(world.buffer.size).toBe(0);
  });

  test("a refused batch keeps its id, and is sent when the queue takes again, without another request", async () => {
    const world = new World();
    world.queue = "refuses";
    world.request(5);
    await world.pass(EVENT_FLUSH_MS);
    expect(world.attempts).toBe(1);
    expect(world.buffer.size).toBe(5);
    world.queue = "takes";
    await world.pass(3_000);
    expect(world.countedEvents()).toBe(5);
    expect(world.buffer.size).toBe(0);
  });

  test("nothing is lost over an outage of a minute with requests all the while", async () => {
    const world = new World();
    world.queue = "refuses";
    let sent = 0;
    for (let second = 0; second < 60; second++) {
      world.request(50);
      sent += 50;
      await world.pass(1_000);
      if (second % 7 === 0) world.cutRequests();
    }
    world.queue = "takes";
    for (let second = 0; second < 40; second++) {
      world.request();
      sent += 1;
      await world.pass(1_000);
    }
    await world.pass(5_000);
    expect(world.countedEvents()).toBe(sent);
    expect(world.buffer.size).toBe(0);
  });

  test("a queue that hangs holds up a bounded number of batches, and memory stays bounded", async () => {
    const world = new World();
    world.queue = "hangs";
    const before = counters.eventsDropped;
    for (let i = 0; i < 300; i++) {
      world.request(EVENT_FLUSH_COUNT);
      await settle();
    }
    expect(world.attempts).toBeLessThanOrEqual(6);
    expect(world.buffer.size).toBeLessThanOrEqual(EVENT_BUFFER_MAX);
    expect(counters.eventsDropped - before).toBe(300 * EVENT_FLUSH_COUNT - world.buffer.size);
  });

  test("a sync event is in the queue when its promise settles, and takes the waiting ones along", async () => {
    const world = new World();
    world.request(2);
    const done = world.buffer.addSync(usageEvent({ time: world.now }), world.ctx, world.send, world.now);
    expect(await done).toBe(true);
    expect(world.delivered.map((batch) => batch.events.length)).toEqual([3]);
    await world.pass(EVENT_FLUSH_MS);
    expect(world.delivered).toHaveLength(1);
  });

  test("a sync event that nobody takes says so and is not lost", async () => {
    const world = new World();
    world.queue = "refuses";
    expect(await world.buffer.addSync(usageEvent({ time: world.now }), world.ctx, world.send, world.now)).toBe(false);
    world.queue = "takes";
    await world.pass(3_000);
    expect(world.countedEvents()).toBe(1);
  });

  test("adding an event costs well under 20 microseconds", () => {
    const world = new World();
    world.queue = "takes";
    const event = usageEvent({ time: world.now });
    for (let i = 0; i < 20_000; i++) world.buffer.add(event, world.ctx, world.send, world.now);
    const startedAt = performance.now();
    for (let i = 0; i < 20_000; i++) world.buffer.add(event, world.ctx, world.send, world.now);
    expect(((performance.now() - startedAt) / 20_000) * 1_000).toBeLessThan(20);
  });
});
