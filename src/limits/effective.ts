import type { EdgeRecord } from "../keys/record.ts";
import type { Limit } from "./limit.ts";

export type Plans = Readonly<Record<string, readonly Limit[]>>;

const NONE: readonly Limit[] = [];

/**
 * The limits that a key's requests draw on: its plan's, and the route's, each overridden by the key's own of
 * the same name: one name is one counter, and must be charged once.
 * A plan that no longer exists in the configuration adds nothing: no limit is applied that nobody asked for.
 */
export function effectiveLimits(
  record: Pick<EdgeRecord, "plan" | "limits">,
  plans: Plans,
  routeLimits: readonly Limit[],
): readonly Limit[] {
  const planLimits = (record.plan === null ? undefined : plans[record.plan]) ?? NONE;
  return withDefaults(withDefaults(record.limits, planLimits), routeLimits);
}

/** `chosen`, and those of `others` whose name is not among them. */
function withDefaults(chosen: readonly Limit[], others: readonly Limit[]): readonly Limit[] {
  if (others.length === 0) return chosen;
  const added = others.filter((other) => !chosen.some((limit) => limit.name === other.name));
  return chosen.length === 0 ? added : [...chosen, ...added];
}
