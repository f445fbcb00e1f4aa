import type { Target } from "../report/table.ts";
import type { Client } from "./client.ts";
import type { ControlApi } from "./control-api.ts";
import type { Edges } from "../lab/edges.ts";
import type { Timeline } from "./timeline.ts";

/** A drill breaks something real on a running local install, measures what came of it, and says whether the promise held. */

/** Several isolates over one set of objects, with a client and the control API. */
export interface Lab {
  readonly edges: Edges;
  readonly client: Client;
  readonly api: ControlApi;
}

export interface DrillContext {
  /** Smaller and shorter: the same code, fewer keys and seconds. */
  readonly quick: boolean;
  /** 0 ≤ x < 1, by the run's seed. */
  readonly random: () => number;
  readonly timeline: Timeline;
  /** Starts one, which ends with the drill. */
  readonly lab: () => Promise<Lab>;
  /** Called when the drill is over, however it ends, also by Ctrl-C. */
  readonly onEnd: (cleanUp: () => Promise<void>) => void;
  /** A bug to plant, to see that the drill finds it. */
  readonly plant: Plant | null;
}

export const PLANTS = ["revoke-skips-meter"] as const;
export type Plant = (typeof PLANTS)[number];

/** What every drill says, where it can be said. */
export interface Findings {
  /** From the fault to the first sign of it in a health check, a metric, `/usage` or a header. */
  readonly detectMs: number | null;
  /** From the fault, or from the revoke's answer, to the first refusal. */
  readonly refuseMs: number | null;
  /** Requests admitted that a gateway without delay would have refused. */
  readonly letThrough: number | null;
  /** Answered requests that are missing in the usage. */
  readonly eventsLost: number | null;
}

export interface Outcome extends Findings {
  readonly targets: readonly Target[];
  /** What else was measured: a line each. */
  readonly facts: readonly (readonly [what: string, value: string])[];
  /** Answers by kind: `200`, `401 key_revoked`, `no answer`. */
  readonly clientsSaw: Readonly<Record<string, number>>;
  /** Figures of this drill alone, for `--json`. */
  readonly figures?: Readonly<Record<string, unknown>>;
}

export interface Drill {
  readonly name: string;
  /** What is broken, in a sentence. */
  readonly breaks: string;
  /** Seconds that it takes, about: all of it, and with `--quick`. */
  readonly seconds: { readonly full: number; readonly quick: number };
  readonly run: (context: DrillContext) => Promise<Outcome>;
}

/** The drill's page in docs/operations.md, as GitHub makes the anchor of its heading. */
export function runbookOf(name: string): string {
  return `docs/operations.md#drill-${name}`;
}
