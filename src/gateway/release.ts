import { type Lease, release } from "../limits/lease.ts";
import { sleep } from "../platform/clock.ts";
import { counters } from "../platform/counters.ts";
import { logError } from "../platform/log.ts";
import type { AdmissionParts } from "./admit.ts";

/** What an idle lease holds goes back to its meter, so that others may have it. */

/** `waitUntil` lasts 30 s at most. */
const WATCH_MS = 25_000;
/** A lease may still be in use at its very end. */
const DELAY_MS = 100;
/** A watcher that has not reported this long after its time was cut off with its request. */
const PATIENCE_MS = 5_000;

/** A lease and the meter that it is from. */
export interface Leased {
  readonly lease: Lease;
  readonly meter: string;
}

/** One request at a time watches over a lease that holds something. */
export function scheduleRelease(
  { lease, meter }: Leased,
  parts: AdmissionParts,
  waitUntil: (work: Promise<unknown>) => void,
): void {
  if (lease.releaseBy > 0 && lease.releaseBy > Date.now()) return;
  if (lease.spent.length === 0 && !holdsUnits(lease)) return;
  const giveUpAt = Date.now() + WATCH_MS;
  lease.releaseBy = giveUpAt + PATIENCE_MS;
  waitUntil(releaseWhenIdle({ lease, meter }, giveUpAt, parts));
}

function holdsUnits(lease: Lease): boolean {
  for (const hand of lease.hands.values()) if (hand.units > 0) return true;
  return false;
}

async function releaseWhenIdle({ lease, meter }: Leased, giveUpAt: number, parts: AdmissionParts): Promise<void> {
  let now = Date.now();
  do {
    await sleep(Math.max(0, Math.min(lease.validUntil, giveUpAt) - now) + DELAY_MS);
    now = Date.now();
  } while (lease.validUntil > now && now < giveUpAt);
  lease.releaseBy = 0;
  // Still in use, or unreachable and living on grace: the next request sees to it.
  if (lease.validUntil > now || lease.unreachableUntil > now) return;
  const left = release(lease, now);
  if (left === null) return;
  counters.meterCalls++;
  try {
    await parts.meters.release(meter, { holder: parts.book.holder, ...left });
  } catch (error) {
    counters.meterFailures++;
    logError(error, { part: "meter" });
  }
}
