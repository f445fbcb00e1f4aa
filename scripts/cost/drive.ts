import type { DriveOrder, DriveReport } from "./units.ts";

/** Traffic made inside an isolate: requests come at random moments (Poisson), as those of many clients do. */

/** More at once than this means that the machine cannot keep up; the rest waits its turn. */
const MAX_UNDER_WAY = 2_000;

/** How far requests came behind their time at most since this was last asked. */
let latestMs = 0;

export function takeLateness(): number {
  const taken = latestMs;
  latestMs = 0;
  return taken;
}

export async function drive(order: DriveOrder, serve: (request: Request) => Promise<void>): Promise<DriveReport> {
  const random = randomFrom(order.seed);
  const pick = pickerOf(order, random);
  const startedAt = Date.now();
  const meanGapMs = 1_000 / order.requestsPerSecond;
  const underWay = new Set<Promise<void>>();
  let sent = 0;
  let lateSumMs = 0;
  for (let at = gap(random, meanGapMs); at < order.seconds * 1_000; at += gap(random, meanGapMs)) {
    const early = startedAt + at - Date.now();
    if (early > 0) await waitFor(early);
    const late = Date.now() - startedAt - at;
    lateSumMs += Math.max(0, late);
    latestMs = Math.max(latestMs, late);
    if (underWay.size >= MAX_UNDER_WAY) await Promise.race(underWay);
    const key = order.keys[pick()];
    if (key === undefined) throw new RangeError("no such key");
    const work = serve(requestWith(key, order.cf)).finally(() => underWay.delete(work));
    underWay.add(work);
    sent += 1;
  }
  await Promise.all(underWay);
  return { sent, lateMs: lateSumMs / Math.max(1, sent) };
}

function requestWith(key: string, cf: DriveOrder["cf"]): Request {
  return new Request("https://api.example.com/orders/17", {
    cf,
    headers: { authorization: `Bearer ${key}`, "cf-connecting-ip": "192.0.2.1", accept: "application/json" },
  });
}

function waitFor(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function gap(random: () => number, meanMs: number): number {
  return -Math.log(1 - random()) * meanMs;
}

function pickerOf({ keys, pick }: DriveOrder, random: () => number): () => number {
  if (pick.kind === "turns") {
    let next = pick.first;
    return () => {
      const index = next % keys.length;
      next += pick.stride;
      return index;
    };
  }
  const sums = zipfSums(keys.length);
  return () => firstAtLeast(sums, random() * (sums.at(-1) ?? 0));
}

/** Sums of 1/1 + 1/2 + … + 1/k, for each k up to `count`. */
function zipfSums(count: number): Float64Array {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index++) {
    sum += 1 / (index + 1);
    sums[index] = sum;
  }
  return sums;
}

function firstAtLeast(sums: Float64Array, wanted: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sums[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Mulberry32: small, seeded, good enough to pick keys. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
