import type { EdgeRecord, KeyHash } from "../keys/record.ts";
import { statusAt } from "../keys/status.ts";
import type { AcquireAnswer, AcquireRequest, Stale } from "./acquire.ts";
import { effectiveLimits, type Plans } from "./effective.ts";
import type { Limit } from "./limit.ts";
import { admissionPolicy, type RoutePolicy } from "./policy.ts";

/**
 * How an isolate asks a broker about a key that it has not met: by its hash, with all that it takes to admit the request in
 * hand, so that the record and the admission come back in one hop.
 */
export interface Introduction {
  readonly hash: KeyHash;
  readonly holder: string;
  readonly plans: Plans;
  readonly routeLimits: readonly Limit[];
  readonly routePolicy: RoutePolicy;
  readonly cost: number;
  readonly hour: number;
}

export type Introduced =
  /** For so long, counted from before the caller asked: two memories of a miss must not add up. */
  | { readonly outcome: "unknown"; readonly forMs: number }
  | {
      readonly outcome: "known";
      readonly record: EdgeRecord;
      /** To `requestFor(record, introduction)`; `null` when that is `null`. */
      readonly answer: Exclude<AcquireAnswer, Stale> | null;
    };

/**
 * What the isolate would ask for, had it the record: both sides work it out alike. `null` where nothing may be admitted on a
 * broker's word (strict keys), or nothing at all (a key that does not stand).
 */
export function requestFor(record: EdgeRecord, asked: Introduction, now: number): AcquireRequest | null {
  const policy = admissionPolicy(record.policy, asked.routePolicy);
  const status = statusAt(record, now);
  if (policy.mustAsk || (status !== "active" && status !== "rotating")) return null;
  const { holder, cost, hour } = asked;
  const limits = effectiveLimits(record, asked.plans, asked.routeLimits);
  const { id: keyId, generation } = record;
  const nothing = { want: 0, urgent: 0, holdings: [], returned: [], spent: [] } as const;
  return { holder, keyId, generation, limits, cost, hour, ttlMs: policy.ttlMs, ...nothing };
}
