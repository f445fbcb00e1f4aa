import type { Violation } from "./auditor.ts";
import type { Plant } from "./plants.ts";
import { runWorld, type WorldResult } from "./random-world.ts";

/** Many small worlds, one after the other. */

export interface SeedsOptions {
  readonly first: number;
  readonly count: number;
  readonly plant: Plant | null;
  /** Called after each world, for those who watch. */
  readonly onWorld: (result: WorldResult, done: number) => void;
}

export interface SeedsResult {
  readonly seeds: number;
  readonly happenings: number;
  readonly requests: number;
  readonly admitted: number;
  readonly violations: readonly (Violation & { readonly seed: number })[];
  readonly withBrokers: number;
  readonly seconds: number;
}

export async function runSeeds({ first, count, plant, onWorld }: SeedsOptions): Promise<SeedsResult> {
  const begun = performance.now();
  const violations: (Violation & { readonly seed: number })[] = [];
  let [happenings, requests, admitted, withBrokers] = [0, 0, 0, 0];
  const { stackTraceLimit } = Error;
  // The product logs what it survives; nobody reads the stacks here.
  Error.stackTraceLimit = 0;
  try {
    for (let done = 1; done <= count; done++) {
      const seed = first + done - 1;
      const result = await runWorld(seed, plant);
      happenings += result.happenings;
      requests += result.requests;
      admitted += result.admitted;
      if (result.plan.brokerShards !== null) withBrokers++;
      for (const violation of result.violations) violations.push({ seed, ...violation });
      onWorld(result, done);
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  return {
    seeds: count,
    happenings,
    requests,
    admitted,
    violations,
    withBrokers,
    seconds: (performance.now() - begun) / 1_000,
  };
}
