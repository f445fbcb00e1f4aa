import type { Policy } from "../../../src/keys/record.ts";
import type { Limit, LimitWindow } from "../../../src/limits/limit.ts";
import { pick, type Random, wholeBetween } from "../clock/random.ts";
import { type Colo, COLOS } from "../platform/colos.ts";
import type { Losses } from "../platform/network.ts";

/** What a random world is like. Every kind of trouble is there in some worlds and absent in others, so that each meets each. */
export interface WorldPlan {
  readonly startAt: number;
  readonly colos: readonly Colo[];
  readonly home: string;
  readonly isolatesPerColo: number;
  readonly brokerShards: number | null;
  readonly owners: readonly { readonly id: string; readonly limits: readonly Limit[] }[];
  readonly lineages: readonly LineagePlan[];
  readonly trafficMs: number;
  readonly requests: number;
  /** Part of the requests that comes in bursts around the edges of windows. */
  readonly burstShare: number;
  readonly costs: readonly number[];
  readonly refundShare: number;
  readonly changes: number;
  readonly trouble: TroublePlan;
}

export interface LineagePlan {
  readonly owner: string;
  readonly limits: readonly Limit[];
  readonly policy: Policy;
}

export interface TroublePlan {
  readonly losses: Losses;
  readonly isolateDeaths: number;
  readonly restarts: number;
  readonly partitions: number;
  /** Clocks are wrong by up to this much, ms. */
  readonly skewMs: number;
  /** How often an isolate's clock jumps, there or back. */
  readonly clockSteps: number;
  readonly kvFailures: number;
  readonly queue: { readonly refuse: number; readonly loseAnswer: number; readonly redeliver: number };
}

/** Nothing was lost, cut or restarted: then nobody may be turned away without a reason. */
export function isCalm({ trouble }: WorldPlan): boolean {
  const { losses, isolateDeaths, restarts, partitions, kvFailures, skewMs, clockSteps } = trouble;
  return (
    losses.request + losses.answer + isolateDeaths + restarts + partitions + kvFailures + skewMs + clockSteps === 0
  );
}

/** 2026-11-23, a Monday. */
const MONDAY = Date.UTC(2026, 10, 23);
const HOUR_MS = 3_600_000;
const QUIET_BEFORE_MS = 100_000;

const WINDOWS: readonly LimitWindow[] = [
  { seconds: 1 },
  { seconds: 2 },
  { seconds: 5 },
  { seconds: 10 },
  "minute",
  "hour",
];

export function drawPlan(random: Random): WorldPlan {
  const owners = Array.from({ length: wholeBetween(random, 1, 2) }, (_none, index) => ({
    id: `owner-${index}`,
    limits: random() < 0.3 ? [drawLimit(random, "shared", 2)] : [],
  }));
  const trafficMs = wholeBetween(random, 6_000, 16_000);
  return {
    // The edge of an hour, and of every shorter window, lies in the middle of the traffic.
    startAt: MONDAY + wholeBetween(random, 1, 23) * HOUR_MS - QUIET_BEFORE_MS - Math.floor(trafficMs * random()),
    colos: Array.from({ length: wholeBetween(random, 1, 5) }, () => pick(random, COLOS)),
    home: pick(random, COLOS).code,
    isolatesPerColo: pick(random, [1, 1, 2, 3, 4]),
    brokerShards: random() < 0.65 ? wholeBetween(random, 1, 2) : null,
    owners,
    lineages: Array.from({ length: wholeBetween(random, 1, 2) }, () => drawLineage(random, pick(random, owners).id)),
    trafficMs,
    requests: wholeBetween(random, 40, 260),
    burstShare: pick(random, [0, 0.3, 0.8]),
    costs: pick(random, [[1], [1], [1, 1, 1, 2, 5], [1, 30], [0, 1, 3]]),
    refundShare: pick(random, [0, 0, 0.1, 0.4]),
    changes: pick(random, [0, 1, 1, 2, 4]),
    trouble: random() < 0.15 ? NO_TROUBLE : drawTrouble(random),
  };
}

function drawLineage(random: Random, owner: string): LineagePlan {
  const limits = Array.from({ length: pick(random, [0, 1, 1, 1, 2]) }, (_none, index) =>
    drawLimit(random, index === 0 ? "burst" : "quota", 1),
  );
  const policy: Policy = {
    ...(random() < 0.12 ? { strict: true } : {}),
    ...(random() < 0.2 ? { onMeterUnavailable: "closed" as const } : {}),
    ...(random() < 0.2 ? { graceSeconds: pick(random, [0, 3, 10]) } : {}),
    ...(random() < 0.15 ? { leaseTtlSeconds: pick(random, [1, 2, 3]) } : {}),
  };
  return { owner, limits, policy };
}

export function drawLimit(random: Random, name: string, scale: number): Limit {
  const limit = pick(random, [1, 3, 10, 25, 60, 150, 400, 1_000]) * scale;
  return { name, limit, window: pick(random, WINDOWS), kind: name === "quota" ? "quota" : "rate" };
}

const NO_TROUBLE: TroublePlan = {
  losses: { request: 0, answer: 0 },
  isolateDeaths: 0,
  restarts: 0,
  partitions: 0,
  skewMs: 0,
  clockSteps: 0,
  kvFailures: 0,
  queue: { refuse: 0, loseAnswer: 0, redeliver: 0 },
};

function drawTrouble(random: Random): TroublePlan {
  const some = <T>(none: T, ...others: readonly T[]): T => (random() < 0.5 ? none : pick(random, others));
  return {
    losses: some(
      { request: 0, answer: 0 },
      { request: 0.01, answer: 0.01 },
      { request: 0, answer: 0.2 },
      { request: 0.2, answer: 0.1 },
    ),
    isolateDeaths: some(0, 1, 3, 8),
    restarts: some(0, 1, 4, 12),
    partitions: some(0, 1, 3),
    skewMs: some(0, 40, 1_000, 60_000),
    clockSteps: some(0, 0, 1, 3),
    kvFailures: some(0, 0.05, 0.5),
    queue: some(
      { refuse: 0, loseAnswer: 0, redeliver: 0.1 },
      { refuse: 0.2, loseAnswer: 0.1, redeliver: 0.3 },
      { refuse: 0, loseAnswer: 0.5, redeliver: 0.2 },
    ),
  };
}
