import { pick, type Random, wholeBetween } from "../clock/random.ts";
import type { WorldPlan } from "./plan.ts";

/** Requests of a random world: when, where, with which key. Places are shares, so that they fit whoever is alive then. */
export interface TrafficRequest {
  readonly at: number;
  readonly isolate: number;
  readonly key: number;
  readonly cost: number;
  /** `null`: kept. */
  readonly refundAfterMs: number | null;
}

interface Span {
  readonly begin: number;
  readonly end: number;
}

const EDGE_MS = 1_000;
const BEFORE_EDGE_MS = 400;
const AFTER_EDGE_MS = 150;

export function planTraffic(plan: WorldPlan, random: Random, { begin, end }: Span): TrafficRequest[] {
  return Array.from({ length: plan.requests }, () => {
    const anywhere = begin + random() * (end - begin);
    const edge = Math.ceil(anywhere / EDGE_MS) * EDGE_MS;
    const isBurst = random() < plan.burstShare;
    return {
      at: isBurst ? Math.min(edge - BEFORE_EDGE_MS + random() * (BEFORE_EDGE_MS + AFTER_EDGE_MS), end) : anywhere,
      // A burst tends to meet one isolate, so that some are warm and others cold.
      isolate: isBurst ? random() ** 3 : random(),
      key: random(),
      cost: pick(random, plan.costs),
      refundAfterMs: random() < plan.refundShare ? wholeBetween(random, 0, 3_000) : null,
    };
  });
}
