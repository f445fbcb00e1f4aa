import type { Limit } from "../../src/limits/limit.ts";
import type { UsageBatch } from "../../src/usage/event.ts";

/** What the Worker that fills a demo is told to do, and how. */

export const STEP_PATH = "/_demo/step";
export const END_PATH = "/_demo/end";

/** A piece of the past: what came in, who paid for it, and the time that it is then. Epoch ms. */
export interface Step {
  readonly batches: readonly UsageBatch[];
  /** Of an hour that is over. */
  readonly spends: readonly Spend[];
  /** When the cron runs, in order. */
  readonly cron: readonly number[];
  readonly until: number;
}

/** Units of one key in one hour, as its isolates had them of the meter. */
export interface Spend {
  readonly meter: string;
  readonly keyId: string;
  readonly limits: readonly Limit[];
  readonly cost: number;
  readonly hour: number;
}
