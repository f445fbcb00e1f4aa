import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { directoryLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { collectMetrics } from "../../src/usage/metrics.ts";
import { reconcileHour, reconcileUsage } from "../../src/usage/reconcile-run.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

const START = Date.parse("2026-10-05T10:20:00.000Z");
const HOUR = 3_600_000;
const HOUR_START = Date.parse("2026-10-05T10:00:00.000Z");

let count = 0;

/** Meters that say what the test wants: lineage → hour → units. */
async function newWorld() {
  const workspace = `reconcile-test-${++count}`;
  const spent = new Map<string, number>();
  const broken = new Set<string>();
  const asked: string[] = [];
  const meters = {
    getByName: (name: string) => ({
      async spentByHour(from: number) {
        asked.push(name);
        const lineageId = name.slice(name.indexOf("/") + 1);
        if (broken.has(lineageId)) throw new Error("meter is down");
        const units = spent.get(lineageId);
        return units === undefined ? [] : [{ hour: from, spent: units }];
      },
    }),
  };
  const registry = {
    known: [] as string[],
    lineagesUsedSince: async () => registry.known,
    status: () => Promise.reject(new Error("not asked here")),
  };
  const reconcileEnv = {
    USAGE_LEDGER: env.USAGE_LEDGER,
    KEY_METER: meters,
    KEY_REGISTRY: { getByName: () => registry },
  };
  const ledger = ledgerByName(env.USAGE_LEDGER, `${workspace}/0`);
  const use = async (lineageId: string, cost: number, time = START) => {
    await ledger.ingest([usageBatch([usageEvent({ time, workspace, lineageId, cost })], Date.now())]);
  };
  await directoryLedger(env.USAGE_LEDGER).registerWorkspaces([workspace]);
  const status = async () => (await ledger.status()).reconciliation;
  return { workspace, spent, broken, asked, registry, reconcileEnv, ledger, use, status };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
  vi.spyOn(console, "warn").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("reconciliation", () => {
  test("an hour is compared once it is over, and agreement is 0", async () => {
    const world = await newWorld();
    await world.use("lin_a", 5);
    await world.use("lin_a", 6);
    world.spent.set("lin_a", 11);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ newestHour: null });
    vi.setSystemTime(HOUR_START + HOUR + 120_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ newestHour: null });
    vi.setSystemTime(HOUR_START + HOUR + 150_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toEqual({
      differenceUnits: 0,
      lineagesDiffering: 0,
      unchecked: 0,
      newestHour: HOUR_START,
    });
    const calls = world.asked.filter((name) => name.startsWith(world.workspace)).length;
    await reconcileUsage(world.reconcileEnv);
    expect(world.asked.filter((name) => name.startsWith(world.workspace))).toHaveLength(calls);
  });

  test("a difference either way is kept and shown, and goes when a late event heals it", async () => {
    const world = await newWorld();
    await world.use("lin_a", 5);
    await world.use("lin_b", 5);
    world.spent.set("lin_a", 8).set("lin_b", 3);
    vi.setSystemTime(HOUR_START + HOUR + 200_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ differenceUnits: 5, lineagesDiffering: 2 });
    const text = await (
      await collectMetrics(
        { ...world.reconcileEnv, USAGE: { metrics: async () => ({ backlogCount: 0 }) } },
        world.workspace,
        async () => [],
      )
    ).text();
    expect(text).toContain(`latchkey_reconciliation_difference_units{workspace="${world.workspace}"} 5\n`);
    await world.use("lin_a", 3, START);
    world.spent.set("lin_b", 5);
    vi.setSystemTime(HOUR_START + HOUR + 900_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ differenceUnits: 0, lineagesDiffering: 0 });
  });

  test("a lineage whose every event was lost is found through the registry", async () => {
    const world = await newWorld();
    await world.use("lin_a", 1);
    world.spent.set("lin_a", 1).set("lin_silent", 4);
    world.registry.known = ["lin_silent"];
    vi.setSystemTime(HOUR_START + HOUR + 200_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ differenceUnits: 4, lineagesDiffering: 1 });
  });

  test("a meter that does not answer is counted as unchecked and asked again", async () => {
    const world = await newWorld();
    await world.use("lin_a", 1);
    world.spent.set("lin_a", 1);
    world.broken.add("lin_a");
    vi.setSystemTime(HOUR_START + HOUR + 200_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ unchecked: 1, differenceUnits: 0 });
    world.broken.clear();
    vi.setSystemTime(HOUR_START + HOUR + 900_000);
    await reconcileUsage(world.reconcileEnv);
    expect(await world.status()).toMatchObject({ unchecked: 0, differenceUnits: 0 });
  });

  test("many lineages are compared in slices, each once", async () => {
    const world = await newWorld();
    const lineages = Array.from({ length: 1_100 }, (_none, index) => `lin_${String(index).padStart(4, "0")}`);
    await world.ledger.ingest([
      usageBatch(
        lineages.map((lineageId) => usageEvent({ time: START, workspace: world.workspace, lineageId })),
        START,
      ),
    ]);
    for (const lineageId of lineages) world.spent.set(lineageId, lineageId === "lin_1050" ? 3 : 1);
    vi.setSystemTime(HOUR_START + HOUR + 200_000);
    for (let run = 0; run < 3; run++) await reconcileUsage(world.reconcileEnv);
    const asked = world.asked.filter((name) => name.startsWith(`${world.workspace}/`));
    expect(asked).toHaveLength(1_100);
    expect(new Set(asked).size).toBe(1_100);
    expect(await world.status()).toMatchObject({ differenceUnits: 2, lineagesDiffering: 1, newestHour: HOUR_START });
  });

  test("the present hour can be compared on demand, without being kept", async () => {
    const world = await newWorld();
    await world.use("lin_a", 5);
    world.spent.set("lin_a", 7);
    const report = await reconcileHour(world.reconcileEnv, world.workspace, Date.now());
    expect(report).toEqual({ hour: HOUR_START, compared: [{ lineageId: "lin_a", meter: 7, ledger: 5 }], unchecked: 0 });
    expect(await world.status()).toMatchObject({ newestHour: null, differenceUnits: 0 });
  });
});
