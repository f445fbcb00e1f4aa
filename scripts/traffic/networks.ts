import type { NetworkWindow } from "../../src/detection/rows.ts";
import type { Strength } from "./attacks.ts";
import { STRENGTHS } from "./attacks.ts";
import { Draws, mix } from "./random.ts";

/** Networks as the front door sees them, in windows of ten minutes: who comes with how many keys, and how many of those are refused. */

export const NETWORK_SHAPES = ["server", "office", "platform", "carrier", "broken", "scanner"] as const;
export type NetworkShape = (typeof NETWORK_SHAPES)[number];

export interface TrafficNetwork {
  readonly network: string;
  readonly seed: number;
  readonly shape: NetworkShape;
  /** Distinct good keys in a window. */
  readonly keys: number;
  readonly perKey: number;
  readonly attack: {
    readonly strength: Strength;
    /** Windows of ten minutes since the epoch, `[since, until)`. */
    readonly since: number;
    readonly until: number;
    /** Distinct keys tried in a window. */
    readonly keys: number;
    readonly triesEach: number;
  } | null;
}

export const NETWORK_WINDOW_SECONDS = 600;
const SHARES: Readonly<Record<NetworkShape, number>> = {
  /** One customer's servers: a few keys. */
  server: 55,
  /** A dozen or so keys, now and then an expired one. */
  office: 22,
  /** An integration platform that calls with many customers' keys; some percent of them are dead at any time. */
  platform: 5,
  /** Phones behind one address: many publishable keys, few failures. */
  carrier: 12,
  /** A deployment with one wrong key, tried without end. */
  broken: 5,
  /** Tries a handful of made-up keys, then goes away. */
  scanner: 1,
};

/** Distinct keys in ten minutes. The slow ones try for hours. */
const SIZES: Readonly<Record<Strength, readonly [number, number]>> = {
  clear: [200, 2_000],
  medium: [50, 200],
  modest: [20, 50],
};

export function makeNetwork(seed: number, index: number, room: readonly [number, number] | null): TrafficNetwork {
  const own = mix(seed, 41, index);
  const draws = new Draws(own);
  const shape = shapeFor(draws);
  const strength = draws.pick(STRENGTHS);
  const since = room === null ? 0 : draws.whole(...room);
  return {
    network: `10.${(index >> 8) & 255}.${index & 255}.0/24`,
    seed: own,
    shape,
    keys: keysOf(shape, draws),
    perKey: draws.logNormal(20, 1),
    attack:
      room === null
        ? null
        : {
            strength,
            since,
            until: since + draws.whole(1, 12),
            keys: draws.whole(...SIZES[strength]),
            triesEach: draws.between(1, 3),
          },
  };
}

function shapeFor(draws: Draws): NetworkShape {
  let left = draws.between(0, 100);
  for (const shape of NETWORK_SHAPES) {
    left -= SHARES[shape];
    if (left < 0) return shape;
  }
  return "server";
}

function keysOf(shape: NetworkShape, draws: Draws): number {
  switch (shape) {
    case "server":
    case "broken":
      return draws.whole(1, 4);
    case "office":
      return draws.whole(2, 20);
    case "platform":
      return draws.whole(50, 600);
    case "carrier":
      return draws.whole(10, 200);
    case "scanner":
      return 0;
  }
}

/** @param window of ten minutes, since the epoch. */
export function networkWindowOf(of: TrafficNetwork, window: number): NetworkWindow {
  const draws = new Draws(of.seed, 42, window);
  const good = draws.poisson(of.keys * 0.8);
  let keysRefused = draws.poisson(good * 0.003);
  let refused = draws.poisson(keysRefused * 4);
  if (of.shape === "platform") {
    keysRefused = draws.poisson(good * 0.05);
    refused = draws.poisson(keysRefused * of.perKey);
  } else if (of.shape === "broken") {
    keysRefused = draws.whole(1, 3);
    refused = draws.poisson(300);
  } else if (of.shape === "scanner" && draws.chance(0.01)) {
    keysRefused = draws.whole(2, 15);
    refused = keysRefused;
  } else if (of.shape === "office" && draws.chance(0.0005)) {
    // An environment's keys were all replaced, and one deployment has the old ones.
    keysRefused = Math.min(good, draws.whole(3, 12));
    refused = draws.poisson(keysRefused * 20);
  }
  refused = Math.max(refused, keysRefused);
  const { attack } = of;
  if (attack !== null && window >= attack.since && window < attack.until) {
    const keys = draws.poisson(attack.keys);
    keysRefused += keys;
    refused += Math.round(keys * attack.triesEach);
  }
  const since = window * NETWORK_WINDOW_SECONDS;
  return {
    network: of.network,
    since,
    until: since + NETWORK_WINDOW_SECONDS,
    attempts: draws.poisson(good * of.perKey) + refused,
    refused,
    keysTried: good + keysRefused,
    keysRefused,
  };
}
