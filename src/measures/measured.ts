/** What measures are made of. Pure. */

export type Detail = Readonly<Record<string, string | number | boolean | null | readonly KeyFigure[]>>;

/** A key that stands beside a figure. */
export interface KeyFigure {
  readonly key: string;
  readonly value: number;
  readonly amount?: string;
}

/** `null`: there was nothing to measure, and `why` says so. */
export interface Measured {
  readonly value: number | null;
  readonly why?: string;
  readonly detail?: Detail;
}

export function nothing(why: string): Measured {
  return { value: null, why };
}

export function isLeak(reason: string | null): boolean {
  return reason === "leaked" || reason === "compromised";
}

export function isWithin(time: number | null, from: number, to: number): time is number {
  return time !== null && time >= from && time < to;
}

/** The largest first; of as large ones in the order of their ids. */
export function largest(figures: readonly KeyFigure[], top: number): readonly KeyFigure[] {
  return figures.toSorted((a, b) => b.value - a.value || (a.key < b.key ? -1 : 1)).slice(0, top);
}
