import type { EdgeRecord } from "../keys/record.ts";
import type { Limit } from "./limit.ts";

export type Plans = Readonly<Record<string, readonly Limit[]>>;

/**
 * The limits that a key's requests draw on: its plan's, overridden by the key's own of the same name, then the route's.
 * A plan that no longer exists in the configuration adds nothing: no limit is applied that nobody asked for.
 */
export function effectiveLimits(
  record: Pick<EdgeRecord, "plan" | "limits">,
  plans: Plans,
  routeLimits: readonly Limit[],
): readonly Limit[] {
  const planLimits = record.plan === null ? undefined : plans[record.plan];
  if (planLimits === undefined || planLimits.length === 0) {
    return routeLimits.length === 0 ? record.limits : [...record.limits, ...routeLimits];
  }
  const own = new Set(record.limits.map((limit) => limit.name));
  return [...planLimits.filter((limit) => !own.has(limit.name)), ...record.limits, ...routeLimits];
}
