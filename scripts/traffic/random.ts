/**
 * Numbers that depend on nothing but a seed and where they are used: any hour of any key can be made at any time, alone or after
 * the others, without a memory of what came before.
 */

/** Mixes whole numbers to one of 32 bits (murmur3's finish after each). */
export function mix(...parts: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const part of parts) {
    hash = Math.imul(hash ^ part, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}

/** Draws, one after the other, from one place (mulberry32). */
export class Draws {
  #state: number;

  constructor(...place: readonly number[]) {
    this.#state = mix(...place);
  }

  /** `[0, 1)`. */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** Whole, both ends included. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(from: readonly [T, ...T[]]): T {
    return from[Math.floor(this.unit() * from.length)] ?? from[0];
  }

  /** Box and Muller. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
  }

  /** `exp` of a normal one: half of them are below `middle`. */
  logNormal(middle: number, spread: number): number {
    return middle * Math.exp(spread * this.normal());
  }

  /** At least 1, with a tail as `x^-alpha`. */
  pareto(alpha: number): number {
    return (1 - this.unit()) ** (-1 / alpha);
  }

  /** A count with this mean; past 30 by the normal one beside it. */
  poisson(mean: number): number {
    if (mean <= 0) return 0;
    if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * this.normal()));
    const end = Math.exp(-mean);
    let count = 0;
    for (let left = this.unit(); left > end; left *= this.unit()) count++;
    return count;
  }
}
