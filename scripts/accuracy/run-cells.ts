import { setTimeout as sleep } from "node:timers/promises";
import type { Edges } from "../lab/edges.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { windowSeconds } from "../../src/limits/window.ts";
import { issueKey, spendUnits } from "./control.ts";
import { judge, type Verdict } from "./judge.ts";
import { type Cell, type Shape, unitsOf } from "./matrix.ts";
import { type Client, offer, schedule, type Seen } from "./offer.ts";
import type { PlannedCell } from "./plan.ts";
import { type Random, seededRandom } from "./random.ts";

/** Offers each cell its load at its time, and judges what came back. */

export interface CellFigures extends Verdict {
  readonly name: string;
  readonly limit: number;
  /** What may pass in one window: the limit, or what was left of it when the load began. */
  readonly units: number;
  readonly windowSeconds: number;
  readonly windows: number;
  readonly offeredPerSecond: number;
  readonly isolates: number;
  readonly shape: Shape;
  /** How many answers had each status; 0 stands for none. All count as offered. */
  readonly answers: Readonly<Record<string, number>>;
  /** The longest time that a request was sent after it was due, ms. */
  readonly lateMs: number;
  /** The longest time between sending a request and its arrival at the origin, or its refusal, ms. */
  readonly slowestMs: number;
  /** The machine was too slow to say in which windows requests were counted. What is over a limit is so all the same. */
  readonly disturbed: boolean;
}

/** Requests that take longer say little of the window that they belong to, and calls to the meter run into its timeout. */
const SLOW_MS = 1_000;
/** Worth a word. */
const NOTABLE_MS = 250;

/** A key for each cell, with as many units left as the cell asks for. */
export async function prepareKeys({ home }: Edges, cells: readonly Cell[]): Promise<ReadonlyMap<Cell, string>> {
  const keys = new Map<Cell, string>();
  for (const cell of cells) {
    const { load, isolates, shape } = cell;
    const limit: Limit = { name: "measured", limit: load.limit, window: load.window, kind: "rate" };
    const { key } = await issueKey(home, `${load.name}, ${isolates}, ${shape}`, [limit]);
    if (load.unitsLeft !== undefined) await spendUnits(home, key, load.limit - load.unitsLeft);
    keys.set(cell, key);
  }
  return keys;
}

export interface CellRun {
  readonly planned: readonly PlannedCell[];
  readonly keys: ReadonlyMap<Cell, string>;
  readonly client: Client;
  readonly seed: number;
  readonly tell: (line: string) => void;
}

/** Measures all of them, side by side as planned. */
export async function runCells(run: CellRun): Promise<ReadonlyMap<Cell, CellFigures>> {
  const { planned, keys, client, seed, tell } = run;
  const figures = planned.map(async (plan): Promise<readonly [Cell, CellFigures]> => {
    const { cell } = plan;
    const figure = await runCell(plan, keys.get(cell) ?? "", client, seededRandom(seed + cell.index));
    tell(lineOf(figure));
    return [cell, figure];
  });
  return new Map(await Promise.all(figures));
}

async function runCell(plan: PlannedCell, key: string, client: Client, random: Random): Promise<CellFigures> {
  const { cell, from, until, windows } = plan;
  const { load, isolates, shape } = cell;
  const dues = schedule({ from, until, perSecond: load.perSecond, isolates, shape }, random);
  await sleep(Math.max(0, from - Date.now()));
  const { seen, lateMs } = await offer(dues, (isolate) => client.send(key, isolate));
  const verdict = judge(seen, windows, unitsOf(load));
  const slowestMs = Math.max(0, ...seen.map(({ sentAt, settledAt }) => settledAt - sentAt));
  return {
    name: load.name,
    limit: load.limit,
    units: unitsOf(load),
    windowSeconds: windowSeconds(load.window, from),
    windows: windows.length,
    offeredPerSecond: load.perSecond,
    isolates,
    shape,
    ...verdict,
    answers: countAnswers(seen),
    lateMs: Math.round(lateMs),
    slowestMs,
    disturbed: Math.max(lateMs, slowestMs) > SLOW_MS || verdict.straddling * 2 > verdict.passed,
  };
}

function countAnswers(seen: readonly Seen[]): Record<string, number> {
  const answers: Record<string, number> = {};
  for (const { status } of seen) answers[status] = (answers[status] ?? 0) + 1;
  return answers;
}

function lineOf({ name, offeredPerSecond, isolates, shape, ratio, lateMs, slowestMs }: CellFigures): string {
  const waits = Math.max(lateMs, slowestMs);
  const slow = waits > NOTABLE_MS ? ` (a slow machine: requests waited up to ${waits} ms)` : "";
  return `${name} at ${offeredPerSecond}/s on ${isolates}, ${shape}: ${ratio.toFixed(3)}${slow}`;
}
