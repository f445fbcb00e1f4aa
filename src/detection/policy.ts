import type { FindingKind } from "./finding.ts";
import type { Plans } from "../limits/effective.ts";
import { DEFAULT_THRESHOLDS, type Thresholds } from "./thresholds.ts";

/** Which thresholds hold for which key. Pure. */

/** What a deployment changes: for each detector the members that differ. */
export type ThresholdChanges = { readonly [K in keyof Thresholds]?: Partial<Thresholds[K]> };

export interface DetectionRule {
  /** Keys that all of these hold for; without any, every key. */
  readonly owner?: string;
  readonly tag?: string;
  readonly plan?: string;
  readonly environment?: "live" | "test";
  readonly thresholds?: ThresholdChanges;
  /** Detectors that say nothing of these keys. */
  readonly off?: readonly FindingKind[];
}

/** In order: later rules change what earlier ones said. */
export type DetectionPolicy = readonly DetectionRule[];

/** What of the deployment's configuration the watch goes by. */
export interface WatchPolicy {
  readonly rules: DetectionPolicy;
  readonly plans: Plans;
}

/** What rules look at. */
export interface RuledKey {
  readonly owner: string | null;
  readonly tags: readonly string[];
  readonly plan: string | null;
  readonly environment: "live" | "test";
}

export interface RuledDetection {
  readonly thresholds: Thresholds;
  readonly off: ReadonlySet<FindingKind>;
}

/** For `null`, networks: rules that name nothing of a key hold. */
export function ruleFor(policy: DetectionPolicy, key: RuledKey | null): RuledDetection {
  let thresholds = DEFAULT_THRESHOLDS;
  const off = new Set<FindingKind>();
  for (const rule of policy) {
    if (!holds(rule, key)) continue;
    thresholds = change(thresholds, rule.thresholds ?? {});
    for (const kind of rule.off ?? []) off.add(kind);
  }
  return { thresholds, off };
}

function holds({ owner, tag, plan, environment }: DetectionRule, key: RuledKey | null): boolean {
  if (owner !== undefined && key?.owner !== owner) return false;
  if (tag !== undefined && key?.tags.includes(tag) !== true) return false;
  if (plan !== undefined && key?.plan !== plan) return false;
  return environment === undefined || key?.environment === environment;
}

export function change(thresholds: Thresholds, changes: ThresholdChanges): Thresholds {
  return {
    spike: { ...thresholds.spike, ...changes.spike },
    oddHours: { ...thresholds.oddHours, ...changes.oddHours },
    quietThief: { ...thresholds.quietThief, ...changes.quietThief },
    newPlace: { ...thresholds.newPlace, ...changes.newPlace },
    authFailures: { ...thresholds.authFailures, ...changes.authFailures },
    stuffing: { ...thresholds.stuffing, ...changes.stuffing },
    errorJump: { ...thresholds.errorJump, ...changes.errorJump },
    idle: { ...thresholds.idle, ...changes.idle },
    testContext: { ...thresholds.testContext, ...changes.testContext },
    canary: { ...thresholds.canary, ...changes.canary },
  };
}
