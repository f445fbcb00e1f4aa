import { startEdges } from "../lab/edges.ts";
import { Client } from "./client.ts";
import { controlApi } from "./control-api.ts";
import type { Drill, Lab, Outcome, Plant } from "./drill.ts";
import { seededRandom } from "./random.ts";
import { Timeline } from "./timeline.ts";
import type { Moment } from "./timeline.ts";

/** Isolates of a lab. */
const ISOLATES = 3;

export interface RunOptions {
  readonly quick: boolean;
  readonly seed: number;
  readonly plant: Plant | null;
  readonly onMoment: (drill: Drill, moment: Moment) => void;
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

type CleanUp = () => Promise<void>;

/** Runs drills, and knows what they have started, so that it can be ended at any moment. */
export class DrillRunner {
  readonly #options: RunOptions;
  readonly #cleanUps = new Set<CleanUp>();

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async run(drill: Drill): Promise<DrillReport> {
    const { quick, seed, plant, onMoment } = this.#options;
    const timeline = new Timeline((moment) => onMoment(drill, moment));
    const own: CleanUp[] = [];
    const onEnd = (cleanUp: CleanUp): void => {
      own.push(cleanUp);
      this.#cleanUps.add(cleanUp);
    };
    let outcome: Outcome | null = null;
    let error: string | null = null;
    try {
      const random = seededRandom(seed);
      outcome = await drill.run({ quick, random, timeline, lab: () => openLab(onEnd), onEnd, plant });
    } catch (caught) {
      error = caught instanceof Error ? (caught.stack ?? caught.message) : String(caught);
    }
    const seconds = timeline.elapsedMs / 1_000;
    await this.#end(own);
    return { drill, verdict: verdictOf(outcome), seconds, timeline: timeline.moments, outcome, error };
  }

  /** Ends everything that runs. Never rejects. */
  async stop(): Promise<void> {
    await this.#end([...this.#cleanUps]);
  }

  async #end(cleanUps: readonly CleanUp[]): Promise<void> {
    for (const cleanUp of cleanUps) this.#cleanUps.delete(cleanUp);
    await Promise.allSettled(cleanUps.map((cleanUp) => cleanUp()));
  }
}

/** Several isolates of its own for each drill: nothing of one is left for the next. */
async function openLab(onEnd: (cleanUp: CleanUp) => void): Promise<Lab> {
  const client = new Client();
  const starting = startEdges({ count: ISOLATES });
  onEnd(async () => {
    client.close();
    await (await starting).stop();
  });
  const edges = await starting;
  return { edges, client, api: controlApi(edges.home, edges.rootToken) };
}

function verdictOf(outcome: Outcome | null): Verdict {
  if (outcome === null || outcome.targets.length === 0) return "failed";
  return outcome.targets.every(({ held }) => held) ? "held" : "broken";
}
