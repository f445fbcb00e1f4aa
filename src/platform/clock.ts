import type { EpochMs } from "../keys/record.ts";

/** The wall clock. On Workers it stands still while code runs and moves on after I/O. */
export function now(): EpochMs {
  return Date.now();
}

/** Waits inside the request, alarm or message that asks; the timer ends with it. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

export class TimeOutError extends Error {
  override readonly name = "TimeOutError";
}

/**
 * Settles as `work` does, or rejects with `TimeOutError` after `ms`. The work itself goes on: whoever calls must be
 * able to live with its late effect.
 */
export async function within<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TimeOutError(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
