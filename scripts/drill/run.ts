import { startEdges } from "../lab/edges.ts";
import type { Edges } from "../lab/edges.ts";
import { Client } from "./client.ts";
import { controlApi } from "./control-api.ts";
import type { Drill, Lab, Outcome, Plant } from "./drill.ts";
import { seededRandom } from "./random.ts";
import { Timeline } from "./timeline.ts";
import type { Moment } from "./timeline.ts";

/** Isolates of the shared lab. */
const ISOLATES = 3;

export interface RunOptions {
  readonly quick: boolean;
  readonly seed: number;
  readonly plant: Plant | null;
  readonly onDrill: (drill: Drill) => void;
  readonly onMoment: (moment: Moment) => void;
}

/** `broken`: a promise did not hold. `failed`: the drill itself went wrong, and says nothing of the promise. */
export type Verdict = "held" | "broken" | "failed";

export interface DrillReport {
  readonly drill: Drill;
  readonly verdict: Verdict;
  readonly seconds: number;
  readonly timeline: readonly Moment[];
  readonly outcome: Outcome | null;
  readonly error: string | null;
}

/** What was started, so that it can be ended at any moment. */
export class DrillRun {
  readonly #options: RunOptions;
  readonly #cleanUps = new Set<() => Promise<void>>();
  #lab: Promise<Lab> | null = null;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** One drill. Never rejects. */
  async run(drill: Drill): Promise<DrillReport> {
    const { quick, seed, plant, onDrill, onMoment } = this.#options;
    onDrill(drill);
    const timeline = new Timeline(onMoment);
    let outcome: Outcome | null = null;
    let error: string | null = null;
    const lab = (): Promise<Lab> => (this.#lab ??= this.#startLab());
    const ended: (() => Promise<void>)[] = [];
    const onEnd = (cleanUp: () => Promise<void>): void => {
      this.#cleanUps.add(cleanUp);
      ended.push(cleanUp);
    };
    try {
      outcome = await drill.run({ quick, random: seededRandom(seed), timeline, lab, onEnd, plant });
    } catch (caught) {
      error = caught instanceof Error ? (caught.stack ?? caught.message) : String(caught);
    }
    for (const cleanUp of ended) {
      this.#cleanUps.delete(cleanUp);
      await cleanUp().catch(() => undefined);
    }
    if (this.#lab !== null) await this.#lab.then(heal).catch(() => undefined);
    const seconds = timeline.elapsedMs / 1_000;
    return { drill, verdict: verdictOf(outcome), seconds, timeline: timeline.moments, outcome, error };
  }

  /** Ends everything that was started. Never rejects. */
  async stop(): Promise<void> {
    await Promise.allSettled([...this.#cleanUps].map((cleanUp) => cleanUp()));
    this.#cleanUps.clear();
  }

  async #startLab(): Promise<Lab> {
    const edges = await startEdges({ count: ISOLATES });
    const client = new Client();
    this.#cleanUps.add(async () => {
      client.close();
      await edges.stop();
    });
    return { edges, client, api: controlApi(edges.home, edges.rootToken) };
  }
}

function verdictOf(outcome: Outcome | null): Verdict {
  if (outcome === null || outcome.targets.length === 0) return "failed";
  return outcome.targets.every(({ held }) => held) ? "held" : "broken";
}

/** Nothing of one drill is left for the next. */
async function heal({ edges }: { readonly edges: Edges }): Promise<void> {
  for (const worker of [edges.home, ...edges.edges]) {
    await worker.setFaults({});
    await worker.setClock(0);
  }
}
