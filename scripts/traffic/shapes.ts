import { Draws } from "./random.ts";

/** How the use of a key goes through days and weeks. Local time; 1 is the key's usual hour. */

export const SHAPES = [
  "business",
  "consumer",
  "steady",
  "cron",
  "nightly",
  "mobile",
  "people",
  "sporadic",
  "quarterly",
  "idle",
] as const;
export type Shape = (typeof SHAPES)[number];

/** Of 100 keys. Guessed from what API gateways write about their customers: servers are most of it, people and phones the rest. */
export const SHARES: Readonly<Record<Shape, number>> = {
  business: 24,
  consumer: 18,
  steady: 12,
  cron: 12,
  nightly: 8,
  mobile: 10,
  people: 8,
  sporadic: 4,
  quarterly: 2,
  idle: 2,
};

export interface ShapeKey {
  readonly shape: Shape;
  /** Sets apart this key's draws. */
  readonly seed: number;
  readonly timeZone: number;
  /** Hour of the day at which a nightly job begins. */
  readonly jobHour: number;
  readonly jobHours: number;
}

/** 0 is Sunday. The epoch began on a Thursday. */
function weekdayOf(localHour: number): number {
  return (Math.floor(localHour / 24) + 4) % 7;
}

/** A smooth bump around `middle`, hours of the day. */
function bump(hour: number, middle: number, width: number): number {
  const away = Math.abs(((hour - middle + 36) % 24) - 12);
  return Math.exp(-((away / width) ** 2));
}

/** How much of its usual hour the key does in this hour (counted since the epoch, UTC). */
export function factorOf(key: ShapeKey, hour: number): number {
  const local = hour + key.timeZone;
  const ofDay = ((local % 24) + 24) % 24;
  const weekday = weekdayOf(local);
  const isWeekend = weekday === 0 || weekday === 6;
  switch (key.shape) {
    case "business":
      return (isWeekend ? 0.15 : 1) * (0.04 + 1.9 * bump(ofDay, 13.5, 4.5));
    case "consumer":
      return (isWeekend ? 1.25 : 1) * (0.18 + 1.5 * bump(ofDay, 20, 4) + 0.8 * bump(ofDay, 12.5, 4));
    case "steady":
      return 0.85 + 0.3 * bump(ofDay, 14, 6);
    case "cron":
      return 1;
    case "nightly":
      return nightlyFactor(key, local);
    case "mobile":
      return (isWeekend ? 1.3 : 1) * (0.25 + 1.4 * bump(ofDay, 19, 5) + 0.6 * bump(ofDay, 8, 2));
    case "people":
      return isWeekend ? 0.02 : 1.6 * bump(ofDay, 11, 2) + 1.6 * bump(ofDay, 15.5, 2.5);
    case "sporadic":
      return sporadicFactor(key, local);
    case "quarterly":
      return Math.floor(local / 24 + (key.seed % 91)) % 91 < 2 ? 1 : 0;
    case "idle":
      return 0;
  }
}

/** A job that starts within 40 minutes of its time, and takes a little more or less each night. */
function nightlyFactor(key: ShapeKey, local: number): number {
  let share = 0;
  for (const day of [Math.floor(local / 24) - 1, Math.floor(local / 24)]) {
    const draws = new Draws(key.seed, 11, day);
    const start = day * 24 + key.jobHour + draws.between(-0.65, 0.65);
    const end = start + key.jobHours * draws.logNormal(1, 0.15);
    share += Math.max(0, Math.min(local + 1, end) - Math.max(local, start));
  }
  return 0.02 + 5 * share;
}

/** A few sessions a week, of very different sizes. */
function sporadicFactor(key: ShapeKey, local: number): number {
  const draws = new Draws(key.seed, 12, Math.floor(local / 24));
  if (!draws.chance(0.4)) return 0;
  const start = draws.whole(7, 21);
  const hours = draws.whole(1, 3);
  const ofDay = ((local % 24) + 24) % 24;
  const size = draws.logNormal(1, 0.9);
  return ofDay >= start && ofDay < start + hours ? 2 * size : 0;
}
