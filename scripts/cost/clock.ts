import { setTimeout as sleep } from "node:timers/promises";
import type { Edge } from "../lab/edges.ts";
import { ask } from "./ask.ts";
import { LATE_PATH, SPEED_PATH } from "./units.ts";

/** One clock for all Workers of the lab. */
export interface Clock {
  readonly speed: () => number;
  readonly setSpeed: (times: number) => Promise<void>;
}

export function makeClock(all: readonly Edge[]): Clock {
  let clock = { at: Date.now(), now: Date.now(), times: 1 };
  return {
    speed: () => clock.times,
    setSpeed: async (times) => {
      const at = Date.now();
      clock = { at, now: Math.floor(clock.now + (at - clock.at) * clock.times), times };
      await Promise.all(all.map((edge) => ask(edge, SPEED_PATH, "POST", clock)));
    },
  };
}

const LOOK_EVERY_MS = 400;
/** Later than this, by the lab's clock, and the clock goes slower; earlier than a tenth of it, and it goes faster again. */
const LATE_ENOUGH_MS = 250;

/** A machine that has other things to do gets a slower clock while it is behind, so that traffic stays what it should be. */
export async function keepPace(clock: Clock, driven: readonly Edge[], done: Promise<unknown>): Promise<void> {
  const most = clock.speed();
  const traffic = { over: false };
  const end = (): void => {
    traffic.over = true;
  };
  // What fails is told to whoever waits for the traffic itself.
  void done.then(end, end);
  while (!traffic.over) {
    await sleep(LOOK_EVERY_MS);
    const late = Math.max(...(await Promise.all(driven.map((edge) => ask(edge, LATE_PATH, "GET")))).map(Number));
    if (late > LATE_ENOUGH_MS) await clock.setSpeed(clock.speed() * 0.6);
    else if (late < LATE_ENOUGH_MS / 10 && clock.speed() < most)
      await clock.setSpeed(Math.min(most, clock.speed() * 1.2));
  }
  await clock.setSpeed(most);
}
