import type { KeyFacts } from "../../src/detection/rows.ts";
import type { Attack, AttackKind } from "./attacks.ts";
import { attackOf } from "./attacks.ts";
import type { Change } from "./changes.ts";
import { changesOf } from "./changes.ts";
import type { Site, SiteShare } from "./places.ts";
import { carrierSite, cloudSite, countryFor, neighbour } from "./places.ts";
import { Draws, mix } from "./random.ts";
import type { Shape, ShapeKey } from "./shapes.ts";
import { SHAPES, SHARES } from "./shapes.ts";

/** Owners and keys, and what will happen to each. All that is kept: hours are made of this when they are asked for. */

export interface TrafficKey extends ShapeKey {
  readonly facts: KeyFacts;
  readonly lineageId: string;
  readonly owner: string;
  readonly ownerSeed: number;
  /** Requests in its usual hour. */
  readonly perHour: number;
  readonly costEach: number;
  /** Spread (of the logarithm) from hour to hour, and from day to day. */
  readonly hourSpread: number;
  readonly daySpread: number;
  readonly growthPerWeek: number;
  readonly burstsPerHour: number;
  readonly errorShare: number;
  readonly failuresPerHour: number;
  readonly sites: readonly SiteShare[];
  readonly changes: readonly Change[];
  readonly attack: Attack | null;
  /** Hours since the epoch. */
  readonly start: number;
  /** Where one key takes over from another: how its share of the lineage's use goes. `null`: it has all of it, always. */
  readonly handover: Handover | null;
}

/** A rotation in its overlap, or a revocation. Hours since the epoch. */
export type Handover =
  | { readonly role: "new" | "old"; readonly since: number; readonly until: number }
  | { readonly role: "revoked"; readonly since: number; readonly until: number };

export interface FleetPlan {
  readonly seed: number;
  readonly owners: number;
  readonly keys: number;
  /** Hours since the epoch. */
  readonly start: number;
  readonly weeks: number;
  /** Attacks begin after this many weeks. */
  readonly quietWeeks: number;
  /** These kinds in turn, on this share of the keys that can suffer them. */
  readonly attacks: readonly AttackKind[];
  readonly attackedShare: number;
}

/** Units a minute, as plans have them. */
const LIMITS = [60, 100, 300, 600, 1_000, 3_000, 6_000, 20_000, 60_000, 200_000] as const;

export function makeFleet(plan: FleetPlan): readonly TrafficKey[] {
  const keys: TrafficKey[] = [];
  for (let index = 0; index < plan.keys; index++) {
    // Few owners have many keys.
    const owner = Math.floor(new Draws(plan.seed, 1, index).unit() ** 1.7 * plan.owners);
    const wanted = plan.attacks[index % Math.max(1, plan.attacks.length)] ?? null;
    const isAttacked = new Draws(plan.seed, 2, index).chance(plan.attackedShare);
    keys.push(makeKey(plan, index, owner, isAttacked ? wanted : null));
  }
  return keys;
}

export function makeKey(plan: FleetPlan, index: number, owner: number, attack: AttackKind | null): TrafficKey {
  const ownerSeed = mix(plan.seed, 3, owner);
  const ofOwner = new Draws(ownerSeed);
  const country = countryFor(ofOwner);
  const timeZone = ofOwner.whole(-8, 9);
  const seed = mix(plan.seed, 4, index);
  const draws = new Draws(seed);
  const shape = shapeFor(draws, attack);
  const isCloud = shape !== "people" && shape !== "mobile" && draws.chance(0.8);
  const home = isCloud ? cloudSite(draws) : carrierSite(draws, country);
  const isCanary = attack === "canary";
  const perHour = isCanary ? 0 : perHourOf(shape, draws);
  const costEach = draws.chance(0.2) ? draws.whole(2, 10) : 1;
  const peakPerMinute = ((shape === "nightly" ? 5 : 2.5) * perHour * costEach) / 60;
  const hasLimit = attack === "quiet_thief" || draws.chance(0.75);
  const limitPerMinute = hasLimit ? (LIMITS.find((limit) => limit >= peakPerMinute * 2) ?? null) : null;
  // Some jobs are set to run just below what they may.
  const isNearLimit = shape === "cron" && limitPerMinute !== null && attack !== "quiet_thief" && draws.chance(0.2);
  const hours = plan.weeks * 168;
  return {
    shape,
    seed,
    timeZone,
    jobHour: draws.whole(0, 5),
    jobHours: draws.whole(1, 4),
    facts: {
      keyId: `key_${plan.seed}_${index}`,
      environment: attack === null && draws.chance(0.04) ? "test" : "live",
      limitPerMinute,
      isCanary,
    },
    lineageId: `lin_${plan.seed}_${index}`,
    owner: `owner_${owner}`,
    ownerSeed,
    perHour: isNearLimit ? (limitPerMinute * 60 * draws.between(0.75, 0.93)) / costEach : perHour,
    costEach,
    hourSpread: draws.between(0.06, 0.3),
    daySpread: draws.between(0.04, 0.18),
    growthPerWeek: 0.006 + 0.015 * draws.normal(),
    burstsPerHour: draws.chance(0.2) ? draws.between(0.02, 0.15) : 0.002,
    errorShare: draws.chance(0.07) ? draws.between(0.02, 0.12) : draws.between(0, 0.004),
    failuresPerHour: draws.chance(0.05) ? draws.between(1, 25) : 0.02,
    sites: sitesOf(shape, home, draws),
    // A key is idle only while nothing honest happens to it either.
    changes: isCanary || attack === "idle" ? [] : changesOf({ shape, home, isCloud }, draws, plan.start, hours),
    attack:
      attack === null
        ? null
        : attackOf(attack, draws, home, [plan.start + plan.quietWeeks * 168, plan.start + hours - 80]),
    start: plan.start,
    handover: null,
  };
}

/** Of an attacked key: one that can suffer it. Errors and spends of keys that are hardly used are nobody's alarm. */
function shapeFor(draws: Draws, attack: AttackKind | null): Shape {
  if (attack === "idle" || attack === "canary") return "idle";
  for (;;) {
    const shape = drawShape(draws);
    if (attack === null) return shape;
    if (shape === "quarterly" || shape === "idle" || shape === "sporadic") continue;
    if (attack === "new_place" && shape === "mobile") continue;
    if (attack === "odd_hours" && (shape === "nightly" || shape === "cron" || shape === "steady")) continue;
    return shape;
  }
}

function drawShape(draws: Draws): Shape {
  let left = draws.between(0, 100);
  for (const shape of SHAPES) {
    left -= SHARES[shape];
    if (left < 0) return shape;
  }
  return "steady";
}

function perHourOf(shape: Shape, draws: Draws): number {
  switch (shape) {
    case "people":
      return draws.logNormal(40, 0.9);
    case "sporadic":
    case "quarterly":
      return draws.logNormal(80, 1.2);
    case "idle":
      return draws.logNormal(30, 0.8);
    case "mobile":
      return draws.logNormal(1_500, 1.2);
    case "business":
    case "consumer":
    case "steady":
    case "cron":
    case "nightly":
      return Math.min(200_000, draws.logNormal(600, 1.5));
  }
}

function sitesOf(shape: Shape, home: Site, draws: Draws): readonly SiteShare[] {
  if (shape === "mobile") return [{ site: home, share: 1 }];
  const others = shape === "people" ? draws.whole(2, 4) : draws.chance(0.3) ? draws.whole(1, 2) : 0;
  const sites: SiteShare[] = [{ site: home, share: 1 }];
  for (let left = others; left > 0; left--) {
    const site = shape === "people" ? carrierSite(draws, home.country) : neighbour(home, draws);
    sites.push({ site, share: draws.between(0.1, 0.5) });
  }
  const all = sites.reduce((sum, { share }) => sum + share, 0);
  return sites.map(({ site, share }) => ({ site, share: share / all }));
}
