import { DEFAULT_GRACE_SECONDS, LEASE_TTL_MS } from "../constants.ts";
import type { Policy } from "../keys/record.ts";

/** What the key's policy and the route's say together; the stricter wins. */
export interface AdmissionPolicy {
  /** Every request asks the meter. */
  readonly mustAsk: boolean;
  /** How long an admission stands; 0 when strict. */
  readonly ttlMs: number;
  readonly onMeterUnavailable: "open" | "closed";
  readonly graceMs: number;
}

export interface RoutePolicy {
  readonly strict: boolean;
  readonly onMeterUnavailable: "open" | "closed" | null;
  readonly graceSeconds: number | null;
}

export function admissionPolicy(key: Policy, route: RoutePolicy): AdmissionPolicy {
  const strict = key.strict === true || route.strict;
  const said = [key.onMeterUnavailable, route.onMeterUnavailable];
  const closed = said.includes("closed") || (strict && !said.includes("open"));
  const grace = Math.min(key.graceSeconds ?? Infinity, route.graceSeconds ?? Infinity);
  return {
    mustAsk: strict,
    ttlMs: strict ? 0 : Math.min(LEASE_TTL_MS, (key.leaseTtlSeconds ?? Infinity) * 1_000),
    onMeterUnavailable: closed ? "closed" : "open",
    graceMs: (grace === Infinity ? DEFAULT_GRACE_SECONDS : grace) * 1_000,
  };
}
