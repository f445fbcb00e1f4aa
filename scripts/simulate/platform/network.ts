import { exponential, type Random } from "../clock/random.ts";
import { type Colo, distanceKm } from "./colos.ts";

/**
 * How long messages between locations take, and which get lost. Light in fibre does 200 km in a millisecond, and fibre is
 * about 1.5 times as long as the great circle; each hop costs a millisecond besides. On top: a little jitter on every
 * message, and now and then a long wait.
 */

const BASE_MS = 1;
const KM_PER_MS = 200;
const PATH_FACTOR = 1.5;
const JITTER_MS = 0.3;
const JITTER_SHARE = 0.04;
const STALL_CHANCE = 0.004;
const STALL_MEAN_MS = 12;

export interface Losses {
  /** Chances per call, 0 to 1. */
  readonly request: number;
  readonly answer: number;
}

/** What two ends of a message are called here: a location's code, or an object's `class/name`. */
export class Network {
  readonly #random: Random;
  readonly #cuts = new Map<string, number>();
  losses: Losses = { request: 0, answer: 0 };

  constructor(random: Random) {
    this.#random = random;
  }

  /** One way, ms. */
  delayMs(from: Colo, to: Colo): number {
    const path = (distanceKm(from, to) * PATH_FACTOR) / KM_PER_MS;
    const stall = this.#random() < STALL_CHANCE ? exponential(this.#random, STALL_MEAN_MS) : 0;
    return BASE_MS + path + exponential(this.#random, JITTER_MS + path * JITTER_SHARE) + stall;
  }

  /** Nothing goes through between the two until `heal`. `*` stands for every location, or every object. */
  cut(location: string, object: string): void {
    const name = `${location}>${object}`;
    this.#cuts.set(name, (this.#cuts.get(name) ?? 0) + 1);
  }

  heal(location: string, object: string): void {
    const name = `${location}>${object}`;
    const depth = (this.#cuts.get(name) ?? 0) - 1;
    if (depth > 0) this.#cuts.set(name, depth);
    else this.#cuts.delete(name);
  }

  isCut(location: string, object: string): boolean {
    if (this.#cuts.size === 0) return false;
    return [`${location}>${object}`, `${location}>*`, `*>${object}`].some((name) => this.#cuts.has(name));
  }

  losesRequest(): boolean {
    return this.losses.request > 0 && this.#random() < this.losses.request;
  }

  losesAnswer(): boolean {
    return this.losses.answer > 0 && this.#random() < this.losses.answer;
  }
}

/** A reading from a distribution that is known by some of its quantiles; straight lines between their logarithms. */
export function fromQuantiles(random: Random, quantiles: readonly (readonly [share: number, ms: number])[]): number {
  const drawn = random();
  for (let index = 1; index < quantiles.length; index++) {
    const [upperShare, upper] = quantiles[index] ?? [1, 0];
    if (drawn > upperShare) continue;
    const [lowerShare, lower] = quantiles[index - 1] ?? [0, upper];
    const part = (drawn - lowerShare) / (upperShare - lowerShare);
    return Math.exp(Math.log(lower) + part * (Math.log(upper) - Math.log(lower)));
  }
  return quantiles.at(-1)?.[1] ?? 0;
}
