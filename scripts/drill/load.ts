import { setTimeout as sleep } from "node:timers/promises";

/** Load at a steady rate, whatever becomes of the single request. */
export interface Load<T> {
  /** Starts no more, waits for those under way, and gives all results. */
  readonly stop: () => Promise<readonly T[]>;
  /** Those that have ended so far. */
  readonly results: readonly T[];
}

/** Calls `shoot` so often a second, with a running number, until stopped. What was missed while the machine was busy is not made up for. */
export function startLoad<T>(perSecond: number, shoot: (index: number) => Promise<T>): Load<T> {
  const results: T[] = [];
  const pending = new Set<Promise<void>>();
  const state = { stopped: false };
  const run = async (): Promise<void> => {
    const interval = 1_000 / perSecond;
    let next = Date.now();
    for (let index = 0; !state.stopped; index++) {
      const one = shoot(index).then((result) => {
        results.push(result);
        pending.delete(one);
      });
      pending.add(one);
      next = Math.max(next + interval, Date.now() - 100);
      await sleep(Math.max(0, next - Date.now()));
    }
  };
  const running = run();
  return {
    results,
    stop: async () => {
      state.stopped = true;
      await running;
      await Promise.all(pending);
      return results;
    },
  };
}

/** Asks every `everyMs` until `wanted` says yes; epoch ms of that moment, or `null` after `forMs`. */
export async function waitFor(
  wanted: () => Promise<boolean> | boolean,
  { forMs, everyMs }: { readonly forMs: number; readonly everyMs: number },
): Promise<number | null> {
  const until = Date.now() + forMs;
  for (;;) {
    if (await wanted()) return Date.now();
    if (Date.now() >= until) return null;
    await sleep(everyMs);
  }
}

/** Calls `task` for each index, so many at once. */
export async function inParallel(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker));
}
