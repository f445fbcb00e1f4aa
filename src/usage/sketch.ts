/**
 * Quantiles of values that are counted in many places and added up later: DDSketch (Masson, Rim, Lee, "DDSketch: A Fast and
 * Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", VLDB 2019). Values are counted in bins that grow by a constant
 * factor, so that a quantile is off by at most `SKETCH_ERROR` of itself, over whatever range and however often it was merged. Pure.
 */

/** One after the other, in order of bins: bin, count. Bin 0 is for less than 1 ms. */
export type Sketch = number[];

/** Of a quantile, to both sides. */
export const SKETCH_ERROR = 0.02;
const GAMMA = (1 + SKETCH_ERROR) / (1 - SKETCH_ERROR);
const LOG_GAMMA = Math.log(GAMMA);
/** The middle of a bin, where both of its ends are equally far off. */
const MIDDLE = 2 / (1 + GAMMA);

/** @param value ms, not negative. */
export function addValue(sketch: Sketch, value: number): void {
  const bin = binOf(value);
  let at = sketch.length - 2;
  while (at >= 0 && (sketch[at] ?? 0) > bin) at -= 2;
  if (at >= 0 && sketch[at] === bin) sketch[at + 1] = (sketch[at + 1] ?? 0) + 1;
  else sketch.splice(at + 2, 0, bin, 1);
}

function binOf(value: number): number {
  return value < 1 ? 0 : 1 + Math.ceil(Math.log(value) / LOG_GAMMA);
}

function valueIn(bin: number): number {
  return bin === 0 ? 0 : GAMMA ** (bin - 1) * MIDDLE;
}

/** Adds the counts of `other` to `into`. */
export function addSketch(into: Sketch, other: Readonly<Sketch>): void {
  // Both are in order, so that each bin is looked for behind the one before it.
  let from = 0;
  for (let at = 0; at < other.length; at += 2) {
    const bin = other[at] ?? 0;
    const count = other[at + 1] ?? 0;
    from = placeOf(into, bin, from);
    if (into[from] === bin) into[from + 1] = (into[from + 1] ?? 0) + count;
    else into.splice(from, 0, bin, count);
  }
}

/** Of the first bin at or behind `from` that is not before `bin`. */
function placeOf(sketch: Readonly<Sketch>, bin: number, from: number): number {
  let low = from / 2;
  let high = sketch.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sketch[2 * middle] ?? 0) < bin) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}

/** What `share` (0 to 1) of the values are not above, ms; `null` where there are none. */
export function quantile(sketch: Readonly<Sketch>, share: number): number | null {
  const rank = share * (countIn(sketch) - 1);
  let below = 0;
  for (let at = 0; at < sketch.length; at += 2) {
    below += sketch[at + 1] ?? 0;
    if (below > rank) return valueIn(sketch[at] ?? 0);
  }
  return null;
}

export function countIn(sketch: Readonly<Sketch>): number {
  let all = 0;
  for (let at = 1; at < sketch.length; at += 2) all += sketch[at] ?? 0;
  return all;
}
