import type { AcquireAnswer, AcquireRequest, Holding, HourlySpend, LimitGrant, Stale } from "./acquire.ts";
import type { Limit, LimitView } from "./limit.ts";
import { counterOf, hourOf, windowAt, windowSeconds } from "./window.ts";

/**
 * What an isolate holds of one meter: until when it may admit without asking, and the units in its hand. Plain data
 * changed by the functions below; no clock, no I/O. All times are the isolate's own clock, epoch ms.
 */
export interface Lease {
  /** Admissions stand until here without asking. 0: never granted. */
  validUntil: number;
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
  /** Until then a limit is known to refuse this cost and more. */
  refusal: RememberedRefusal | null;
  /** The meter did not answer; until then nobody waits for it again. */
  unreachableUntil: number;
  /** The generation of the record that was granted last. */
  generation: number;
  /** Whether someone will hand back what is left at the lease's end. */
  releaseScheduled: boolean;
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

/** What the isolate takes out of its hand and sends along with a request that its hand does not cover. */
export interface Pledge {
  readonly request: AcquireRequest;
  readonly sentAt: number;
}

/** A refusal is remembered this long, so that a hot key over its limit costs few calls; short, since units may come back. */
export const REFUSAL_MEMORY_MS = 250;
/** A wish that has not come back by then does not hold up another. */
const WISH_PATIENCE_MS = 1_000;
/** Wish for this much more than the recent rate would use, so that a steady key does not run dry. */
const WISH_MARGIN = 1.25;
/** Rates over shorter spans than this are noise. */
const RATE_SPAN_MIN_MS = 100;

export function newLease(): Lease {
  return {
    validUntil: 0,
    grantedAt: 0,
    hands: new Map(),
    limits: [],
    spent: [],
    spentSinceAsked: 0,
    askedAt: 0,
    wishingUntil: 0,
    refusal: null,
    unreachableUntil: 0,
    generation: 0,
    releaseScheduled: false,
  };
}

/** Whether the hand covers `cost` on every limit at `now`. */
export function covers(lease: Lease, limits: readonly Limit[], cost: number, now: number): boolean {
  for (const limit of limits) {
    const hand = lease.hands.get(counterOf(limit));
    if (hand === undefined || hand.windowEndsAt <= now || hand.units < cost) return false;
  }
  return true;
}

/** Takes `cost` from every hand. Call only when `covers` says so, with nothing awaited in between. */
export function spend(lease: Lease, limits: readonly Limit[], cost: number, now: number): void {
  for (const limit of limits) {
    const hand = lease.hands.get(counterOf(limit));
    if (hand !== undefined) hand.units -= cost;
  }
  noteSpent(lease, cost, now);
}

/** Gives back what an admission at `admittedAt` took, where its windows still run. */
export function unspend(lease: Lease, limits: readonly Limit[], cost: number, admittedAt: number): void {
  for (const limit of limits) {
    const hand = lease.hands.get(counterOf(limit));
    if (hand?.windowStart === windowAt(limit.window, admittedAt).start) hand.units += cost;
  }
  noteSpent(lease, -cost, admittedAt);
}

/** The remembered refusal that still holds for this cost, if any. */
export function refusedUntil(lease: Lease, cost: number, now: number): RememberedRefusal | null {
  const refusal = lease.refusal;
  return refusal !== null && refusal.until > now && cost >= refusal.minimumCost ? refusal : null;
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

export interface AskInput {
  readonly holder: string;
  readonly keyId: string | null;
  readonly generation: number;
  readonly limits: readonly Limit[] | null;
  readonly cost: number;
  readonly ttlMs: number;
  readonly now: number;
}

/** For the request in hand: what the hand holds is pledged to it, so that nobody else spends it meanwhile. */
export function askForRequest(lease: Lease, input: AskInput): Pledge {
  const holdings: Holding[] = [];
  for (const [counter, hand] of lease.hands) {
    if (hand.windowEndsAt <= input.now) {
      lease.hands.delete(counter);
      continue;
    }
    const units = Math.min(hand.units, input.cost);
    if (units === 0) continue;
    holdings.push({ counter, windowStart: hand.windowStart, units });
    hand.units -= units;
  }
  const want = lease.wishingUntil > input.now ? 0 : wish(lease, input);
  if (want > 0) lease.wishingUntil = input.now + WISH_PATIENCE_MS;
  return openAsk(lease, input, { want, holdings, returned: [] });
}

/** Ahead of need, in the background: the hand stays where it is. */
export function askToRenew(lease: Lease, renewal: Omit<AskInput, "cost">): Pledge {
  const input = { ...renewal, cost: 0 };
  const want = wish(lease, input);
  const returned = trimHands(lease, want, input.now);
  const holdings = [...lease.hands].map(([counter, hand]) => ({
    counter,
    windowStart: hand.windowStart,
    units: hand.units,
  }));
  lease.wishingUntil = input.now + WISH_PATIENCE_MS;
  return openAsk(lease, input, { want, holdings, returned });
}

/**
 * Takes an answer in: units into the hand, the admission's end, or the refusal to remember. Returns whether the request
 * in hand is paid for: not when refused, nor when a window ended while the answer was on its way. What was granted then
 * belongs to a window that is over, and spending it now would be one too many in the new one: ask again.
 */
export function takeAnswer(lease: Lease, pledge: Pledge, answer: Exclude<AcquireAnswer, Stale>, now: number): boolean {
  endWish(lease, pledge);
  if (answer.grants.length > 0 || answer.outcome === "granted")
    lease.limits = answer.grants.map((grant) => grant.limit);
  if (answer.outcome === "granted") {
    lease.validUntil = Math.max(lease.validUntil, pledge.sentAt + answer.validForMs);
    lease.grantedAt = now;
    lease.generation = pledge.request.generation;
    lease.refusal = null;
    const paid = answer.grants.every((grant) => pledge.sentAt + grant.windowEndsInMs > now);
    for (const grant of answer.grants) takeGrant(lease, pledge, grant, { paid, now });
    if (!paid) addSpent(lease, pledge.request.hour, -pledge.request.cost);
    return paid;
  }
  takeBack(lease, pledge);
  for (const grant of answer.grants) noteRemaining(lease, grant, now);
  if (answer.code === "rate_limited" || answer.code === "quota_exhausted") {
    lease.refusal = {
      code: answer.code,
      violated: answer.violated,
      minimumCost: pledge.request.cost,
      until: now + Math.min(REFUSAL_MEMORY_MS, answer.retryAfterMs),
      retryAt: now + answer.retryAfterMs,
    };
  } else {
    // The key itself is refused: nothing stands any more.
    lease.validUntil = 0;
    lease.grantedAt = 0;
  }
  return false;
}

/** The call failed or was answered `stale`: what was pledged is back in hand, what was to be reported is owed again. */
export function takeBack(lease: Lease, pledge: Pledge): void {
  for (const holding of pledge.request.cost > 0 ? pledge.request.holdings : []) {
    const hand = lease.hands.get(holding.counter);
    if (hand?.windowStart === holding.windowStart) hand.units += holding.units;
  }
}

/** As `takeBack`, and the report is owed again: for calls that the meter surely did not carry out. */
export function oweAgain(lease: Lease, pledge: Pledge): void {
  takeBack(lease, pledge);
  endWish(lease, pledge);
  for (const { hour, units } of pledge.request.spent) addSpent(lease, hour, units);
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

function endWish(lease: Lease, { request }: Pledge): void {
  if (request.want > 0 || request.cost === 0) lease.wishingUntil = 0;
}

function openAsk(lease: Lease, input: AskInput, hand: Pick<AcquireRequest, "want" | "holdings" | "returned">): Pledge {
  const { now, ...asked } = input;
  const request: AcquireRequest = { ...asked, ...hand, hour: hourOf(now), spent: lease.spent };
  lease.spent = [];
  lease.spentSinceAsked = 0;
  lease.askedAt = now;
  return { request, sentAt: now };
}

/** What the recent rate would use in one lease; nothing when strict, or for a key that was quiet. */
function wish(lease: Lease, { cost, ttlMs, now }: AskInput): number {
  const elapsed = now - lease.askedAt;
  if (ttlMs === 0 || elapsed > 2 * ttlMs) return 0;
  const rate = (lease.spentSinceAsked + cost) / Math.max(elapsed, RATE_SPAN_MIN_MS);
  return Math.ceil(rate * ttlMs * WISH_MARGIN);
}

/** A hand far larger than the wish goes back in part: others may need it. Hands of windows that are over are dropped. */
function trimHands(lease: Lease, want: number, now: number): Holding[] {
  const returned: Holding[] = [];
  for (const [counter, hand] of lease.hands) {
    if (hand.windowEndsAt <= now) lease.hands.delete(counter);
    else if (hand.units > 2 * want) {
      returned.push({ counter, windowStart: hand.windowStart, units: hand.units - want });
      hand.units = want;
    }
  }
  return returned;
}

function takeGrant(
  lease: Lease,
  pledge: Pledge,
  grant: LimitGrant,
  { paid, now }: { paid: boolean; now: number },
): void {
  const counter = counterOf(grant.limit);
  const pledged =
    pledge.request.cost === 0 ? undefined : pledge.request.holdings.find((holding) => holding.counter === counter);
  const putBack = pledged?.windowStart === grant.windowStart ? pledged.units : 0;
  const units = grant.granted + putBack - (paid ? pledge.request.cost : 0);
  // Counted from before the call, so that a unit is never spent after its window has ended at the meter.
  const windowEndsAt = pledge.sentAt + grant.windowEndsInMs;
  if (windowEndsAt <= now) return;
  const hand = lease.hands.get(counter);
  if (hand === undefined || hand.windowStart < grant.windowStart) {
    lease.hands.set(counter, {
      limit: grant.limit,
      windowStart: grant.windowStart,
      windowEndsAt,
      units,
      remainingAtMeter: grant.remaining,
    });
  } else if (hand.windowStart === grant.windowStart) {
    hand.units += units;
    hand.windowEndsAt = Math.max(hand.windowEndsAt, windowEndsAt);
    hand.remainingAtMeter = grant.remaining;
    if (hand.limit !== grant.limit) lease.hands.set(counter, { ...hand, limit: grant.limit });
  }
}

function noteRemaining(lease: Lease, grant: LimitGrant, now: number): void {
  const counter = counterOf(grant.limit);
  const hand = lease.hands.get(counter);
  if (hand?.windowStart === grant.windowStart) hand.remainingAtMeter = grant.remaining;
  else {
    lease.hands.set(counter, {
      limit: grant.limit,
      windowStart: grant.windowStart,
      windowEndsAt: now + grant.windowEndsInMs,
      units: 0,
      remainingAtMeter: grant.remaining,
    });
  }
}

function noteSpent(lease: Lease, units: number, now: number): void {
  lease.spentSinceAsked += units;
  addSpent(lease, hourOf(now), units);
}

function addSpent(lease: Lease, hour: number, units: number): void {
  const index = lease.spent.findIndex((entry) => entry.hour === hour);
  const entry = lease.spent[index];
  if (entry === undefined) lease.spent.push({ hour, units });
  else lease.spent[index] = { hour, units: entry.units + units };
}
