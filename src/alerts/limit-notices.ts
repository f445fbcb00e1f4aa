import type { EpochMs } from "../keys/record.ts";
import type { Limit } from "../limits/limit.ts";
import { counterOf, windowAt } from "../limits/window.ts";
import type { Condition } from "./condition.ts";

/** What is to be said of limits that are nearly, or wholly, used up. Pure. */

/** A counter of a meter. Units that are lent to isolates count as used. */
export interface CounterUse {
  readonly name: string;
  readonly windowStart: EpochMs;
  readonly used: number;
}

/** Whose limit it is. */
export interface LimitHolder {
  readonly owner: string;
  readonly team: string | null;
  /** Key id; `null`: the owner's own, which all of its keys share. */
  readonly keyId: string | null;
  /** `The key lk_live_AbCd…wxyz`, `The owner acme`. */
  readonly name: string;
}

/** A limit of a minute or an hour is full and empty again before anybody has read of it. */
const MIN_WINDOW_MS = 86_400_000;
const NEAR = 0.8;

export function limitNotices(
  holder: LimitHolder,
  limits: readonly Limit[],
  counters: readonly CounterUse[],
  now: EpochMs,
): readonly Condition[] {
  return limits.flatMap((limit) => {
    const { start, end } = windowAt(limit.window, now);
    const counter = counters.find((of) => of.name === counterOf(limit) && of.windowStart === start);
    if (counter === undefined || end - start < MIN_WINDOW_MS || counter.used < NEAR * limit.limit) return [];
    return [notice(holder, limit, { used: Math.min(counter.used, limit.limit), end }, now)];
  });
}

function notice(
  { owner, team, keyId, name }: LimitHolder,
  limit: Limit,
  { used, end }: { readonly used: number; readonly end: EpochMs },
  now: EpochMs,
): Condition {
  const isReached = used >= limit.limit;
  const percent = Math.floor((100 * used) / limit.limit);
  const until = `${new Date(end).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return {
    kind: isReached ? "limit_reached" : "near_limit",
    severity: isReached ? "ticket" : "notice",
    owner,
    team,
    subject: keyId === null ? limit.name : `${keyId}/${limit.name}`,
    summary: `${name} has used ${percent} % of its limit ${limit.name} (${used} of ${limit.limit}) before ${until}.`,
    evidence: {
      path: keyId === null ? `/_latchkey/owners/${owner}` : `/_latchkey/keys/${keyId}`,
      numbers: { used, limit: limit.limit, percent },
    },
    at: now,
  };
}
