import { windowAt } from "../../src/limits/window.ts";
import { type Edges, startEdges } from "../lab/edges.ts";
import type { Faults } from "../lab/faults.ts";
import type { Cell } from "./matrix.ts";
import { issueKey } from "./control.ts";
import { type Client, makeClient } from "./offer.ts";
import { startOrigin } from "./origin.ts";
import { planCells } from "./plan.ts";
import { seededRandom } from "./random.ts";
import { measureRevocation, REVOCATION_MS, REVOCATION_PER_SECOND, type RevocationFigures } from "./revocation.ts";
import { type CellFigures, prepareKeys, runCells } from "./run-cells.ts";

/** Runs the whole matrix over real isolates in one workerd. */

/** Bugs that can be put in on purpose, to see that the measurement finds them. */
export const PLANTS = ["generous-lease", "silent-revoke"] as const;
export type Plant = (typeof PLANTS)[number];

/** Whether isolates have lease brokers, as the configuration says, or ask the meters themselves. */
export const BROKERS = ["up", "down"] as const;
export type Brokers = (typeof BROKERS)[number];

export interface MeasureOptions {
  readonly cells: readonly Cell[];
  /** Numbers of isolates on which a revocation is measured. */
  readonly isolates: readonly number[];
  readonly seed: number;
  readonly perSecondMax: number;
  readonly plant: Plant | null;
  /** `down`: lease brokers cannot be reached, and every isolate asks the home meters. */
  readonly brokers: Brokers;
  /** Variables of the Workers, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
  /** Told what happens, a line at a time. */
  readonly tell: (line: string) => void;
  /** Ends the measurement early; everything that was started is stopped. */
  readonly signal: AbortSignal;
}

export interface Figures {
  readonly cells: readonly CellFigures[];
  readonly revocation: readonly RevocationFigures[];
}

/** The runtime, and what it talks to. */
interface Lab {
  readonly edges: Edges;
  readonly client: Client;
  readonly stop: () => Promise<void>;
}

/** Time to make the schedules before the first cell begins. */
const LEAD_MS = 500;
/** How often cells are measured again for which the machine was too slow, each time at half the rate. */
const REPEATS = 2;
const WARM_UP_ROUNDS = 50;
/** More than there are cells. */
const SEEDS_APART = 1_000;
/** Longer than it takes, repeats included. */
const MONTH_MARGIN_MS = 20 * 60_000;

/** Throws when it was interrupted, when something could not be started, and so near to a month's end that it cannot be done in one. */
export async function measure(options: MeasureOptions): Promise<Figures> {
  const now = Date.now();
  if (windowAt("month", now).end - now < MONTH_MARGIN_MS)
    throw new Error("The month ends within minutes, and its limits would be counted anew halfway. Start again then.");
  const { isolates, cells, signal } = options;
  const lab = await startLab(Math.max(...isolates, ...cells.map((cell) => cell.isolates)), options.variables);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("interrupted")), { once: true });
    if (signal.aborted) reject(new Error("interrupted"));
  });
  try {
    return await Promise.race([measureIn(lab, options), aborted]);
  } finally {
    await lab.stop();
  }
}

async function startLab(count: number, variables: Readonly<Record<string, string>>): Promise<Lab> {
  const origin = await startOrigin();
  try {
    const edges = await startEdges({ count, upstream: origin.url, variables });
    const client = makeClient(edges.edges.map(({ url }) => url));
    const stop = async (): Promise<void> => {
      client.close();
      await edges.stop();
      await origin.close();
    };
    return { edges, client, stop };
  } catch (error) {
    await origin.close();
    throw error;
  }
}

async function measureIn(lab: Lab, options: MeasureOptions): Promise<Figures> {
  await setUpFaults(lab.edges, options);
  await warmUp(lab);
  const startedAt = Date.now();
  const tell = (line: string): void => options.tell(`[${seconds(Date.now() - startedAt).padStart(3)} s] ${line}`);
  const told = { ...options, tell };
  const first = await measureOnce(lab, told);
  const figures = new Map(first.cells);
  const revocation = new Map(first.revocation);
  for (let repeat = 1; repeat <= REPEATS; repeat++) {
    const cells = options.cells.filter((cell) => isDoubtful(figures.get(cell)));
    const isolates = options.isolates.filter((count) => isDoubtful(revocation.get(count)));
    if (cells.length + isolates.length === 0) break;
    tell("the machine was too slow for some of it: again, with less at once");
    const perSecondMax = options.perSecondMax / 2 ** repeat;
    const seed = options.seed + repeat * SEEDS_APART;
    const again = await measureOnce(lab, { ...told, cells, isolates, perSecondMax, seed });
    for (const [cell, figure] of again.cells) figures.set(cell, figure);
    for (const [count, figure] of again.revocation) revocation.set(count, figure);
  }
  return {
    cells: options.cells.flatMap((cell) => figures.get(cell) ?? []),
    revocation: options.isolates.flatMap((count) => revocation.get(count) ?? []),
  };
}

/** What passed against the rules is proven however slow the machine was. The rest may only have been late. */
export function isDoubtful(figures: CellFigures | RevocationFigures | undefined): boolean {
  if (figures === undefined || !figures.disturbed) return false;
  return "highest" in figures ? figures.highest <= 1 : figures.passedAfterBound === 0;
}

interface Measured {
  readonly cells: ReadonlyMap<Cell, CellFigures>;
  /** By the number of isolates. */
  readonly revocation: ReadonlyMap<number, RevocationFigures>;
}

async function measureOnce(lab: Lab, options: MeasureOptions): Promise<Measured> {
  const { cells, isolates, perSecondMax, seed, tell } = options;
  // Before any revocation: a planted bug may keep keys from the meter while one runs.
  const keys = await prepareKeys(lab.edges, cells);
  const now = Date.now();
  const reserved = isolates.length > 0 ? REVOCATION_PER_SECOND : 0;
  const planned = planCells(cells, now + LEAD_MS, perSecondMax - reserved);
  const end = Math.max(now + isolates.length * REVOCATION_MS, ...planned.map(({ until }) => until));
  const beside = isolates.length === 0 ? "" : ` and revocations on ${isolates.join(", ")} isolates`;
  tell(`${cells.length} cells${beside}, in about ${seconds(end - now)} s`);
  const [figures, revocation] = await Promise.all([
    runCells({ planned, keys, client: lab.client, seed, tell }),
    runRevocations(lab, options),
  ]);
  return { cells: figures, revocation };
}

/** A new isolate is slow until its code has been compiled; nobody asks how long that takes here. */
async function warmUp({ edges, client }: Lab): Promise<void> {
  const { key } = await issueKey(edges.home, "warm-up", []);
  for (let round = 0; round < WARM_UP_ROUNDS; round++)
    await Promise.all(edges.edges.map((_, isolate) => client.send(key, isolate)));
}

/** At every Worker: isolates ask the meter, and so do the brokers, which live at `home`. */
async function setUpFaults({ edges, home }: Edges, { plant, brokers }: MeasureOptions): Promise<void> {
  const faults: Faults = {
    ...(plant === "generous-lease" ? { KEY_METER: { kind: "generous", methods: ["acquire"] } } : {}),
    ...(brokers === "down" ? { LEASE_BROKER: { kind: "down" } } : {}),
  };
  await Promise.all([home, ...edges].map((edge) => edge.setFaults(faults)));
}

async function runRevocations(
  lab: Lab,
  { isolates, seed, plant, tell }: MeasureOptions,
): Promise<ReadonlyMap<number, RevocationFigures>> {
  const figures = new Map<number, RevocationFigures>();
  for (const count of isolates) {
    const random = seededRandom(seed - count);
    const figure = await measureRevocation({ ...lab, isolates: count, random, plant: plant === "silent-revoke" });
    tell(
      `revoked on ${count} isolate${count === 1 ? "" : "s"}: last passed ${figure.lastPassedMs} ms after the answer`,
    );
    figures.set(count, figure);
  }
  return figures;
}

function seconds(ms: number): string {
  return String(Math.round(ms / 1_000));
}
