/**
 * The clock of an isolate that lives in the past: handlers, objects, and all that asks `Date.now()`. Between two moves it goes on as the
 * machine's does. Timers go by the machine's clock; alarms are held (`held-alarms.ts`).
 */

const machineNow = Date.now.bind(Date);
let offsetMs: number | null = null;
Date.now = () => machineNow() + (offsetMs ?? 0);

/** @param to epoch ms. After the first move it is never set back. */
export function moveClock(to: number): void {
  offsetMs = Math.max(offsetMs ?? -Infinity, to - machineNow());
}
