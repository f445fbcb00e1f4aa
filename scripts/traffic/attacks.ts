import type { Site } from "./places.ts";
import { neighbour, thiefSite } from "./places.ts";
import type { Draws } from "./random.ts";

/** What thieves and accidents do, with the label that a detector is measured by. Strengths were written down before any detector was tried. */

export const ATTACKS = [
  "spike",
  "odd_hours",
  "quiet_thief",
  "new_place",
  "auth_failures",
  "errors",
  "idle",
  "test_context",
  "canary",
] as const;
export type AttackKind = (typeof ATTACKS)[number];

export const STRENGTHS = ["clear", "medium", "modest"] as const;
export type Strength = (typeof STRENGTHS)[number];

export interface Attack {
  readonly kind: AttackKind;
  readonly strength: Strength;
  /** Hours since the epoch, `[since, until)`. */
  readonly since: number;
  readonly until: number;
  /** By kind: times the usual hour, share of the limit, share of requests, or requests an hour. */
  readonly size: number;
  /** Where it comes from; `null`: from where the key is used anyway. */
  readonly site: Site | null;
  /** Minute of an hour at which each of its hours begins, and how many it lasts. */
  readonly minute: number;
  readonly minutes: number;
}

type Range = readonly [low: number, high: number];

interface Plan {
  readonly sizes: Readonly<Record<Strength, Range>>;
  /** Hours. */
  readonly lengths: Readonly<Record<Strength, Range>>;
  /** Share of the attacks that come from a thief's own place; of the rest, half from a new block of the owner's provider. */
  readonly elsewhere: number;
}

const ALL = (low: number, high: number): Readonly<Record<Strength, Range>> => ({
  clear: [low, high],
  medium: [low, high],
  modest: [low, high],
});

export const PLANS: Readonly<Record<AttackKind, Plan>> = {
  /** Times the usual hour, at least 300 requests more. */
  spike: { sizes: { clear: [20, 60], medium: [8, 20], modest: [5, 8] }, lengths: ALL(2, 24), elsewhere: 0.6 },
  /** More units in the owner's night, of what is usual then and at least 300 a night. */
  odd_hours: { sizes: { clear: [1, 3], medium: [0.5, 1], modest: [0.2, 0.5] }, lengths: ALL(96, 240), elsewhere: 0.3 },
  /** Of the limit, with what the owner uses. */
  quiet_thief: {
    sizes: { clear: [0.85, 0.95], medium: [0.75, 0.9], modest: [0.62, 0.75] },
    lengths: { clear: [24, 72], medium: [14, 48], modest: [10, 24] },
    elsewhere: 0.8,
  },
  /** Of the key's usual hour, at least 30 requests an hour, beside its owner's. */
  new_place: {
    sizes: { clear: [0.5, 2], medium: [0.2, 0.5], modest: [0.05, 0.2] },
    lengths: ALL(6, 48),
    elsewhere: 0.9,
  },
  /** 401 or 403 in its minutes. */
  auth_failures: {
    sizes: { clear: [300, 2_000], medium: [100, 300], modest: [45, 100] },
    lengths: ALL(1, 1),
    elsewhere: 0.5,
  },
  /** Share of the requests that end in 5xx. */
  errors: { sizes: { clear: [0.5, 1], medium: [0.2, 0.5], modest: [0.08, 0.2] }, lengths: ALL(1, 3), elsewhere: 0 },
  /** Requests an hour. */
  idle: { sizes: { clear: [100, 1_000], medium: [20, 100], modest: [5, 20] }, lengths: ALL(4, 24), elsewhere: 0.8 },
  test_context: { sizes: { clear: [20, 200], medium: [5, 20], modest: [1, 3] }, lengths: ALL(1, 3), elsewhere: 0 },
  canary: { sizes: { clear: [5, 20], medium: [2, 5], modest: [1, 1] }, lengths: ALL(1, 2), elsewhere: 1 },
};

/** @param room the hours in which it may begin. */
export function attackOf(kind: AttackKind, draws: Draws, home: Site, room: Range): Attack {
  const plan = PLANS[kind];
  const strength = draws.pick(STRENGTHS);
  const since = draws.whole(...room);
  const isElsewhere = draws.chance(plan.elsewhere);
  const own = draws.chance(0.5) && kind !== "new_place" ? null : neighbour(home, draws);
  const isShort = kind === "auth_failures" || kind === "errors";
  return {
    kind,
    strength,
    since,
    until: since + draws.whole(...plan.lengths[strength]),
    size: draws.between(...plan.sizes[strength]),
    site: isElsewhere ? thiefSite(draws) : own,
    minute: isShort ? draws.whole(0, 25) : 0,
    minutes: isShort ? draws.whole(kind === "errors" ? 20 : 10, 34) : 60,
  };
}
