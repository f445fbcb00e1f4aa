import type { LimitWindow } from "../../src/limits/limit.ts";

/** What is measured: every limit of the matrix on every number of isolates, in every shape. */

export interface Load {
  /** For people: "100 / 5 s". */
  readonly name: string;
  readonly limit: number;
  readonly window: LimitWindow;
  readonly perSecond: number;
  /**
   * How many whole windows are watched. `seconds` instead of it: that much out of the inside of one window, which is told
   * everything about it: nothing is sent before, and it goes on for two leases after the last unit should have passed, so
   * that units which wait in somebody's hand come back.
   */
  readonly watch: { readonly windows: number } | { readonly seconds: number };
  /** All but so many units are taken by one call before the load begins. Absent: nothing is. */
  readonly unitsLeft?: number;
}

/** `steady`: one request after the other, at random isolates. `bursty`: all of a second's within 50 to 100 ms, at all isolates. */
export type Shape = "steady" | "bursty";

export interface Cell {
  /** Its place in the matrix: the chance of a cell is its own, whichever others are measured. */
  readonly index: number;
  readonly load: Load;
  readonly isolates: number;
  readonly shape: Shape;
}

/** Units that may pass in one of the cell's windows. */
export function unitsOf({ limit, unitsLeft }: Load): number {
  return unitsLeft ?? limit;
}

const MONTHLY = { limit: 1_000_000, window: "month" } as const;

const LOADS: readonly Load[] = [
  { name: "50 / 1 s", limit: 50, window: { seconds: 1 }, perSecond: 200, watch: { windows: 8 } },
  { name: "100 / 5 s", limit: 100, window: { seconds: 5 }, perSecond: 300, watch: { windows: 2 } },
  { name: "200 / 30 s", limit: 200, window: { seconds: 30 }, perSecond: 50, watch: { windows: 1 } },
  { name: "5 / 10 s", limit: 5, window: { seconds: 10 }, perSecond: 20, watch: { windows: 2 } },
  { name: "1000 / 15 s", limit: 1_000, window: { seconds: 15 }, perSecond: 200, watch: { windows: 2 } },
  { name: "100 / 1 min", limit: 100, window: "minute", perSecond: 10, watch: { windows: 1 } },
  { ...MONTHLY, name: "1 M / month", perSecond: 200, watch: { seconds: 10 } },
  { ...MONTHLY, name: "1 M / month, 500 left", perSecond: 200, watch: { seconds: 14 }, unitsLeft: 500 },
];

const QUICK_LOADS: readonly Load[] = [
  { name: "50 / 1 s", limit: 50, window: { seconds: 1 }, perSecond: 100, watch: { windows: 4 } },
  { name: "100 / 5 s", limit: 100, window: { seconds: 5 }, perSecond: 60, watch: { windows: 2 } },
  { name: "5 / 10 s", limit: 5, window: { seconds: 10 }, perSecond: 20, watch: { windows: 1 } },
  { ...MONTHLY, name: "1 M / month, 200 left", perSecond: 100, watch: { seconds: 12 }, unitsLeft: 200 },
];

const SHAPES = ["steady", "bursty"] as const satisfies readonly Shape[];

export const ISOLATES: readonly number[] = [1, 3, 8];
export const QUICK_ISOLATES: readonly number[] = [3];

/** Every cell, over the numbers of isolates asked for, whose limit's name begins with `only`. */
export function cellsOf(quick: boolean, isolates: readonly number[], only = ""): readonly Cell[] {
  const loads = quick ? QUICK_LOADS : LOADS;
  return loads
    .flatMap((load) =>
      isolates.flatMap((count) => SHAPES.map((shape): Omit<Cell, "index"> => ({ load, isolates: count, shape }))),
    )
    .map((cell, index) => ({ ...cell, index }))
    .filter(({ load }) => load.name.startsWith(only));
}
