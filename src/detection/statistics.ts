/** A few statistics that an operator can check by hand. */

/** Makes a median absolute deviation comparable with a standard deviation: 1 / Φ⁻¹(3/4). */
const MAD_TO_DEVIATION = 1.482_6;

/** Of sorted or unsorted numbers; `NaN` for none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear between neighbours; `NaN` for none. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  // Typed arrays sort numbers as numbers, and fast.
  const sorted = Float64Array.from(values).sort();
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? 0;
  const high = sorted[Math.ceil(at)] ?? low;
  return low + (high - low) * (at - Math.floor(at));
}

/** A spread that a few wild values do not move (Iglewicz and Hoaglin 1993). */
export function robustSpread(values: readonly number[], middle: number): number {
  return MAD_TO_DEVIATION * median(values.map((value) => Math.abs(value - middle)));
}

/** The least share that `hits` of `all` speaks for, `z` standard errors down (Wilson 1927). 0 of 0 is 0. */
export function wilsonLow(hits: number, all: number, z: number): number {
  return wilson(hits, all, z)[0];
}

/** Wilson's interval. */
export function wilson(hits: number, all: number, z: number): readonly [low: number, high: number] {
  if (all === 0) return [0, 1];
  const share = hits / all;
  const square = (z * z) / all;
  const middle = share + square / 2;
  const reach = z * Math.sqrt((share * (1 - share)) / all + square / (4 * all));
  return [Math.max(0, (middle - reach) / (1 + square)), Math.min(1, (middle + reach) / (1 + square))];
}
