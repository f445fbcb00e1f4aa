import type { GatewayConfig } from "../../../src/config.ts";
import type { Limit } from "../../../src/limits/limit.ts";
import { createWeightedPick, exponential, type Random } from "../clock/random.ts";
import { Actor } from "../clock/virtual-time.ts";
import { type Colo, coloAt, COLOS } from "../platform/colos.ts";
import { World } from "../platform/world.ts";
import type { Topology } from "./hot.ts";
import { makeKey, type ScaleKey } from "./keys.ts";
import { Population } from "./population.ts";
import { serve } from "./serve.ts";
import { loadOf, type ObjectLoad, quantile, Tally, usdPerMillion } from "./tally.ts";

/** Many keys of modest traffic: how often they meet an isolate that does not know them, and how long that takes. */

/** Where a key is used: in so many cities alike, each at one location; or all over one region, or the world, as its traffic is. */
export type Reach = number | "region" | "world";

/** Keys that are used alike. */
export interface KeyGroup {
  readonly keys: number;
  /** Of one key, over all places where it is used. */
  readonly requestsPerSecond: (rank: number) => number;
  readonly reach: (rank: number, random: Random) => Reach;
}

export interface SpreadOptions {
  readonly topology: Topology;
  readonly group: KeyGroup;
  readonly limit: Limit;
  readonly isolatesPerColo: number;
  readonly settleMs: number;
  readonly measureMs: number;
  readonly seed: number;
}

export interface Waits {
  readonly p50: number;
  readonly p99: number;
}

export interface SpreadResult {
  readonly topology: Topology;
  readonly requests: number;
  readonly coldShare: number;
  readonly askedShare: number;
  readonly leaseHitRate: number;
  readonly unavailable: number;
  readonly coldMs: Waits;
  readonly askedMs: Waits;
  readonly allMs: Waits;
  readonly meter: ObjectLoad;
  readonly broker: ObjectLoad;
  readonly kvReads: number;
  readonly usdPerMillion: number;
  readonly happenings: number;
}

const START = Date.UTC(2026, 10, 23, 9, 0, 0);
const LIFE_MS = 3 * 60_000;

interface UsedKey {
  readonly key: ScaleKey;
  readonly colos: readonly Colo[];
  readonly pick: (random: Random) => number;
}

export async function runSpread(options: SpreadOptions): Promise<SpreadResult> {
  const world = new World({ seed: options.seed, startAt: START - options.settleMs - 2_000, serviceMs: 0 });
  try {
    return await drive(world, options);
  } finally {
    world.close();
  }
}

async function drive(world: World, options: SpreadOptions): Promise<SpreadResult> {
  const { group, limit, topology, measureMs, isolatesPerColo } = options;
  const { time, random } = world;
  const tally = new Tally(limit);
  const population = new Population(world, configOf(topology), { perColo: isolatesPerColo, lifeMs: LIFE_MS });
  const ranks = Array.from({ length: group.keys }, (_none, rank) => rank);
  const used = ranks.map((rank) => useKey(makeKey(world, rank, [limit]), group.reach(rank, random), random));
  const rates = ranks.map((rank) => group.requestsPerSecond(rank));
  const pickKey = createWeightedPick(rates);
  const gapMs = 1_000 / rates.reduce((sum, rate) => sum + rate, 0);
  const driver = new Actor("driver");
  const arrive = (): void => {
    // What falls into the same millisecond is served in one go.
    const until = Math.floor(time.now) + 1;
    let at = time.now;
    do {
      const chosen = used[pickKey(random)];
      const colo = chosen?.colos[chosen.pick(random)];
      if (chosen !== undefined && colo !== undefined)
        serve({ world, tally }, population.pickAt(colo), chosen.key, null);
      at += exponential(random, gapMs);
    } while (at < until);
    time.at(at, driver, arrive);
  };
  time.after(2_000, driver, arrive);
  await time.run(START);
  for (const host of world.objects.hosts.values()) host.resetCounts();
  world.kv.reads = 0;
  tally.isCounting = true;
  await time.run(START + measureMs);
  return resultOf(world, tally, { topology, measureMs });
}

export function configOf(topology: Topology): GatewayConfig {
  const upstreams = { api: { url: "https://origin.example", open: true, workspace: "*" } };
  return topology === "home" ? { upstreams, leaseBrokers: false } : { upstreams };
}

/** A key's cities and regions are drawn by their traffic. */
function useKey(key: ScaleKey, reach: Reach, random: Random): UsedKey {
  if (typeof reach === "number") {
    const cities = new Set<Colo>();
    while (cities.size < reach) cities.add(coloAt(pickByWeight(random)));
    return { key, colos: [...cities], pick: (draw) => Math.floor(draw() * reach) };
  }
  const { region } = coloAt(pickByWeight(random));
  const colos = reach === "world" ? COLOS : COLOS.filter((colo) => colo.region === region);
  return { key, colos, pick: createWeightedPick(colos.map(({ weight }) => weight)) };
}

const pickByWeight = createWeightedPick(COLOS.map(({ weight }) => weight));

function resultOf(
  world: World,
  tally: Tally,
  { topology, measureMs }: Pick<SpreadOptions, "topology" | "measureMs">,
): SpreadResult {
  const meter = loadOf(world, "KEY_METER", measureMs);
  const broker = loadOf(world, "LEASE_BROKER", measureMs);
  const { cold, asked } = tally.waits;
  const warm = Array.from({ length: tally.served.warm }, () => 0);
  const all = [...warm, ...cold, ...asked];
  const { requests } = tally;
  return {
    topology,
    requests,
    coldShare: tally.served.cold / requests,
    askedShare: tally.served.asked / requests,
    leaseHitRate: tally.served.warm / requests,
    unavailable: tally.unavailable,
    coldMs: waitsOf(cold),
    askedMs: waitsOf(asked),
    allMs: waitsOf(all),
    meter,
    broker,
    kvReads: world.kv.reads,
    usdPerMillion: usdPerMillion(requests, {
      kvReads: world.kv.reads,
      objectRequests: meter.calls + broker.calls,
      objectGbSeconds: (meter.busySeconds + broker.busySeconds) * 0.128,
      rowsWritten: meter.rowsWritten + broker.rowsWritten,
    }),
    happenings: world.time.happenings,
  };
}

function waitsOf(values: number[]): Waits {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
}
