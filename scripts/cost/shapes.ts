/** What traffic is asked about, and how each case is run. */

/** A month of 30 days. */
export const MONTH_SECONDS = 2_592_000;
export const KEYS = 10_000;

export type ShapeName = "hot" | "zipf" | "cold";

export interface Shape {
  readonly name: ShapeName;
  readonly about: string;
}

export const SHAPES: readonly Shape[] = [
  { name: "hot", about: "one key has all requests" },
  { name: "zipf", about: "10,000 keys; the key of rank k has a share of 1/k" },
  {
    name: "cold",
    about:
      "keys take turns, each asks once in about 260 s: every request meets an isolate without a lease or a record of its key",
  },
];

/** Those with these names, separated by commas; `null` for a name that nobody has. */
export function shapesNamed(names: string | undefined): readonly Shape[] | null {
  if (names === undefined) return SHAPES;
  const wanted = names.split(",");
  const found = SHAPES.filter(({ name }) => wanted.includes(name));
  return found.length === wanted.length ? found : null;
}

export interface Volume {
  readonly requestsPerMonth: number;
  /** Isolates that share the traffic evenly: one for about 50 requests a second, and never fewer than 3. */
  readonly isolates: number;
}

export function volumeName(requests: number): string {
  return requests >= 1e9 ? `${requests / 1e9} B` : `${requests / 1e6} M`;
}

/** Those that are run. */
export const VOLUMES: readonly Volume[] = [
  { requestsPerMonth: 10e6, isolates: 3 },
  { requestsPerMonth: 100e6, isolates: 3 },
  { requestsPerMonth: 1e9, isolates: 8 },
];

/** Billed with the units per request of the largest volume that is run: ten times the isolates, each with the same rate. */
export const DERIVED_REQUESTS_PER_MONTH = 10e9;

/** The volume of the figure for each shape, and of the targets. */
export const REFERENCE_REQUESTS_PER_MONTH = 1e9;

/** How long a case is run, by the lab's clock, and how fast that clock goes. */
export interface Pace {
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly speed: number;
}

/**
 * A lease and its release pass in the warm-up of a hot key; for many keys, a minute (the step of a last use, the life of a record) as
 * well. A clock that is fast makes time-outs short too, so that none is much faster than the machine can answer.
 */
const PACES: Readonly<Record<ShapeName, readonly [few: Pace, some: Pace, many: Pace]>> = {
  hot: [
    { warmUpSeconds: 30, seconds: 240, speed: 12 },
    { warmUpSeconds: 20, seconds: 80, speed: 5 },
    { warmUpSeconds: 15, seconds: 45, speed: 1.5 },
  ],
  zipf: [
    { warmUpSeconds: 70, seconds: 240, speed: 12 },
    { warmUpSeconds: 66, seconds: 120, speed: 4 },
    { warmUpSeconds: 62, seconds: 60, speed: 1 },
  ],
  cold: [
    { warmUpSeconds: 15, seconds: 240, speed: 12 },
    { warmUpSeconds: 10, seconds: 80, speed: 4 },
    { warmUpSeconds: 4, seconds: 20, speed: 0.3 },
  ],
};

/** At `slowness` 2, half as fast as on a machine with nothing else to do. */
export function paceOf(
  shape: ShapeName,
  volume: Volume,
  options: { readonly quick: boolean; readonly slowness: number },
): Pace {
  const [few, some, many] = PACES[shape];
  const { speed, ...pace } = volume.requestsPerMonth < 50e6 ? few : volume.requestsPerMonth < 500e6 ? some : many;
  // What is kept by key and minute is not to be seen in less than a minute.
  const least = shape === "zipf" ? 60 : 12;
  const seconds = options.quick ? Math.max(least, pace.seconds / 3) : pace.seconds;
  return { ...pace, seconds, speed: speed / options.slowness };
}

/**
 * How many different keys ask in a span of time, as a share of the requests in it: what is kept by key and minute, hour or day is
 * written and deleted that often.
 */
export function distinctShare(
  shape: ShapeName,
  traffic: { readonly requestsPerSecond: number; readonly keys: number },
  spanSeconds: number,
): number {
  const { requestsPerSecond, keys } = traffic;
  const requests = requestsPerSecond * spanSeconds;
  if (shape === "hot") return 1 / Math.max(1, requests);
  if (shape === "cold") return Math.min(1, COLD_PERIOD_SECONDS / spanSeconds);
  let distinct = 0;
  const shares = Array.from({ length: keys }, (_, index) => 1 / (index + 1));
  const all = shares.reduce((sum, share) => sum + share, 0);
  for (const share of shares) distinct += 1 - Math.exp((-requests * share) / all);
  return distinct / requests;
}

/** 10,000 keys in turns at 100 million requests a month; at other volumes, as many keys as it takes. */
export const COLD_PERIOD_SECONDS = 259;
