import type { Attack } from "./attacks.ts";
import type { TrafficKey } from "./fleet.ts";
import { makeFleet, makeKey } from "./fleet.ts";
import type { Site } from "./places.ts";
import { Draws } from "./random.ts";
import { thiefSite } from "./places.ts";

/**
 * A week to look at: 40 owners with 300 keys, a leak, a quiet thief, an upstream that fails, a canary that sings, a list of stolen keys
 * that is tried, a rotation in its overlap and a revoke. The seed says all of it.
 */

export const DEMO_OWNERS = 40;
export const DEMO_KEYS = 300;
/** What the detectors learn from, before the week that is shown. */
export const DEMO_WEEKS_BEFORE = 3;
/** Units a minute that a key may be limited to. */
export const DEMO_LIMITS = [20, 300] as const;

export interface DemoWeek {
  readonly keys: readonly TrafficKey[];
  /** Hours since the epoch: the whole of it, and the week that is shown. */
  readonly start: number;
  readonly from: number;
  readonly until: number;
  /** Ids of the keys with a story. `rotating` is the old one, `successor` the new. */
  readonly story: Readonly<Record<StoryRole, string>>;
  /** Somebody's list of keys, none of which opens anything. */
  readonly stuffing: Stuffing;
}

export type StoryRole = "leaked" | "thief" | "failing" | "canary" | "rotating" | "successor" | "revoked";

export interface Stuffing {
  readonly site: Site;
  /** Minutes since the epoch, `[since, until)`. */
  readonly since: number;
  readonly until: number;
  readonly keysEachMinute: number;
}

const HOURS_A_WEEK = 168;
/** Units of a request that is not a plain one. */
export const DEAR_COST = 5;

/** @param until the end of the week, hours since the epoch. */
export function makeDemoWeek(seed: number, until: number): DemoWeek {
  const from = until - HOURS_A_WEEK;
  const start = from - DEMO_WEEKS_BEFORE * HOURS_A_WEEK;
  const plan = {
    seed,
    owners: DEMO_OWNERS,
    keys: DEMO_KEYS - 2,
    start,
    weeks: DEMO_WEEKS_BEFORE + 1,
    quietWeeks: DEMO_WEEKS_BEFORE,
    attacks: [],
    attackedShare: 0,
  };
  const fleet = makeFleet(plan).map(asSmallCustomer);
  const draws = new Draws(seed, 51);
  const cast = fleet.filter(isPlain);
  // The errors of a key that is hardly used are nobody's alarm.
  const failing = cast.toSorted((a, b) => b.perHour - a.perHour).at(0);
  const [leaked, thief, rotating, revoked] = cast.filter((key) => key !== failing);
  if (!leaked || !thief || !failing || !rotating || !revoked) throw new Error(`seed ${seed} has no keys for the story`);
  const planted = makeKey(plan, plan.keys, 0, "canary");
  const leak = attack(draws, { kind: "spike", strength: "clear", since: from + 98, until: from + 103, size: 25 });
  const quiet = attack(draws, {
    kind: "quiet_thief",
    strength: "medium",
    since: from + 120,
    until: from + 150,
    size: 0.82,
  });
  const failure = attack(draws, { kind: "errors", strength: "clear", since: from + 82, until: from + 92, size: 0.7 });
  const touch = attack(draws, { kind: "canary", strength: "modest", since: from + 151, until: from + 152, size: 3 });
  const overlap = { since: from + 132, until: until + 36 };
  const changed = new Map<TrafficKey, TrafficKey>([
    // Revoked some hours after it was used, as whoever is on call would.
    [leaked, { ...leaked, attack: leak, handover: { role: "revoked", since: from + 103, until: from + 115 } }],
    [thief, { ...thief, attack: quiet }],
    [failing, { ...failing, attack: { ...failure, site: null, minute: 12, minutes: 45 } }],
    [rotating, { ...rotating, handover: { role: "old", ...overlap } }],
    [revoked, { ...revoked, handover: { role: "revoked", since: from + 60, until: from + 66 } }],
  ]);
  const successor: TrafficKey = {
    ...rotating,
    facts: { ...rotating.facts, keyId: `${rotating.facts.keyId}_next` },
    handover: { role: "new", ...overlap },
  };
  return {
    keys: [...fleet.map((key) => changed.get(key) ?? key), { ...planted, attack: touch }, successor],
    start,
    from,
    until,
    story: {
      leaked: leaked.facts.keyId,
      thief: thief.facts.keyId,
      failing: failing.facts.keyId,
      canary: planted.facts.keyId,
      rotating: rotating.facts.keyId,
      successor: successor.facts.keyId,
      revoked: revoked.facts.keyId,
    },
    stuffing: {
      site: thiefSite(draws),
      since: (from + 147) * 60 + 20,
      until: (from + 147) * 60 + 50,
      keysEachMinute: 12,
    },
  };
}

/**
 * Customers of a small company, in its own part of the world: most keys make hundreds of requests a day, the largest some thousands, so that
 * a week of all of them is about half a million. A backlog at four fifths of a limit would drown them.
 */
function asSmallCustomer(key: TrafficKey): TrafficKey {
  const perHour = Math.min(100, key.perHour * 0.007);
  const costEach = key.costEach > 1 ? DEAR_COST : 1;
  const [small, large] = DEMO_LIMITS;
  const limitPerMinute = key.facts.limitPerMinute === null ? null : perHour * costEach > 10 * small ? large : small;
  return {
    ...key,
    timeZone: Math.abs(key.timeZone % 3),
    perHour,
    costEach,
    failuresPerHour: key.failuresPerHour * 0.2,
    changes: key.changes.filter(({ kind }) => kind !== "backfill"),
    facts: { ...key.facts, limitPerMinute },
  };
}

/** A live key of servers that are busy all week, with a small limit that it does not come near. */
function isPlain({ shape, facts, changes, perHour, costEach, errorShare }: TrafficKey): boolean {
  return (
    (shape === "business" || shape === "consumer") &&
    facts.environment === "live" &&
    facts.limitPerMinute === DEMO_LIMITS[0] &&
    costEach === 1 &&
    perHour > 10 &&
    errorShare < 0.01 &&
    changes.every(({ kind }) => kind === "retries" || kind === "failures")
  );
}

function attack(draws: Draws, of: Pick<Attack, "kind" | "strength" | "since" | "until" | "size">): Attack {
  return { ...of, site: thiefSite(draws), minute: 0, minutes: 60 };
}
