import type { GatewayConfig } from "../../../src/config.ts";
import { exponential } from "../clock/random.ts";
import { type Colo, COLOS } from "../platform/colos.ts";
import { SimulatedIsolate } from "../platform/isolate.ts";
import type { World } from "../platform/world.ts";

/**
 * The isolates of the whole network: so many at each location, which live for minutes. A request meets any of those at its
 * location alike. Isolates are made when they are first met.
 */
export class Population {
  readonly perColo: number;
  readonly #world: World;
  readonly #config: GatewayConfig;
  readonly #lifeMs: number;
  readonly #slots: ({ readonly isolate: SimulatedIsolate; readonly diesAt: number } | undefined)[] = [];
  births = 0;

  constructor(world: World, config: GatewayConfig, options: { readonly perColo: number; readonly lifeMs: number }) {
    this.#world = world;
    this.#config = config;
    this.perColo = options.perColo;
    this.#lifeMs = options.lifeMs;
  }

  get slots(): number {
    return COLOS.length * this.perColo;
  }

  /** Who is alive in this slot now. Slots of one location lie side by side. */
  at(slot: number): SimulatedIsolate {
    const present = this.#slots[slot];
    if (present !== undefined && present.diesAt > this.#world.time.now) return present.isolate;
    if (present !== undefined) present.isolate.place.actor.alive = false;
    return this.#bear(slot);
  }

  pickAt(colo: Colo): SimulatedIsolate {
    return this.at(colo.index * this.perColo + Math.floor(this.#world.random() * this.perColo));
  }

  coloOf(slot: number): Colo {
    const colo = COLOS[Math.floor(slot / this.perColo)];
    if (colo === undefined) throw new RangeError(`no slot ${slot}`);
    return colo;
  }

  #bear(slot: number): SimulatedIsolate {
    const { time, random } = this.#world;
    const place = this.#world.place(`isolate-${this.births++}`, this.coloOf(slot));
    const isolate = new SimulatedIsolate(this.#world, place, this.#config);
    this.#slots[slot] = { isolate, diesAt: time.now + exponential(random, this.#lifeMs) };
    return isolate;
  }
}
