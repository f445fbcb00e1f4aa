import { scaleUnits } from "../../src/usage/cost-bill.ts";
import type { Units } from "../../src/usage/price-sheet.ts";
import type { CpuFigures } from "./cpu.ts";
import { readBenchCpu } from "./cpu.ts";
import { startCostLab } from "./lab.ts";
import type { CostLab } from "./lab.ts";
import { measureCase, perRequest } from "./measure.ts";
import type { Case } from "./measure.ts";
import { REFERENCE_REQUESTS_PER_MONTH, VOLUMES, volumeName } from "./shapes.ts";
import type { Shape } from "./shapes.ts";

/** All cases, one after the other, in one lab. */

export interface Measured {
  readonly cases: readonly Case[];
  readonly cpu: CpuFigures;
  /** Units of a month that no request causes. */
  readonly clockwork: Units;
}

export interface RunOptions {
  readonly quick: boolean;
  readonly seed: number;
  /** How many different keys are asked with. */
  readonly keys: number;
  readonly shapes: readonly Shape[];
  readonly cpuJson: string | undefined;
  readonly progress: (text: string) => void;
}

/** What stands in for processor time where it cannot be measured, ms. */
const ASSUMED_CPU_MS = 1;
/** The cron runs each minute. */
const RUNS_PER_MONTH = 43_200;

export async function runCost({ quick, seed, keys, shapes, cpuJson, progress }: RunOptions): Promise<Measured> {
  const benched = readBenchCpu(cpuJson);
  const isolates = Math.max(...VOLUMES.map((volume) => volume.isolates));
  progress("building and starting the lab");
  const lab = await startCostLab({ isolates, keys, progress });
  try {
    // Before any traffic: what the cron does for an hour of it is derived, per key.
    const clockwork = await countClockwork(lab);
    await useEveryKey(lab, isolates, progress);
    const cases: Case[] = [];
    let firstCold = 0;
    for (const { name } of shapes) {
      for (const volume of VOLUMES) {
        progress(`${name} at ${volumeName(volume.requestsPerMonth)} requests a month`);
        const measured = await measureCalmly(
          (slowness) => measureCase(lab, name, volume, { quick, seed, firstCold, slowness }),
          progress,
        );
        if (name === "cold") firstCold = measured.nextCold;
        cases.push(measured);
      }
    }
    return { cases, cpu: benched ?? ownCpu(cases), clockwork };
  } finally {
    await lab.stop();
  }
}

/** A first use makes rows that no later one makes; so does the first from another country, where every other isolate is. */
async function useEveryKey(lab: CostLab, isolates: number, progress: (text: string) => void): Promise<void> {
  progress("using every key once from each place");
  const requestsPerSecond = 250;
  const seconds = (lab.keys.length / requestsPerSecond) * 1.05;
  for (const first of [0, 1]) {
    const pick = { kind: "turns", first, stride: 1 } as const;
    await lab.drive({ isolates, requestsPerSecond, seconds, seed: 1, keys: lab.keys, pick });
  }
}

/** Requests that come this late on average, by the lab's clock, are no longer the traffic that was asked for. */
const LATE_MS = 1_000;

/**
 * A machine that has other things to do answers later than the lab's fast clock allows: time-outs fire. Such a case is run again, at
 * half the pace. Throws when that does not help.
 */
async function measureCalmly(
  measure: (slowness: number) => Promise<Case>,
  progress: (text: string) => void,
): Promise<Case> {
  for (let slowness = 1; slowness <= 4; slowness *= 2) {
    const measured = await measure(slowness);
    const { refused, requests } = measured.counted;
    if (refused === 0 && measured.lateMs <= LATE_MS) return measured;
    progress(
      `${refused} of ${requests} requests were refused, and they came ${Math.round(measured.lateMs)} ms late: again, more slowly`,
    );
  }
  throw new Error(
    "this machine is too busy: requests time out, or come too late to be the traffic that is asked about",
  );
}

async function countClockwork(lab: CostLab): Promise<Units> {
  await lab.runScheduled();
  await lab.reset();
  await lab.runScheduled();
  const counted = { ...(await lab.units()), requests: 1 };
  const once = perRequest(counted);
  // The one request was made up, to be divided by.
  return scaleUnits({ ...once, requests: counted.invocations }, RUNS_PER_MONTH);
}

function ownCpu(cases: readonly Case[]): CpuFigures {
  const cpuOf = (shape: Case["shape"]): number | null =>
    cases.find((one) => one.shape === shape && one.volume.requestsPerMonth === REFERENCE_REQUESTS_PER_MONTH)?.cpuMs ??
    null;
  const warmMs = cpuOf("hot");
  if (warmMs === null) {
    return {
      warmMs: ASSUMED_CPU_MS,
      coldMs: 2 * ASSUMED_CPU_MS,
      naiveMs: 2 * ASSUMED_CPU_MS,
      source: "assumed: this system does not tell",
    };
  }
  const coldMs = cpuOf("cold") ?? 2 * warmMs;
  const source =
    "this run, the whole runtime with its objects, KV and queue: too high. The naive way is given the same as a cold request";
  return { warmMs, coldMs, naiveMs: coldMs, source };
}
