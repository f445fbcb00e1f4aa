import type { ReleaseRequest } from "../limits/acquire.ts";
import { type Lease, release } from "../limits/lease.ts";
import { sleep } from "../platform/clock.ts";

/** What an idle lease holds goes back to where it came from, so that others may have it. */

/** `waitUntil` lasts 30 s at most. */
const WATCH_MS = 25_000;
/** A lease may still be in use at its very end. */
const DELAY_MS = 100;
/** A watcher that has not reported this long after its time was cut off with its request. */
const PATIENCE_MS = 5_000;

/** Hands back. Never throws: a failure only leaves units unused until their windows end. */
type HandBack = (left: Omit<ReleaseRequest, "holder">) => Promise<void>;

/** One request at a time watches over a lease that holds something. */
export function scheduleRelease(lease: Lease, handBack: HandBack, waitUntil: (work: Promise<unknown>) => void): void {
  if (lease.spent.length === 0 && !holdsUnits(lease)) return;
  const now = Date.now();
  if (lease.releaseBy > now) return;
  const giveUpAt = now + WATCH_MS;
  lease.releaseBy = giveUpAt + PATIENCE_MS;
  waitUntil(releaseWhenIdle(lease, giveUpAt, handBack));
}

function holdsUnits(lease: Lease): boolean {
  for (const hand of lease.hands.values()) if (hand.units > 0) return true;
  return false;
}

async function releaseWhenIdle(lease: Lease, giveUpAt: number, handBack: HandBack): Promise<void> {
  let now = Date.now();
  do {
    await sleep(Math.max(0, Math.min(lease.validUntil, giveUpAt) - now) + DELAY_MS);
    now = Date.now();
  } while (lease.validUntil > now && now < giveUpAt);
  lease.releaseBy = 0;
  // Still in use, or unreachable and living on grace: the next request sees to it.
  if (lease.validUntil > now || lease.unreachableUntil > now) return;
  const left = release(lease, now);
  if (left !== null) await handBack(left);
}
