import type { Holding, HourlySpend } from "./acquire.ts";
import type { Limit, LimitView } from "./limit.ts";
import { counterOf, hourOf, windowAt, windowSeconds } from "./window.ts";

/**
 * What an isolate holds of one meter: until when it may admit without asking, and the units in its hand. Plain data
 * changed by the functions below; no clock, no I/O. All times are the isolate's own clock, epoch ms.
 */
export interface Lease {
  /** Admissions stand until here without asking. 0: never granted. */
  validUntil: number;
  /** How long the last admission was for, ms: what is left of it says how old it is. */
  spanMs: number;
  /** The last time that the meter granted, for the grace when it cannot be reached. */
  grantedAt: number;
  readonly hands: Map<string, Hand>;
  /** The limits in the meter's last answer. For an owner's meter, which alone knows them. */
  limits: readonly Limit[];
  /** Cost admitted and not reported yet. */
  spent: HourlySpend[];
  /** Spending since the meter was last asked, for the size of the next wish. */
  spentSinceAsked: number;
  askedAt: number;
  /** A call that asks for units ahead is under way until then: one at a time, or a burst would fill the hand many times over. */
  wishingUntil: number;
  /** Units for requests that wait for such a call in place of making their own, and when one of them last looked. */
  waiting: number;
  waitedAt: number;
  /** Until then a limit is known to refuse this cost and more. */
  refusal: RememberedRefusal | null;
  /** The meter did not answer; until then nobody waits for it again. */
  unreachableUntil: number;
  /** Who granted last: a broker on its way from the meter, or the meter itself. */
  grantedBy: "broker" | "meter" | null;
  /** The generation of the record that was granted last. */
  generation: number;
  /** The newest that anyone has told of: a record that is older is not admitted on, whoever nearby would still do so. */
  newestGeneration: number;
  /** Someone will hand back what is left at the lease's end; past this moment that someone is gone. */
  releaseBy: number;
}

/** Units of one limit in the isolate's hand. */
export interface Hand {
  readonly limit: Limit;
  windowStart: number;
  windowEndsAt: number;
  units: number;
  /** Left at the meter when it last answered. */
  remainingAtMeter: number;
}

export interface RememberedRefusal {
  readonly code: "rate_limited" | "quota_exhausted";
  readonly violated: readonly string[];
  readonly minimumCost: number;
  readonly until: number;
  readonly retryAt: number;
}

export function newLease(): Lease {
  return {
    validUntil: 0,
    spanMs: 0,
    grantedAt: 0,
    hands: new Map(),
    limits: [],
    spent: [],
    spentSinceAsked: 0,
    askedAt: 0,
    wishingUntil: 0,
    waiting: 0,
    waitedAt: 0,
    refusal: null,
    unreachableUntil: 0,
    grantedBy: null,
    generation: 0,
    newestGeneration: 0,
    releaseBy: 0,
  };
}

/** A clock that is behind by less than this was read in another order; by more, it was set back. */
const CLOCK_STEP_MS = 250;

/**
 * The newest moment of two readings, and whether the clock was set back between them. Deadlines by the old clock would then
 * stand for as long as the step: whoever keeps leases forgets them all.
 */
export function readClock(newest: number, now: number): { readonly newest: number; readonly setBack: boolean } {
  const setBack = now < newest - CLOCK_STEP_MS;
  return { newest: setBack ? now : Math.max(newest, now), setBack };
}

/** Begins again, as if nothing had been granted. What was spent is still reported. */
export function forget(lease: Lease): void {
  const { spent } = lease;
  Object.assign(lease, newLease(), { spent });
}

/** Whoever waits looks again every few ms. Longer ago than this, and they were cut off before they could say that they are gone. */
const WAITING_STALE_MS = 100;

/** Until its next look; then `endWait`. */
export function beginWait(lease: Lease, units: number, now: number): void {
  lease.waiting = unitsWaiting(lease, now) + units;
  lease.waitedAt = now;
}

export function endWait(lease: Lease, units: number): void {
  lease.waiting = Math.max(0, lease.waiting - units);
}

export function unitsWaiting(lease: Lease, now: number): number {
  return Math.abs(now - lease.waitedAt) < WAITING_STALE_MS ? lease.waiting : 0;
}

/** Whether the hand covers `cost` on every limit at `now`. */
export function covers(lease: Lease, limits: readonly Limit[], cost: number, now: number): boolean {
  for (const limit of limits) {
    const hand = lease.hands.get(counterOf(limit));
    if (hand === undefined || hand.windowEndsAt <= now || hand.units < cost) return false;
  }
  return true;
}

/** What a request was paid with. What is given back goes to these windows, and to no others. */
export interface Payment {
  readonly units: number;
  readonly from: readonly { readonly counter: string; readonly windowStart: number }[];
  /** When it was counted as spent, epoch ms: its hour is the hour of the report. */
  readonly at: number;
  /** Until then it may be admitted on: the lease stands, and none of the windows has ended. */
  readonly validUntil: number;
}

/** Takes `cost` from every hand. Call only when `covers` says so, with nothing awaited in between. */
export function spend(lease: Lease, limits: readonly Limit[], cost: number, now: number): Payment {
  const from: { readonly counter: string; readonly windowStart: number }[] = [];
  let { validUntil } = lease;
  for (const limit of limits) {
    const counter = counterOf(limit);
    const hand = lease.hands.get(counter);
    if (hand === undefined) continue;
    hand.units -= cost;
    validUntil = Math.min(validUntil, hand.windowEndsAt);
    from.push({ counter, windowStart: hand.windowStart });
  }
  noteSpent(lease, cost, now);
  return { units: cost, from, at: now, validUntil };
}

/** Gives back what a request was paid with, where its windows still run. */
export function unspend(lease: Lease, payment: Payment): void {
  for (const { counter, windowStart } of payment.from) {
    const hand = lease.hands.get(counter);
    if (hand?.windowStart === windowStart) hand.units += payment.units;
  }
  noteSpent(lease, -payment.units, payment.at);
}

/** The remembered refusal that still holds for this cost on these limits, if any. */
export function refusedUntil(
  lease: Lease,
  limits: readonly Limit[],
  cost: number,
  now: number,
): RememberedRefusal | null {
  const { refusal } = lease;
  if (refusal === null || refusal.until <= now || cost < refusal.minimumCost) return null;
  // Routes have limits of their own: a refusal holds for those who draw on all that refused.
  return refusal.violated.every((name) => limits.some((limit) => limit.name === name)) ? refusal : null;
}

/** Whether a background renewal is due: the lease ends soon, or the hand is running low. */
export function renewalDue(lease: Lease, limits: readonly Limit[], aheadMs: number, now: number): boolean {
  if (lease.wishingUntil > now) return false;
  if (lease.validUntil - now < aheadMs) return true;
  // Running dry: what is in hand is less than half of what was spent since the last call. Small hands are counted
  // one request at a time anyway, so a background call would not spare a foreground one.
  for (const limit of limits) {
    const hand = lease.hands.get(counterOf(limit));
    if (hand !== undefined && lease.spentSinceAsked >= 8 && hand.units * 2 < lease.spentSinceAsked) return true;
  }
  return false;
}

export function holdsUnits(lease: Lease): boolean {
  for (const hand of lease.hands.values()) if (hand.units > 0) return true;
  return false;
}

/** What to hand back when the lease has ended unused; `null` when there is nothing to say. */
export function release(
  lease: Lease,
  now: number,
): { readonly returned: readonly Holding[]; readonly spent: readonly HourlySpend[] } | null {
  const returned: Holding[] = [];
  for (const [counter, hand] of lease.hands) {
    if (hand.windowEndsAt > now && hand.units > 0)
      returned.push({ counter, windowStart: hand.windowStart, units: hand.units });
  }
  const spent = lease.spent.filter((entry) => entry.units !== 0);
  if (returned.length === 0 && spent.length === 0) return null;
  lease.hands.clear();
  lease.spent = [];
  return { returned, spent };
}

/** Each limit as the client may see it: what is left at the meter and in this hand. */
export function viewLimits(lease: Lease, limits: readonly Limit[], now: number): LimitView[] {
  return limits.map((limit) => {
    const hand = lease.hands.get(counterOf(limit));
    const current = hand !== undefined && hand.windowEndsAt > now;
    const endsAt = current ? hand.windowEndsAt : windowAt(limit.window, now).end;
    return {
      name: limit.name,
      limit: limit.limit,
      remaining: current ? Math.max(0, Math.min(limit.limit, hand.remainingAtMeter + hand.units)) : limit.limit,
      resetSeconds: Math.ceil((endsAt - now) / 1_000),
      windowSeconds: windowSeconds(limit.window, now),
    };
  });
}

function noteSpent(lease: Lease, units: number, now: number): void {
  lease.spentSinceAsked += units;
  addSpent(lease, hourOf(now), units);
}

/** Adds to what is owed to the meter as a report. */
export function addSpent(lease: Lease, hour: number, units: number): void {
  const index = lease.spent.findIndex((entry) => entry.hour === hour);
  const entry = lease.spent[index];
  if (entry === undefined) {
    if (units !== 0) lease.spent.push({ hour, units });
  } else if (entry.units + units === 0) lease.spent.splice(index, 1);
  else lease.spent[index] = { hour, units: entry.units + units };
}
