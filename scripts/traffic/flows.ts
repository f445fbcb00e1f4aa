import type { Change } from "./changes.ts";
import type { TrafficKey } from "./fleet.ts";
import type { Site } from "./places.ts";
import { Draws } from "./random.ts";
import { factorOf } from "./shapes.ts";

/** An hour of a key as a few streams of requests, each with its place, its minutes and what becomes of it. */

export interface Flow {
  requests: number;
  /** Minutes of the hour, `[from, to)`. */
  readonly from: number;
  readonly to: number;
  /** As even as a machine makes it; else as chance does. */
  readonly isEven: boolean;
  /** Shares of its requests. */
  readonly errors: number;
  readonly failures: number;
  /** `null`: the key's own places. */
  readonly site: Site | null;
  readonly testContext: boolean;
}

const ORDINARY = { from: 0, to: 60, isEven: false, errors: 0, failures: 0, site: null, testContext: false } as const;
/** An upstream that stumbles for minutes is no incident; everybody who uses it sees it. Per hour. */
const BLIPS_PER_HOUR = 0.3 / 168;

/** @param hour since the epoch. */
export function flowsOf(key: TrafficKey, hour: number): readonly Flow[] {
  const draws = new Draws(key.seed, 21, hour);
  const flows: Flow[] = [];
  const active = key.changes.filter(({ since, until }) => hour >= since && hour < until);
  const usual = usualRate(key, hour, active);
  const mean = usual * noiseOf(key, hour, draws) * handoverShare(key, hour);
  const main: Flow = {
    ...ORDINARY,
    requests: key.shape === "cron" ? Math.round(mean) : draws.poisson(mean),
    isEven: key.shape === "cron",
    errors: key.errorShare,
    failures: key.handover?.role === "revoked" && hour >= key.handover.since ? 1 : 0,
  };
  flows.push(main);
  // A burst is minutes long and heavy-tailed.
  if (mean > 0 && key.shape !== "cron" && draws.chance(key.burstsPerHour)) {
    const from = draws.whole(0, 55);
    const length = draws.whole(1, 12);
    const times = Math.min(100, 3 * draws.pareto(1.5));
    flows.push({
      ...main,
      requests: draws.poisson((mean / 60) * length * times),
      from,
      to: Math.min(60, from + length),
    });
  }
  if (key.failuresPerHour > 0 && usual > 0) {
    flows.push({ ...ORDINARY, requests: draws.poisson(key.failuresPerHour), failures: 1 });
  }
  addBlip(key, hour, flows, mean);
  for (const change of active) addChange(key, hour, change, { flows, mean, draws });
  addAttack(key, hour, flows, mean);
  return flows.filter(({ requests }) => requests > 0);
}

/** What its hour of the week, its growth, its deploys and the calendar make of its usual hour. */
function usualRate(key: TrafficKey, hour: number, active: readonly Change[]): number {
  if (key.facts.isCanary) return 0;
  const weeks = (hour - key.start) / 168;
  if (key.shape === "idle") return weeks < 0.7 ? key.perHour : 0;
  let rate = key.perHour * factorOf(key, hour);
  if (key.shape !== "cron") rate *= Math.exp(key.growthPerWeek * weeks) * holidayFactor(key, hour);
  for (const change of active) {
    if (change.kind === "level" && !isSetByLimit(key)) rate *= change.factor;
    if (change.kind === "campaign" && key.shape !== "cron" && key.shape !== "nightly") rate *= change.factor;
  }
  return rate;
}

/** A job that runs near its limit does not run more often after a deploy. */
function isSetByLimit(key: TrafficKey): boolean {
  const { limitPerMinute } = key.facts;
  return key.shape === "cron" && limitPerMinute !== null && key.perHour * key.costEach > limitPerMinute * 60 * 0.6;
}

/** Ten days a year, of the owner's country: servers of businesses rest. */
function holidayFactor(key: TrafficKey, hour: number): number {
  const draws = new Draws(key.ownerSeed, 22, Math.floor((hour + key.timeZone) / 24));
  if (!draws.chance(10 / 365)) return 1;
  const low = draws.between(0.15, 0.5);
  return key.shape === "business" || key.shape === "people" ? low : key.shape === "consumer" ? 1 / (0.5 + low) : 1;
}

/** Days differ, parts of a day differ, hours differ. */
function noiseOf(key: TrafficKey, hour: number, draws: Draws): number {
  if (key.shape === "cron") return 1;
  const day = new Draws(key.seed, 23, Math.floor((hour + key.timeZone) / 24)).normal() * key.daySpread;
  const part = new Draws(key.seed, 24, Math.floor(hour / 6)).normal() * key.hourSpread * 0.7;
  return Math.exp(day + part + draws.normal() * key.hourSpread * 0.7);
}

function handoverShare(key: TrafficKey, hour: number): number {
  const { handover } = key;
  if (handover === null) return 1;
  const done = Math.min(1, Math.max(0, (hour - handover.since) / Math.max(1, handover.until - handover.since)));
  switch (handover.role) {
    case "new":
      return done;
    case "old":
      return 1 - done;
    case "revoked":
      // Some clients do not notice for hours.
      return hour < handover.since ? 1 : 0.3 * (1 - done);
  }
}

function addBlip(key: TrafficKey, hour: number, flows: Flow[], mean: number): void {
  // One upstream for each three owners.
  const draws = new Draws(key.ownerSeed % 3, key.start, 25, hour);
  if (!draws.chance(BLIPS_PER_HOUR)) return;
  const from = draws.whole(0, 55);
  const to = Math.min(60, from + draws.whole(1, 4));
  flows.push({
    ...ORDINARY,
    requests: draws.poisson((mean / 60) * (to - from) * 1.5),
    from,
    to,
    errors: draws.between(0.3, 0.8),
  });
}

interface Scene {
  readonly flows: Flow[];
  readonly mean: number;
  readonly draws: Draws;
}

function addChange(key: TrafficKey, hour: number, change: Change, { flows, mean, draws }: Scene): void {
  switch (change.kind) {
    case "backfill": {
      const { limitPerMinute } = key.facts;
      const perHour = limitPerMinute === null ? 3 * key.perHour : (limitPerMinute * 60 * change.level) / key.costEach;
      const requests = Math.round(Math.max(0, perHour - mean));
      flows.push({ ...ORDINARY, requests, isEven: true, site: change.site });
      return;
    }
    case "night_job": {
      const ofDay = (((hour + key.timeZone) % 24) + 24) % 24;
      if (ofDay >= 2 && ofDay < 4)
        flows.push({ ...ORDINARY, requests: draws.poisson(key.perHour * change.factor), isEven: true });
      return;
    }
    case "failures":
      if (mean > 0) {
        flows.push({ ...ORDINARY, requests: draws.poisson(change.perHour), to: change.minutes, failures: 1 });
      }
      return;
    case "retries": {
      const requests = draws.poisson((mean / 60) * change.minutes * (change.factor - 1));
      flows.push({ ...ORDINARY, requests, to: change.minutes, errors: key.errorShare });
      return;
    }
    case "level":
    case "campaign":
    case "move":
    case "extra_site":
    case "relabel":
      return;
  }
}

function addAttack(key: TrafficKey, hour: number, flows: Flow[], mean: number): void {
  const { attack } = key;
  if (attack === null || hour < attack.since || hour >= attack.until) return;
  const draws = new Draws(key.seed, 26, hour);
  const main = flows[0];
  const by = { ...ORDINARY, site: attack.site };
  const during = { from: attack.minute, to: Math.min(60, attack.minute + attack.minutes) };
  switch (attack.kind) {
    case "spike":
      flows.push({
        ...by,
        requests: draws.poisson(Math.max(300, Math.max(mean, key.perHour * 0.1) * (attack.size - 1))),
      });
      return;
    case "odd_hours": {
      const ofDay = (((hour + key.timeZone) % 24) + 24) % 24;
      if (ofDay >= 6) return;
      flows.push({ ...by, requests: draws.poisson(Math.max(300 / 6 / key.costEach, mean * attack.size)) });
      return;
    }
    case "quiet_thief": {
      const perHour = ((key.facts.limitPerMinute ?? 0) * 60 * attack.size) / key.costEach;
      flows.push({ ...by, requests: Math.round(Math.max(0, perHour - mean)), isEven: true });
      return;
    }
    case "new_place":
      flows.push({ ...by, requests: draws.poisson(Math.max(30, key.perHour * attack.size)) });
      return;
    case "auth_failures":
      flows.push({ ...by, requests: draws.poisson(attack.size), failures: 1, ...during });
      return;
    case "errors":
      if (main === undefined) return;
      // The same requests, but in these minutes many end in errors.
      flows.push({
        ...main,
        requests: draws.poisson((mean / 60) * (during.to - during.from)),
        errors: attack.size,
        ...during,
      });
      main.requests = Math.round(main.requests * (1 - (during.to - during.from) / 60));
      return;
    case "idle":
    case "canary":
      flows.push({ ...by, requests: Math.max(1, draws.poisson(attack.size)) });
      return;
    case "test_context":
      flows.push({ ...by, requests: Math.max(1, draws.poisson(attack.size)), failures: 1, testContext: true });
      return;
  }
}
