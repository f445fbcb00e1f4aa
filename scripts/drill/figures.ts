import { figure } from "../report/table.ts";
import type { Target } from "../report/table.ts";

/** The value at or below which so many of a hundred lie; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { p50: percentile(values, 50), p99: percentile(values, 99), max: percentile(values, 100) };
}

export function spreadText({ p50, p99, max }: Spread): string {
  return `p50 ${say(p50, " ms")}, p99 ${say(p99, " ms")}, max ${say(max, " ms")}`;
}

function say(value: number, unit: string): string {
  return value === Infinity ? "never" : `${figure(value)}${unit}`;
}

/**
 * Targets on how fast it is are judged in a full run, which has the machine to itself. A quick one shares it with others: the
 * figures are told there and not judged.
 */
export function judgeSpeed(quick: boolean, ...targets: readonly Target[]) {
  const told = targets.map(({ name, measured }) => [`${name} (told, not judged)`, measured] as const);
  return quick ? { targets: [], facts: told } : { targets, facts: [] };
}

/** A figure that must not be larger. One that was not measured is a miss. */
export function atMost(name: string, measured: number, bound: number, unit = ""): Target {
  return { name, wanted: `≤ ${say(bound, unit)}`, measured: say(measured, unit), held: measured <= bound };
}

export function atLeast(name: string, measured: number, bound: number, unit = ""): Target {
  return { name, wanted: `≥ ${say(bound, unit)}`, measured: say(measured, unit), held: measured >= bound };
}

export function exactly(name: string, measured: number, wanted: number): Target {
  return { name, wanted: figure(wanted), measured: figure(measured), held: measured === wanted };
}
