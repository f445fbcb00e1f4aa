import type { ReleaseRequest } from "../limits/acquire.ts";
import { holdsUnits, type Lease, release } from "../limits/lease.ts";
import { sleep } from "../platform/clock.ts";

/** What an idle lease holds goes back to where it came from, so that others may have it. */

/** `waitUntil` lasts 30 s at most. */
const WATCH_MS = 25_000;
/** A lease may still be in use at its very end. */
const DELAY_MS = 100;
/**
 * From then on the next request sets a watcher of its own, so that a lease which is still in use when this one's time is up
 * has another, and one that is in use no more has ended by then.
 */
const HANDOVER_MS = 20_000;

/** Hands back. Never throws: a failure only leaves units unused until their windows end. */
type HandBack = (left: Omit<ReleaseRequest, "holder">) => Promise<void>;

/** One request at a time watches over a lease that holds something. */
export function scheduleRelease(lease: Lease, handBack: HandBack, waitUntil: (work: Promise<unknown>) => void): void {
  if (lease.spent.length === 0 && !holdsUnits(lease)) return;
  const now = Date.now();
  if (lease.releaseBy > now) return;
  lease.releaseBy = now + HANDOVER_MS;
  waitUntil(releaseWhenIdle(lease, now + WATCH_MS, handBack));
}

async function releaseWhenIdle(lease: Lease, giveUpAt: number, handBack: HandBack): Promise<void> {
  let now = Date.now();
  do {
    await sleep(Math.max(0, Math.min(lease.validUntil, giveUpAt) - now) + DELAY_MS);
    now = Date.now();
  } while (lease.validUntil > now && now < giveUpAt);
  // Still in use, and so somebody else's to watch by now.
  if (lease.validUntil > now) return;
  lease.releaseBy = 0;
  // Unreachable and living on grace: the next request sees to it.
  if (lease.unreachableUntil > now) return;
  const left = release(lease, now);
  if (left !== null) await handBack(left);
}
