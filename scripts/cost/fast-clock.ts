/**
 * A clock that runs faster or slower than the machine's, for one isolate: `Date.now()` and every timer go by it, so that minutes of
 * thin traffic pass in seconds, and dense traffic has the processor time that it needs. Import it before anything that keeps a timer.
 */

const systemNow = Date.now.bind(Date);
const systemSetTimeout = globalThis.setTimeout.bind(globalThis);

let speed = 1;
let setAt = systemNow();
let readAtSet = setAt;

Date.now = () => Math.floor(readAtSet + (systemNow() - setAt) * speed);

type Timer = ReturnType<typeof setTimeout>;
type Work = (...args: unknown[]) => void;

function setScaledTimeout(work: Work, ms = 0, ...args: unknown[]): Timer {
  return systemSetTimeout(() => work(...args), ms / speed);
}

// The same call with another length: the platform's overloads add nothing here.
globalThis.setTimeout = setScaledTimeout as typeof globalThis.setTimeout;

/** From `at` (the machine's clock) on, `now` (this clock) goes on `times` as fast as the machine's. The same in every isolate that is told so. */
export function setSpeed(order: { readonly at: number; readonly now: number; readonly times: number }): void {
  setAt = order.at;
  readAtSet = order.now;
  speed = order.times;
}

/** When the machine's clock will show what this one reads at `at`, as long as the speed stays. */
export function toMachineTime(at: number): number {
  return setAt + (at - readAtSet) / speed;
}

/** What this clock reads when the machine's shows `at`. */
export function fromMachineTime(at: number): number {
  return readAtSet + (at - setAt) * speed;
}
