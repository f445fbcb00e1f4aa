import type { RequestShape } from "./candidate.ts";
import { endProcess, startHelper } from "./processes.ts";

/** What the load process is asked for, and what it answers. */

export interface ClosedPlan {
  readonly kind: "closed";
  readonly url: string;
  readonly requests: readonly RequestShape[];
  readonly connections: number;
  readonly seconds: number;
  /** Stop after this many requests in all, in place of after a time; as many `requests` as that are sent once each. */
  readonly amount: number | null;
}

export interface ClosedResult {
  readonly statuses: Readonly<Record<string, number>>;
  readonly errors: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface PacedPlan {
  readonly kind: "paced";
  readonly targets: readonly {
    readonly name: string;
    readonly url: string;
    readonly requests: readonly RequestShape[];
  }[];
  /** Of each target. */
  readonly ratePerSecond: number;
  readonly seconds: number;
}

export interface PacedResult {
  /** How late the latest request was sent: what the generator itself could not keep. */
  readonly latestMs: number;
  readonly lanes: readonly {
    readonly name: string;
    readonly latenciesMs: readonly number[];
    readonly statuses: Readonly<Record<string, number>>;
    readonly errors: number;
  }[];
}

export type Plan = ClosedPlan | PacedPlan;

export async function runLoad(plan: ClosedPlan): Promise<ClosedResult>;
export async function runLoad(plan: PacedPlan): Promise<PacedResult>;
export async function runLoad(plan: Plan): Promise<unknown> {
  const helper = startHelper("load-process.ts", plan);
  try {
    helper.child.stdin?.end();
    return await helper.nextLine();
  } finally {
    await endProcess(helper.child);
  }
}
