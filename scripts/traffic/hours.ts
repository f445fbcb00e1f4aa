import type { KeyHour, KeyMinute, PlaceCount } from "../../src/detection/rows.ts";
import { MAX_PLACES } from "../../src/detection/rows.ts";
import type { TrafficKey } from "./fleet.ts";
import type { Flow } from "./flows.ts";
import { flowsOf } from "./flows.ts";
import type { Site } from "./places.ts";
import { carrierSite, countryFor } from "./places.ts";
import { Draws } from "./random.ts";

/** Rows of a key, made when they are asked for. The sums of an hour's minutes are its hour. */

const HOUR_SECONDS = 3_600;

/** What a row of roll-ups holds, but for the mark that is made of its minutes. */
export type TrafficHour = Omit<KeyHour, "flatNearLimit"> & {
  /** Whether its minutes may be flat and near the limit: else nobody has to look at them. */
  readonly isHigh: boolean;
};

/** @param hour since the epoch. */
export function hourOf(key: TrafficKey, hour: number): TrafficHour {
  const flows = flowsOf(key, hour);
  const sums = { requests: 0, cost: 0, limited: 0, failures: 0, errors: 0, testContext: 0 };
  if (mayMeetLimit(key, flows)) {
    for (const minute of split(key, hour, flows)) {
      sums.requests += minute.requests;
      sums.cost += minute.cost;
      sums.limited += minute.limited;
      sums.failures += minute.failures;
      sums.errors += minute.errors;
    }
  } else {
    for (const [index, flow] of flows.entries()) {
      const { errors, failures } = outcomesOf(key, hour, index, flow);
      sums.requests += flow.requests;
      sums.failures += failures;
      sums.errors += errors;
      sums.cost += (flow.requests - failures) * key.costEach;
    }
  }
  for (const flow of flows) if (flow.testContext) sums.testContext += flow.requests;
  const { limitPerMinute } = key.facts;
  return {
    hour: hour * HOUR_SECONDS,
    ...sums,
    places: placesOf(key, hour, flows),
    isHigh: limitPerMinute !== null && sums.cost >= limitPerMinute * 60 * 0.4,
  };
}

/** The sixty minutes of an hour, empty ones too. */
export function minutesOf(key: TrafficKey, hour: number): readonly KeyMinute[] {
  return split(key, hour, flowsOf(key, hour));
}

function mayMeetLimit(key: TrafficKey, flows: readonly Flow[]): boolean {
  const { limitPerMinute } = key.facts;
  if (limitPerMinute === null) return false;
  let most = 0;
  for (const { requests, from, to } of flows) most += (requests / (to - from)) * key.costEach;
  return most > limitPerMinute * 0.6;
}

/** The same for an hour as a whole and for its minutes. */
function outcomesOf(
  key: TrafficKey,
  hour: number,
  index: number,
  flow: Flow,
): { readonly errors: number; readonly failures: number } {
  const failures = flow.failures === 1 ? flow.requests : 0;
  if (flow.errors === 0 || failures > 0) return { errors: 0, failures };
  const draws = new Draws(key.seed, 31, hour, index);
  return { errors: Math.min(flow.requests, draws.poisson(flow.requests * flow.errors)), failures };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function split(key: TrafficKey, hour: number, flows: readonly Flow[]): readonly KeyMinute[] {
  const minutes: Writable<KeyMinute>[] = Array.from({ length: 60 }, (_none, at) => ({
    minute: hour * HOUR_SECONDS + at * 60,
    requests: 0,
    cost: 0,
    limited: 0,
    failures: 0,
    errors: 0,
  }));
  for (const [index, flow] of flows.entries()) {
    const { errors, failures } = outcomesOf(key, hour, index, flow);
    const draws = new Draws(key.seed, 32, hour, index);
    const requests = spread(flow.requests, flow, draws);
    // Errors and failures fall where the requests do.
    let left = flow.requests;
    let errorsLeft = errors;
    for (const [at, count] of requests.entries()) {
      const minute = minutes[flow.from + at];
      if (minute === undefined || count === 0) continue;
      const own =
        left === 0
          ? 0
          : Math.min(count, errorsLeft, Math.round((errorsLeft * count) / left + draws.between(-0.5, 0.5)));
      const last = left === count ? Math.min(count, errorsLeft) : own;
      minute.requests += count;
      minute.errors += last;
      if (failures > 0) minute.failures += count;
      else minute.cost += count * key.costEach;
      left -= count;
      errorsLeft -= last;
    }
  }
  const { limitPerMinute } = key.facts;
  if (limitPerMinute === null) return minutes;
  for (const minute of minutes) {
    if (minute.cost <= limitPerMinute) continue;
    const over = Math.ceil((minute.cost - limitPerMinute) / key.costEach);
    minute.cost -= over * key.costEach;
    minute.limited += over;
    minute.errors = Math.min(minute.errors, minute.requests - minute.limited);
  }
  return minutes;
}

/** Whole numbers that add up to `count`. */
function spread(count: number, { from, to, isEven }: Flow, draws: Draws): readonly number[] {
  const length = to - from;
  const each = count / length;
  const weights = Array.from({ length }, () =>
    isEven
      ? draws.between(0.98, 1.02)
      : each < 3
        ? draws.poisson(each * 8) + 0.01
        : Math.max(0.01, 1 + draws.normal() / Math.sqrt(each) + 0.1 * draws.normal()),
  );
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  let done = 0;
  let weightDone = 0;
  return weights.map((weight) => {
    weightDone += weight;
    const until = Math.round((count * weightDone) / all);
    const own = until - done;
    done = until;
    return own;
  });
}

function placesOf(key: TrafficKey, hour: number, flows: readonly Flow[]): readonly PlaceCount[] {
  const counts = new Map<string, Writable<PlaceCount>>();
  const add = (site: Site, requests: number): void => {
    if (requests <= 0) return;
    const name = `${site.country} ${site.asn} ${site.network}`;
    const known = counts.get(name);
    if (known === undefined)
      counts.set(name, { country: site.country, asn: site.asn, network: site.network, requests });
    else known.requests += requests;
  };
  let own = 0;
  for (const { site, requests } of flows) {
    if (site === null) own += requests;
    else add(site, requests);
  }
  if (own > 0) {
    const draws = new Draws(key.seed, 33, hour);
    if (key.shape === "mobile") addRoaming(key, own, draws, add);
    else for (const { site, share } of sitesAt(key, hour, draws)) add(site, Math.round(own * share));
  }
  return [...counts.values()].sort((a, b) => b.requests - a.requests).slice(0, MAX_PLACES);
}

/** Phones: mostly at home, some abroad, each in another block. */
function addRoaming(
  key: TrafficKey,
  requests: number,
  draws: Draws,
  add: (site: Site, requests: number) => void,
): void {
  const home = key.sites[0]?.site.country ?? "US";
  let left = requests;
  for (let index = 0; index < 10 && left > 0; index++) {
    const part = index === 9 ? left : Math.ceil(left * draws.between(0.1, 0.4));
    add(carrierSite(draws, draws.chance(0.7) ? home : countryFor(draws)), part);
    left -= part;
  }
}

interface Share {
  site: Site;
  share: number;
}

function sitesAt(key: TrafficKey, hour: number, draws: Draws): readonly Share[] {
  let shares: Share[] = key.sites.map(({ site, share }) => ({ site, share }));
  if (key.shape === "people" && shares.length > 1) {
    // People are in one place at a time, mostly the first.
    const at = draws.chance(0.6) ? shares[0] : shares[draws.whole(0, shares.length - 1)];
    shares = at === undefined ? shares : [{ site: at.site, share: 1 }];
  }
  for (const change of key.changes) {
    if (hour < change.since || hour >= change.until) continue;
    if (change.kind === "move") {
      // Over a few hours.
      const moved = Math.min(1, (hour - change.since + 1) / 4);
      for (const share of shares) share.share *= 1 - moved;
      shares.push({ site: change.site, share: moved });
    } else if (change.kind === "extra_site") {
      for (const share of shares) share.share *= 1 - change.share;
      shares.push({ site: change.site, share: change.share });
    } else if (change.kind === "relabel") {
      for (const share of shares) share.site = { ...share.site, country: change.country };
    }
  }
  return shares;
}
