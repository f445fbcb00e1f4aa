import type { Limit } from "../../../src/limits/limit.ts";
import { exponential } from "../clock/random.ts";
import { Actor } from "../clock/virtual-time.ts";
import { World } from "../platform/world.ts";
import { makeKey, publish } from "./keys.ts";
import { Population } from "./population.ts";
import { type Known, serve } from "./serve.ts";
import { loadOf, type ObjectLoad, quantile, Tally, usdPerMillion } from "./tally.ts";

/** One key in all places at once, at up to a million requests a second: what its objects bear, and that its limit holds. */

export type Topology = "home" | "brokers";

export interface HotOptions {
  readonly topology: Topology;
  readonly requestsPerSecond: number;
  readonly limit: Limit;
  readonly isolatesPerColo: number;
  readonly settleMs: number;
  readonly measureMs: number;
  readonly seed: number;
  /** Revoke the key when the measuring is over, and watch how long it works. */
  readonly revokes: boolean;
}

export interface HotResult {
  readonly topology: Topology;
  readonly requestsPerSecond: number;
  readonly offered: number;
  readonly measuredMs: number;
  /** `false`: cut short, since nearly every request had to ask. */
  readonly isWhole: boolean;
  readonly meter: ObjectLoad;
  readonly broker: ObjectLoad;
  readonly maxCallsPerObjectPerSecond: number;
  readonly leaseHitRate: number;
  readonly refusedShare: number;
  readonly unavailableShare: number;
  readonly coldShare: number;
  readonly coldMs: { readonly p50: number; readonly p99: number };
  readonly askedMs: { readonly p50: number; readonly p99: number };
  /** Admitted ÷ min(limit, offered), of the worst and the best whole window. */
  readonly ratio: { readonly least: number; readonly most: number } | null;
  readonly overLimit: boolean;
  readonly usdPerMillion: number;
  /** From the meter's word to the last admission, ms. */
  readonly lastAdmissionAfterRevokeMs: number | null;
  readonly happenings: number;
}

/** Windows of 20 s begin with it, and a minute is in its middle. */
const START = Date.UTC(2026, 10, 23, 9, 0, 20);
const LIFE_MS = 5 * 60_000;
const INTO_WINDOW_MS = 2_000;
const WATCH_AFTER_REVOKE_MS = 6_000;
/** Arrivals are kept in a ring of milliseconds. */
const RING_MS = 8_192;
const SLICE_MS = 250;
const SETTLE_HAPPENINGS_MAX = 1_500_000;
const MEASURE_HAPPENINGS_MAX = 30_000_000;

export async function runHot(options: HotOptions): Promise<HotResult> {
  const world = new World({ seed: options.seed, startAt: START - options.settleMs, serviceMs: 0 });
  try {
    return await new HotRun(world, options).run();
  } finally {
    world.close();
  }
}

class HotRun {
  readonly #world: World;
  readonly #options: HotOptions;
  readonly #population: Population;
  readonly #tally: Tally;
  readonly #ring: number[][] = Array.from({ length: RING_MS }, () => []);
  readonly #meanGapMs: Float64Array;
  readonly #known: (Known | null)[] = [];
  #offered = 0;

  constructor(world: World, options: HotOptions) {
    this.#world = world;
    this.#options = options;
    const leaseBrokers = options.topology === "brokers" ? undefined : (false as const);
    const upstreams = { api: { url: "https://origin.example", open: true, workspace: "*" } };
    this.#population = new Population(world, leaseBrokers === undefined ? { upstreams } : { upstreams, leaseBrokers }, {
      perColo: options.isolatesPerColo,
      lifeMs: LIFE_MS,
    });
    this.#tally = new Tally(options.limit);
    const { slots } = this.#population;
    let total = 0;
    for (let slot = 0; slot < slots; slot++) total += this.#population.coloOf(slot).weight;
    const perWeight = options.requestsPerSecond / total / 1_000;
    this.#meanGapMs = Float64Array.from(
      { length: slots },
      (_none, slot) => 1 / (this.#population.coloOf(slot).weight * perWeight),
    );
  }

  async run(): Promise<HotResult> {
    const { settleMs, measureMs } = this.#options;
    const { time, random, objects, kv } = this.#world;
    const key = makeKey(this.#world, 1, [this.#options.limit]);
    const driver = new Actor("driver");
    for (let slot = 0; slot < this.#meanGapMs.length; slot++) {
      // Isolates come up one after the other, as they do.
      this.#plan(slot, Math.floor(time.now) + 1_000 + random() * (settleMs * 0.6), driver);
    }
    const tick = (): void => {
      const at = Math.floor(time.now);
      const slots = this.#ring[at % RING_MS] ?? [];
      this.#ring[at % RING_MS] = [];
      if (this.#tally.isCounting) this.#offered += slots.length;
      for (const slot of slots) {
        const isolate = this.#population.at(slot);
        this.#known[slot] = serve({ world: this.#world, tally: this.#tally }, isolate, key, this.#known[slot] ?? null);
        this.#plan(slot, time.now + exponential(random, this.#meanGapMs[slot] ?? RING_MS), driver);
      }
      time.at(at + 1, driver, tick);
    };
    time.at(Math.floor(time.now) + 1, driver, tick);
    await this.#runUntil(START, SETTLE_HAPPENINGS_MAX);
    const begin = time.now;
    for (const host of objects.hosts.values()) host.resetCounts();
    kv.reads = 0;
    this.#tally.isCounting = true;
    const isWhole = await this.#runUntil(begin + measureMs, MEASURE_HAPPENINGS_MAX);
    this.#tally.isCounting = false;
    const result = this.#result(begin, isWhole);
    const revokes = this.#options.revokes && isWhole;
    const lastAdmissionAfterRevokeMs = revokes ? await this.#revoke(key) : null;
    return { ...result, lastAdmissionAfterRevokeMs, happenings: time.happenings };
  }

  /** `false` when it was cut short: where each request asks somebody, following them all takes longest and tells no more. */
  async #runUntil(until: number, happeningsMax: number): Promise<boolean> {
    const { time } = this.#world;
    const most = time.happenings + happeningsMax;
    do {
      await time.run(Math.min(time.now + SLICE_MS, until));
    } while (time.now < until && time.happenings < most);
    return time.now >= until;
  }

  #plan(slot: number, at: number, driver: Actor): void {
    const { time } = this.#world;
    const whole = Math.max(Math.floor(at), Math.floor(time.now) + 1);
    if (whole - time.now < RING_MS - 1) this.#ring[whole % RING_MS]?.push(slot);
    else time.at(at - RING_MS / 2, driver, () => this.#plan(slot, at, driver));
  }

  /** In the middle of a window, so that leases and units are in hand everywhere. */
  async #revoke(key: ReturnType<typeof makeKey>): Promise<number> {
    const { time } = this.#world;
    await time.run(time.now + INTO_WINDOW_MS);
    const admit = this.#tally.admit.bind(this.#tally);
    let [toldAt, lastAt] = [time.now, time.now];
    this.#tally.admit = (now) => {
      lastAt = now;
      admit(now);
    };
    publish(this.#world, key, { ...key.record, state: "revoked", generation: 2 }, (at) => {
      toldAt = at;
    });
    await time.run(time.now + WATCH_AFTER_REVOKE_MS);
    return Math.max(0, lastAt - toldAt);
  }

  #result(begin: number, isWhole: boolean): Omit<HotResult, "lastAdmissionAfterRevokeMs" | "happenings"> {
    const { topology, requestsPerSecond, limit } = this.#options;
    const tally = this.#tally;
    const measuredMs = this.#world.time.now - begin;
    const meter = loadOf(this.#world, "KEY_METER", measuredMs);
    const broker = loadOf(this.#world, "LEASE_BROKER", measuredMs);
    const windows = tally.windowsWithin(begin, begin + measuredMs);
    const windowMs = windows.length === 0 ? 0 : measuredMs / windows.length;
    const reachable = Math.min(limit.limit, (requestsPerSecond * windowMs) / 1_000);
    const admitted = windows.map((window) => window.admitted / reachable);
    const handled = tally.requests + tally.refused + tally.unavailable;
    return {
      topology,
      requestsPerSecond,
      offered: this.#offered,
      measuredMs,
      isWhole,
      meter,
      broker,
      maxCallsPerObjectPerSecond: Math.max(meter.maxCallsPerSecond, broker.maxCallsPerSecond),
      leaseHitRate: tally.served.warm / tally.requests,
      refusedShare: tally.refused / handled,
      unavailableShare: tally.unavailable / handled,
      coldShare: tally.served.cold / tally.requests,
      coldMs: { p50: quantile(tally.waits.cold, 0.5), p99: quantile(tally.waits.cold, 0.99) },
      askedMs: { p50: quantile(tally.waits.asked, 0.5), p99: quantile(tally.waits.asked, 0.99) },
      ratio: windows.length === 0 ? null : { least: Math.min(...admitted), most: Math.max(...admitted) },
      overLimit: [...tally.admittedByWindow.values()].some((units) => units > limit.limit),
      usdPerMillion: usdPerMillion(handled, {
        kvReads: this.#world.kv.reads,
        objectRequests: meter.calls + broker.calls,
        objectGbSeconds: (meter.busySeconds + broker.busySeconds) * 0.128,
        rowsWritten: meter.rowsWritten + broker.rowsWritten,
      }),
    };
  }
}
