import { windowAt, type WindowSpan } from "../../src/limits/window.ts";
import type { Cell, Load } from "./matrix.ts";

/**
 * When each cell is measured. Cells have keys of their own and so nothing in common but the machine: as many run at once as
 * it carries. Each starts where one of its windows does.
 */

/** When a cell is measured. */
export interface Stretch {
  /** First moment at which a request may be sent, epoch ms. */
  readonly from: number;
  /** Nothing is sent from here on. */
  readonly until: number;
  /** The windows that are judged, whole; `until` may lie inside the last one. */
  readonly windows: readonly WindowSpan[];
}

export interface PlannedCell extends Stretch {
  readonly cell: Cell;
}

/** A part of a long window starts on a whole second. */
const PART_STEP_MS = 1_000;

/** The longest cells first, each at the earliest time at which the sum of all rates stays within `perSecondMax`. */
export function planCells(cells: readonly Cell[], earliest: number, perSecondMax: number): readonly PlannedCell[] {
  const taken = new Map<number, number>();
  const planned: PlannedCell[] = [];
  const byLength = cells.toSorted((a, b) => lengthOf(b) - lengthOf(a));
  for (const cell of byLength) {
    let stretch = stretchFrom(cell.load, earliest);
    while (!fits(cell, stretch, taken, perSecondMax)) stretch = stretchFrom(cell.load, stretch.from + 1);
    for (const second of secondsOf(stretch)) taken.set(second, (taken.get(second) ?? 0) + cell.load.perSecond);
    planned.push({ cell, ...stretch });
  }
  return planned.toSorted((a, b) => a.from - b.from);
}

/** The first opportunity at `at` or later. */
export function stretchFrom({ window, watch }: Load, at: number): Stretch {
  if ("seconds" in watch) {
    const length = watch.seconds * 1_000;
    const next = Math.ceil(at / PART_STEP_MS) * PART_STEP_MS;
    const around = windowAt(window, next);
    // It must not reach into the next window: begin there instead.
    const from = next + length <= around.end ? next : around.end;
    return { from, until: from + length, windows: [windowAt(window, from)] };
  }
  const present = windowAt(window, at);
  const first = present.start === at ? present : windowAt(window, present.end);
  const windows = [first];
  let last = first;
  while (windows.length < watch.windows) {
    last = windowAt(window, last.end);
    windows.push(last);
  }
  return { from: first.start, until: last.end, windows };
}

function fits({ load }: Cell, stretch: Stretch, taken: ReadonlyMap<number, number>, perSecondMax: number): boolean {
  // A cell that is over the bound by itself runs alone.
  return secondsOf(stretch).every((second) => {
    const others = taken.get(second) ?? 0;
    return others === 0 || others + load.perSecond <= perSecondMax;
  });
}

function lengthOf({ load }: Cell): number {
  const { from, until } = stretchFrom(load, 0);
  return until - from;
}

function secondsOf({ from, until }: Stretch): readonly number[] {
  const first = Math.floor(from / 1_000);
  return Array.from({ length: Math.ceil(until / 1_000) - first }, (_, index) => first + index);
}
