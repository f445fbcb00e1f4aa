import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import type { UsageLedgerApi } from "../../durable-objects/usage-ledger/api.ts";
import { ledgerByName, queryUsage } from "../../durable-objects/usage-ledger/client.ts";
import type { ForwardEvents } from "../../src/sinks/forward.ts";
import { cutForSink } from "../../src/sinks/message.ts";
import { type ConsumerPolicy, consumeUsage, DEFAULT_POLICY, reportPendingUses } from "../../src/usage/consumer.ts";
import type { UsageBatch, UsageEvent } from "../../src/usage/event.ts";
import { readUsageQuery } from "../../src/usage/query.ts";
import { createSend } from "../../src/usage/send.ts";
import { strangerEvent, usageBatch, usageEvent } from "../support/usage-makers.ts";

type Uses = readonly { readonly keyId: string; readonly time: number }[];

let count = 0;

/** A workspace of its own for each test, and a registry whose answers the test decides. */
function newWorld() {
  const workspace = `usage-test-${++count}`;
  const told: Uses[] = [];
  const registry = {
    fails: false,
    async recordUse(uses: Uses): Promise<void> {
      if (this.fails) throw new Error("registry is down");
      told.push(uses);
    },
  };
  const consumerEnv = { USAGE_LEDGER: env.USAGE_LEDGER, KEY_REGISTRY: { getByName: () => registry } };
  const event = (changes: Partial<UsageEvent> = {}) => usageEvent({ time: Date.now(), workspace, ...changes });
  const total = async () => {
    const query = readUsageQuery(new URLSearchParams({ granularity: "minute" }), Date.now() + 1_000);
    if (!query.ok) throw new Error(query.error.detail);
    const answer = await queryUsage(env.USAGE_LEDGER, workspace, query.value);
    if (!answer.ok) throw new Error(answer.error.detail);
    return answer.value.totals.requests;
  };
  return {
    workspace,
    told,
    registry,
    consumerEnv,
    event,
    total,
    ledger: ledgerByName(env.USAGE_LEDGER, `${workspace}/0`),
  };
}

async function consume(
  consumerEnv: Parameters<typeof consumeUsage>[1],
  bodies: readonly unknown[],
  attempts = 1,
  policy: ConsumerPolicy = DEFAULT_POLICY,
) {
  const messages = bodies.map((body, index) => ({ id: `m${index}`, timestamp: new Date(), attempts, body }));
  const batch = createMessageBatch("latchkey-usage", messages);
  // The fixture does not keep the delays.
  const retries = batch.messages.map((message) => vi.spyOn(message, "retry"));
  const ctx = createExecutionContext();
  await consumeUsage(batch, consumerEnv, policy);
  const delays = retries.flatMap((retry) => retry.mock.calls.map(([options]) => options?.delaySeconds));
  return { ...(await getQueueResult(batch, ctx)), delays };
}

function batchOf(...events: readonly UsageEvent[]): UsageBatch {
  return usageBatch(events, Date.now());
}

describe("the usage consumer", () => {
  test("a message that is delivered again is counted once", async () => {
    const world = newWorld();
    const batch = batchOf(world.event(), world.event());
    expect((await consume(world.consumerEnv, [batch, batch])).explicitAcks).toEqual(["m0", "m1"]);
    expect((await consume(world.consumerEnv, [batch])).explicitAcks).toEqual(["m0"]);
    expect(await world.total()).toBe(2);
  });

  test("poison is retried until the dead-letter queue takes it, and holds up no other message", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const world = newWorld();
    const good = batchOf(world.event());
    const poison = [
      "not a batch",
      null,
      { ...good, v: 2 },
      { ...good, batchId: "bat_1" },
      { ...good, events: [] },
      { ...good, events: [{ ...world.event(), cost: -1 }] },
      { ...good, events: [{ ...world.event(), time: "yesterday" }] },
      { ...good, events: [{ ...world.event(), workspace: "../other" }] },
      { ...good, events: [{ ...world.event(), time: Date.now() + 100 * 3_600_000 }] },
    ];
    const result = await consume(world.consumerEnv, [...poison, good]);
    expect(result.explicitAcks).toEqual([`m${poison.length}`]);
    expect(result.retryMessages.map(({ msgId }) => msgId)).toEqual(poison.map((_body, index) => `m${index}`));
    expect(log).toHaveBeenCalledTimes(poison.length);
    await consume(world.consumerEnv, poison, 2);
    expect(log).toHaveBeenCalledTimes(poison.length);
    expect(await world.total()).toBe(1);
    log.mockRestore();
  });

  test("messages go in one call to a ledger; one that failed often goes alone", async () => {
    const world = newWorld();
    const calls: number[] = [];
    const ledger = {
      ingest: async (batches: readonly unknown[]) => (
        calls.push(batches.length),
        { outcomes: [], uses: [], rowsWritten: 0 }
      ),
      registerWorkspaces: async () => {},
    };
    const consumerEnv = { ...world.consumerEnv, USAGE_LEDGER: { getByName: () => ledger } };
    const batches = Array.from({ length: 5 }, () => batchOf(world.event()));
    await consume(consumerEnv, batches);
    expect(calls).toEqual([5]);
    await consume(consumerEnv, batches, 4);
    expect(calls).toEqual([5, 1, 1, 1, 1, 1]);
  });

  test("a ledger that is down has its messages retried, later and later, and others are acknowledged", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const [up, down] = [newWorld(), newWorld()];
    const broken: Pick<UsageLedgerApi, "ingest"> = { ingest: () => Promise.reject(new Error("ledger is down")) };
    const consumerEnv = {
      ...up.consumerEnv,
      USAGE_LEDGER: {
        getByName: (name: string) => (name.startsWith(down.workspace) ? broken : env.USAGE_LEDGER.getByName(name)),
      },
    };
    const shared = batchOf(up.event(), down.event());
    const result = await consume(consumerEnv, [shared, batchOf(up.event()), batchOf(down.event())]);
    expect(result.explicitAcks).toEqual(["m1"]);
    expect(result.retryMessages.map(({ msgId }) => msgId)).toEqual(["m0", "m2"]);
    expect(result.delays).toEqual([2, 2]);
    expect((await consume(consumerEnv, [shared], 9)).delays).toEqual([300]);
    // When it is back, the part that was counted is not counted again.
    await consume(up.consumerEnv, [shared]);
    expect([await up.total(), await down.total()]).toEqual([2, 1]);
    log.mockRestore();
  });

  test("a sink's queue that is down makes the message come again, whole, and what is billed is counted once meanwhile", async () => {
    const world = newWorld();
    const forwarded: string[] = [];
    let isDown = true;
    const forwardEvents: ForwardEvents = async (batches) => {
      forwarded.push(...batches.flatMap(({ events }) => events.map(({ id }) => id)));
      return new Set(isDown ? batches.slice(0, 1).map(({ batchId }) => batchId) : []);
    };
    const policy = { ...DEFAULT_POLICY, forwardEvents };
    const [first, second] = [batchOf(world.event(), world.event()), batchOf(world.event())];
    const down = await consume(world.consumerEnv, [first, second], 1, policy);
    expect([down.retryMessages.map(({ msgId }) => msgId), down.explicitAcks]).toEqual([["m0"], ["m1"]]);
    isDown = false;
    expect((await consume(world.consumerEnv, [first], 2, policy)).explicitAcks).toEqual(["m0"]);
    expect(await world.total()).toBe(3);
    const ids = first.events.map(({ id }) => id);
    expect(forwarded).toEqual([...ids, ...second.events.map(({ id }) => id), ...ids]);
  });

  test("a sink's message that comes by the usage queue is not counted", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const world = newWorld();
    const cut = cutForSink("logs", { workspaces: "*" }, batchOf(world.event()));
    expect(cut).toHaveLength(1);
    const result = await consume(
      world.consumerEnv,
      cut.map(({ message }) => message),
    );
    expect(result.explicitAcks).toEqual([]);
    expect(await world.total()).toBe(0);
    log.mockRestore();
  });

  test("a batch that the queue took although it said no is counted once", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const world = newWorld();
    const taken: UsageBatch[] = [];
    const lyingQueue = {
      send: async (batch: UsageBatch) => {
        taken.push(batch);
        throw new Error("internal error");
      },
    };
    const send = createSend({ USAGE: lyingQueue, USAGE_LEDGER: env.USAGE_LEDGER }, async () => {});
    expect(await send(batchOf(world.event(), world.event()))).toBe(true);
    expect(taken).toHaveLength(3);
    expect(await world.total()).toBe(2);
    await consume(world.consumerEnv, taken);
    expect(await world.total()).toBe(2);
    warn.mockRestore();
  });

  test("a sender says no when neither queue nor ledger takes the batch", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const world = newWorld();
    const refusing = { send: () => Promise.reject(new Error("Too Many Requests")) };
    const ledger = { getByName: () => ({ ingest: () => Promise.reject(new Error("overloaded")) }) };
    expect(await createSend({ USAGE: refusing, USAGE_LEDGER: ledger }, async () => {})(batchOf(world.event()))).toBe(
      false,
    );
    warn.mockRestore();
    log.mockRestore();
  });

  test("the registry hears of a key's first use and then of one an hour; a lost call is made up for", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const world = newWorld();
    world.registry.fails = true;
    const first = world.event();
    expect((await consume(world.consumerEnv, [batchOf(first)])).explicitAcks).toEqual(["m0"]);
    expect(await world.total()).toBe(1);
    world.registry.fails = false;
    await consume(world.consumerEnv, [batchOf(world.event())]);
    expect(world.told).toEqual([[{ keyId: "key_a", time: first.time }]]);
    await consume(world.consumerEnv, [batchOf(world.event())]);
    expect(world.told).toHaveLength(1);
    await consume(world.consumerEnv, [batchOf(world.event({ time: first.time + 3_600_000 }))]);
    expect(world.told.at(-1)).toEqual([{ keyId: "key_a", time: first.time + 3_600_000 }]);
    log.mockRestore();
  });

  test("the only use of a key reaches the registry even if the first call was lost", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const world = newWorld();
    world.registry.fails = true;
    const only = world.event({ keyId: "key_once" });
    await consume(world.consumerEnv, [batchOf(only)]);
    world.registry.fails = false;
    await reportPendingUses(`${world.workspace}/0`, world.workspace, world.consumerEnv);
    await reportPendingUses(`${world.workspace}/0`, world.workspace, world.consumerEnv);
    expect(world.told).toEqual([[{ keyId: "key_once", time: only.time }]]);
    log.mockRestore();
  });

  test("events of unknown keys are counted in the default workspace, and every workspace is listed", async () => {
    const world = newWorld();
    const directory = ledgerByName(env.USAGE_LEDGER, "default/0");
    await consume(world.consumerEnv, [batchOf(world.event(), strangerEvent(Date.now()))]);
    expect(await directory.listWorkspaces(100, 0)).toEqual(expect.arrayContaining(["default", world.workspace]));
    const { totals } = await directory.status();
    expect(totals).toContainEqual(expect.objectContaining({ code: "key_invalid", requests: 1 }));
  });
});
