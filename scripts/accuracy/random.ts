/** Chance that can be had again: the same seed gives the same offers. */

/** Numbers in [0, 1). */
export type Random = () => number;

/** mulberry32: 32 bits of state, good enough to choose isolates and moments. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed that fits in 32 bits, for runs that bring none. */
export function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
