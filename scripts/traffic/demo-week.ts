import type { Attack } from "./attacks.ts";
import type { TrafficKey } from "./fleet.ts";
import { makeFleet } from "./fleet.ts";
import { Draws } from "./random.ts";
import { thiefSite } from "./places.ts";

/** A week to look at: 40 owners with 300 keys, a leak, a quiet thief, a rotation in its overlap and a revoke. The seed says all of it. */

export const DEMO_OWNERS = 40;
export const DEMO_KEYS = 300;
/** What the detectors learn from, before the week that is shown. */
export const DEMO_WEEKS_BEFORE = 6;

export interface DemoWeek {
  readonly keys: readonly TrafficKey[];
  /** Hours since the epoch: the whole of it, and the week that is shown. */
  readonly start: number;
  readonly from: number;
  readonly until: number;
  /** Ids of the keys with a story. `rotating` is the old one, `successor` the new. */
  readonly story: Readonly<Record<"leaked" | "thief" | "rotating" | "successor" | "revoked", string>>;
}

const HOURS_A_WEEK = 168;

/** @param until the end of the week, hours since the epoch. */
export function makeDemoWeek(seed: number, until: number): DemoWeek {
  const from = until - HOURS_A_WEEK;
  const start = from - DEMO_WEEKS_BEFORE * HOURS_A_WEEK;
  const fleet = makeFleet({
    seed,
    owners: DEMO_OWNERS,
    keys: DEMO_KEYS - 1,
    start,
    weeks: DEMO_WEEKS_BEFORE + 1,
    quietWeeks: DEMO_WEEKS_BEFORE,
    attacks: [],
    attackedShare: 0,
  });
  const draws = new Draws(seed, 51);
  const cast = fleet.filter(isPlain);
  const [leaked, thief, rotating, revoked] = cast;
  if (leaked === undefined || thief === undefined || rotating === undefined || revoked === undefined) {
    throw new Error(`seed ${seed} has no keys for the story`);
  }
  const leak = attack(draws, { kind: "spike", strength: "clear", since: from + 98, until: from + 103, size: 25 });
  const quiet = attack(draws, {
    kind: "quiet_thief",
    strength: "medium",
    since: from + 120,
    until: from + 150,
    size: 0.82,
  });
  const overlap = { since: from + 132, until: until + 36 };
  const changed = new Map<TrafficKey, TrafficKey>([
    // Revoked some hours after it was used, as whoever is on call would.
    [leaked, { ...leaked, attack: leak, handover: { role: "revoked", since: from + 103, until: from + 115 } }],
    [thief, { ...thief, attack: quiet }],
    [rotating, { ...rotating, handover: { role: "old", ...overlap } }],
    [revoked, { ...revoked, handover: { role: "revoked", since: from + 60, until: from + 66 } }],
  ]);
  const successor: TrafficKey = {
    ...rotating,
    facts: { ...rotating.facts, keyId: `${rotating.facts.keyId}_next` },
    handover: { role: "new", ...overlap },
  };
  return {
    keys: [...fleet.map((key) => changed.get(key) ?? key), successor],
    start,
    from,
    until,
    story: {
      leaked: leaked.facts.keyId,
      thief: thief.facts.keyId,
      rotating: rotating.facts.keyId,
      successor: successor.facts.keyId,
      revoked: revoked.facts.keyId,
    },
  };
}

/** A live key of servers with a limit that it does not come near. */
function isPlain({ shape, facts, changes, perHour, costEach }: TrafficKey): boolean {
  const { limitPerMinute, environment } = facts;
  return (
    (shape === "business" || shape === "consumer") &&
    environment === "live" &&
    limitPerMinute !== null &&
    perHour > 100 &&
    perHour * costEach < limitPerMinute * 60 * 0.3 &&
    changes.every(({ kind }) => kind === "retries" || kind === "failures")
  );
}

function attack(draws: Draws, of: Pick<Attack, "kind" | "strength" | "since" | "until" | "size">): Attack {
  return { ...of, site: thiefSite(draws), minute: 0, minutes: 60 };
}
