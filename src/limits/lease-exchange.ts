import type { AcquireAnswer, AcquireRequest, Granted, Holding, LimitGrant, Stale } from "./acquire.ts";
import { addSpent, type Lease, type Payment } from "./lease.ts";
import type { Limit } from "./limit.ts";
import { counterOf, hourOf } from "./window.ts";

/** What a lease's holder says to its meter, and how it takes the answer in. Pure, as `lease.ts` is. */

/** What the isolate takes out of its hand and sends along with a request that its hand does not cover. */
export interface Pledge {
  readonly request: AcquireRequest;
  readonly sentAt: number;
}

/** A refusal is remembered this long, so that a hot key over its limit costs few calls; short, since units may come back. */
export const REFUSAL_MEMORY_MS = 250;
/** A wish that has not come back by then does not hold up another. */
const WISH_PATIENCE_MS = 1_000;
/** A strict admission is for the request in hand alone, which may have to wait for another meter: not longer than this. */
const STRICT_ADMISSION_MS = 2_500;
/** Wish for this much more than the recent rate would use, so that a steady key does not run dry. */
const WISH_MARGIN = 1.25;
/** Rates over shorter spans than this are noise. */
const RATE_SPAN_MIN_MS = 100;

export interface AskInput {
  readonly holder: string;
  readonly keyId: string | null;
  readonly generation: number;
  readonly limits: readonly Limit[] | null;
  readonly cost: number;
  readonly ttlMs: number;
  readonly now: number;
  /** What the caller knows that it will need, whatever the recent rate says: a broker knows what it is asked for. */
  readonly leastWant?: number;
  /** See `AcquireRequest`. */
  readonly urgent?: number;
  /** `false`: what was spent may wait, where nothing else makes the meter write. */
  readonly reportIsDue?: boolean;
}

/** For the request in hand, which costs something: what the hand holds is pledged to it, so that nobody else spends it meanwhile. */
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
  return openAsk(lease, input, { want, holdings, returned: [], reports: true });
}

/** Ahead of need, or to look: what the recent rate does not need goes back, the rest stays in hand. */
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
  const movesUnits = returned.length > 0 || holdings.some(({ units }) => units < want);
  return openAsk(lease, input, { want, holdings, returned, reports: movesUnits || input.reportIsDue !== false });
}

/**
 * Takes an answer in: units into the hand, the admission's end, or the refusal to remember. Returns what the request in
 * hand is paid with: `null` when refused, and when a window ended while the answer was on its way. What was granted then
 * belongs to a window that is over, and spending it now would be one too many in the new one: ask again.
 */
export function takeAnswer(
  lease: Lease,
  pledge: Pledge,
  answer: Exclude<AcquireAnswer, Stale>,
  now: number,
): Payment | null {
  endWish(lease, pledge);
  if (now < pledge.sentAt) {
    // The clock was set back meanwhile: nobody can tell how old this answer is. What it granted is left unused.
    if (answer.outcome === "granted") addSpent(lease, pledge.request.hour, -pledge.request.cost);
    return null;
  }
  if (answer.grants.length > 0 || answer.outcome === "granted")
    lease.limits = answer.grants.map((grant) => grant.limit);
  if (answer.outcome === "granted") {
    lease.validUntil = Math.max(lease.validUntil, pledge.sentAt + answer.validForMs);
    lease.spanMs = answer.validForMs;
    lease.grantedAt = now;
    lease.generation = pledge.request.generation;
    lease.refusal = null;
    const payment = payWith(pledge, answer);
    const paid = payment.validUntil > now;
    for (const grant of answer.grants) takeGrant(lease, pledge, grant, { paid, now });
    if (paid) return payment;
    addSpent(lease, pledge.request.hour, -pledge.request.cost);
    return null;
  }
  takeBack(lease, pledge);
  for (const grant of answer.grants) noteRemaining(lease, pledge, grant);
  if (answer.code === "rate_limited" || answer.code === "quota_exhausted") {
    lease.refusal = {
      code: answer.code,
      violated: answer.violated,
      minimumCost: pledge.request.cost,
      until: now + Math.min(answer.askAgainInMs ?? REFUSAL_MEMORY_MS, answer.retryAfterMs),
      retryAt: now + answer.retryAfterMs,
    };
  } else {
    // The key itself is refused: nothing stands any more.
    lease.validUntil = 0;
    lease.grantedAt = 0;
  }
  return null;
}

function payWith({ request, sentAt }: Pledge, { grants, validForMs }: Granted): Payment {
  const from = grants.map(({ limit, windowStart }) => ({ counter: counterOf(limit), windowStart }));
  const stands = request.ttlMs === 0 ? STRICT_ADMISSION_MS : validForMs;
  const validUntil = sentAt + Math.min(stands, ...grants.map((grant) => grant.windowEndsInMs));
  return { units: request.cost, from, at: sentAt, validUntil };
}

/** What was pledged is back in hand. */
function takeBack(lease: Lease, pledge: Pledge): void {
  for (const holding of pledge.request.cost > 0 ? pledge.request.holdings : []) {
    const hand = lease.hands.get(holding.counter);
    if (hand?.windowStart === holding.windowStart) hand.units += holding.units;
  }
}

/**
 * The call failed, or was answered `stale`: what was pledged is back in hand, and the report is owed again. A meter that
 * carried out a call whose answer was lost hears the report twice; reconciliation shows it.
 */
export function oweAgain(lease: Lease, pledge: Pledge): void {
  takeBack(lease, pledge);
  endWish(lease, pledge);
  for (const { hour, units } of pledge.request.spent) addSpent(lease, hour, units);
}

function endWish(lease: Lease, { request }: Pledge): void {
  if (request.want > 0 || request.cost === 0) lease.wishingUntil = 0;
}

interface OpenHand extends Pick<AcquireRequest, "want" | "holdings" | "returned"> {
  readonly reports: boolean;
}

function openAsk(lease: Lease, input: AskInput, { reports, want, holdings, returned }: OpenHand): Pledge {
  const { holder, keyId, generation, limits, cost, ttlMs, urgent = 0, now } = input;
  const asked = { holder, keyId, generation, limits, cost, ttlMs, hour: hourOf(now) };
  const spent = reports ? lease.spent : [];
  const request: AcquireRequest = { ...asked, want, urgent, holdings, returned, spent };
  if (reports) lease.spent = [];
  lease.spentSinceAsked = 0;
  lease.askedAt = now;
  return { request, sentAt: now };
}

/** What the recent rate would use in one lease; nothing when strict, or for a key that was quiet. */
function wish(lease: Lease, { cost, ttlMs, now, leastWant = 0 }: AskInput): number {
  const elapsed = now - lease.askedAt;
  if (ttlMs === 0 || elapsed >= ttlMs) return leastWant;
  // Refunds may outweigh what was spent; a wish below nothing would hand back units that are not there.
  const rate = (Math.max(0, lease.spentSinceAsked) + cost) / Math.max(elapsed, RATE_SPAN_MIN_MS);
  return Math.max(leastWant, Math.ceil(rate * ttlMs * WISH_MARGIN));
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

function noteRemaining(lease: Lease, pledge: Pledge, grant: LimitGrant): void {
  const counter = counterOf(grant.limit);
  const hand = lease.hands.get(counter);
  if (hand?.windowStart === grant.windowStart) hand.remainingAtMeter = grant.remaining;
  else if (hand === undefined || hand.windowStart < grant.windowStart) {
    lease.hands.set(counter, {
      limit: grant.limit,
      windowStart: grant.windowStart,
      // As for a grant: units that are given back into this hand must not outlive their window.
      windowEndsAt: pledge.sentAt + grant.windowEndsInMs,
      units: 0,
      remainingAtMeter: grant.remaining,
    });
  }
}
