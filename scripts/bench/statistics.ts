/** Of samples of any order. An empty list has no figures: NaN. */

export function median(samples: readonly number[]): number {
  return percentile(samples, 50);
}

/** Linear between the two nearest ranks, as most tools do. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(rank)] ?? Number.NaN;
  const high = sorted[Math.ceil(rank)] ?? Number.NaN;
  return low + (high - low) * (rank - Math.floor(rank));
}

/** Median with the least and the greatest: what several rounds said. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

export function spreadOf(samples: readonly number[]): Spread {
  return { median: median(samples), least: Math.min(...samples), greatest: Math.max(...samples) };
}

/**
 * `a` ÷ `b`, round by round, then the spread of these: what slows the machine for a while meets both of a round, and leaves their
 * ratio alone. Only rounds that both have count.
 */
export function pairedRatio(a: readonly number[], b: readonly number[]): Spread {
  const rounds = Math.min(a.length, b.length);
  return spreadOf(Array.from({ length: rounds }, (_, round) => (a[round] ?? Number.NaN) / (b[round] ?? Number.NaN)));
}

/** `a` − `b`, round by round, as `pairedRatio`. */
export function pairedDifference(a: readonly number[], b: readonly number[]): Spread {
  const rounds = Math.min(a.length, b.length);
  return spreadOf(Array.from({ length: rounds }, (_, round) => (a[round] ?? Number.NaN) - (b[round] ?? Number.NaN)));
}
