import type { EdgeRecord } from "../keys/record.ts";
import type { AcquireAnswer, AcquireRequest, Holding, LimitGrant, ReleaseRequest, Stale } from "./acquire.ts";
import { countHolders, type Holders } from "./holders.ts";
import { addSpent, type Hand, type Lease, newLease, type Payment, refusedUntil, unspend } from "./lease.ts";
import { askForRequest, askToRenew, oweAgain, type Pledge, takeAnswer } from "./lease-exchange.ts";
import type { Limit } from "./limit.ts";
import { shareOfHand } from "./sizing.ts";
import { expectedUses, newUse, type Use } from "./use.ts";
import { counterOf } from "./window.ts";

/**
 * A lease broker stands between the isolates of a location and a meter that may be far away. To the meter it is a holder
 * like any other; to those who ask it, it answers as the meter would, out of its own lease. Pure, as the meter is.
 *
 * It never makes a unit: what it hands on was subtracted at the meter, and leaves its hand in the same step. What it says
 * of a key stands no longer than its own lease. So it needs no storage: when it dies, units are left unused, no more.
 */
export interface BrokerAccount {
  /** From the home meter. */
  readonly lease: Lease;
  readonly holders: Holders;
  /** The newest record that the meter has told of; `null` at an owner's meter. */
  record: EdgeRecord | null;
  /** What was asked for last. */
  last: AcquireRequest | null;
  readonly use: Use;
  /** Units for callers who wait while the meter is asked. */
  waiting: number;
  /** Units handed on since the meter was last asked, without those that came back. */
  handedOn: number;
  /** Units spent since then, as far as is known. */
  used: number;
  /** When the meter last heard what was spent, epoch ms. */
  reportedAt: number;
}

export function newBrokerAccount(now: number): BrokerAccount {
  const account = { lease: newLease(), holders: new Map(), record: null, last: null };
  return { ...account, use: newUse(), waiting: 0, handedOn: 0, used: 0, reportedAt: now };
}

/** Reports of a key that is used now and then wait so long, so that its meter writes them with something else. An hour is reconciled later. */
const REPORTS_WAIT_MS = 60_000;
/** What a hot key spends in this time is asked for as if it waited already, so that each location asks once or twice a second … */
const SOON_MS = 2_000;
/** … as far as a five-hundredth of each limit: should the demand end just then, that much stays unused. */
const SHARE_OF_LIMIT_SOON = 500;
/** So much must have been handed on to speak of a hot key. */
const HOT_UNITS = 8;
/** Shorter spans say little of a rate. */
const RATE_SPAN_MIN_MS = 100;

/**
 * Once for each call, before anything else: what the caller gives back and reports is true whatever it is answered. Returns
 * the units that are not of a window in hand (they came by another broker, or before a crash): they belong to the meter.
 */
export function noteReport(
  account: BrokerAccount,
  report: Omit<ReleaseRequest, "holder">,
  now: number,
): readonly Holding[] {
  const { lease } = account;
  const strays: Holding[] = [];
  let back = 0;
  for (const holding of report.returned) {
    const hand = lease.hands.get(holding.counter);
    if (hand?.windowStart === holding.windowStart && hand.windowEndsAt > now) {
      hand.units += holding.units;
      back = Math.max(back, holding.units);
    } else strays.push(holding);
  }
  account.handedOn = Math.max(0, account.handedOn - back);
  for (const { hour, units } of report.spent) noteSpent(account, hour, units);
  return strays;
}

/** The caller will hear of a failure, or that its record is old, and report the same again. */
export function unnoteReport(account: BrokerAccount, report: Pick<ReleaseRequest, "spent">): void {
  for (const { hour, units } of report.spent) noteSpent(account, hour, -units);
}

function noteSpent(account: BrokerAccount, hour: number, units: number): void {
  addSpent(account.lease, hour, units);
  account.used += units;
}

/** The answer out of the broker's own lease; `null` when the meter must be asked. */
export function answerFromHand(account: BrokerAccount, request: AcquireRequest, now: number): AcquireAnswer | null {
  const { lease, record } = account;
  if (record !== null && request.generation < record.generation) return staleAnswer(account, request, record);
  // A strict admission is for the request in hand alone: only the meter can give it.
  if (request.ttlMs === 0 || lease.generation !== request.generation) return null;
  const limits = request.limits ?? lease.limits;
  const lines = limits.flatMap((limit) => openLine(lease, limit, request, now) ?? []);
  const validForMs = Math.min(request.ttlMs, lease.validUntil - now);
  const covered = lines.length === limits.length && lines.every(({ hand, need }) => hand.units >= need);
  if (covered && validForMs > 0)
    return { outcome: "granted", validForMs, grants: handOut(account, lines, request, now) };
  const remembered = request.cost === 0 ? null : refusedUntil(lease, limits, request.cost, now);
  if (remembered === null) return null;
  const { code, violated, retryAt, until } = remembered;
  const grants = lines.map((line) => grantOf(line, 0, now));
  return { outcome: "refused", code, violated, grants, retryAfterMs: retryAt - now, askAgainInMs: until - now };
}

/** What to ask the meter, for a request that the hand does not cover. `holder` is the broker's own name. */
export function askMeter(account: BrokerAccount, request: AcquireRequest, holder: string, now: number): Pledge {
  const asker = askerOf(account, request, holder, now);
  const urgent = asker.urgent + request.urgent;
  const cost = stillNeeded(account.lease, request, now);
  const leastWant = Math.max(request.want, unitsToKeep(account, now));
  const pledge =
    cost === 0
      ? askToRenew(account.lease, { ...asker, urgent, leastWant })
      : askForRequest(account.lease, { ...asker, urgent, leastWant, cost });
  return noteAsked(account, pledge, now);
}

/** Ahead of need, for the one who asked last: the lease, and units where few are left. */
export function askAhead(account: BrokerAccount, request: AcquireRequest, holder: string, now: number): Pledge {
  const keep = unitsToKeep(account, now);
  const held = leastHeld(account.lease, now);
  const leastWant = held * 2 >= keep ? Math.min(held, keep) : keep;
  return noteAsked(account, askToRenew(account.lease, { ...askerOf(account, request, holder, now), leastWant }), now);
}

function askerOf(
  account: BrokerAccount,
  { keyId, generation, limits, ttlMs }: AcquireRequest,
  holder: string,
  now: number,
) {
  const reportIsDue = now - account.reportedAt >= REPORTS_WAIT_MS;
  const urgent = account.waiting + neededSoon(account, limits, now);
  return { holder, keyId, generation, limits, ttlMs, now, reportIsDue, urgent };
}

function noteAsked(account: BrokerAccount, pledge: Pledge, now: number): Pledge {
  account.handedOn = 0;
  account.used = 0;
  if (account.lease.spent.length === 0) account.reportedAt = now;
  return pledge;
}

/** Whether to ask in the background: the lease ends soon, or the hand will be empty before another answer comes. */
export function isAheadDue({ lease, handedOn }: BrokerAccount, aheadMs: number, now: number): boolean {
  if (lease.wishingUntil > now) return false;
  if (lease.validUntil - now < aheadMs) return true;
  return handedOn >= HOT_UNITS && leastHeld(lease, now) < handedOn;
}

/** What will be spent before another answer can come. */
function neededSoon({ lease, used }: BrokerAccount, limits: readonly Limit[] | null, now: number): number {
  const rate = Math.max(0, used) / Math.max(now - lease.askedAt, RATE_SPAN_MIN_MS);
  const bounds = (limits ?? lease.limits).map(({ limit }) => Math.floor(limit / SHARE_OF_LIMIT_SOON));
  return bounds.length === 0 ? 0 : Math.min(Math.floor(rate * SOON_MS), ...bounds);
}

/** Units for the uses that are to be expected of a key that is used now and then; none where the limit is half used up. */
function unitsToKeep({ lease, use }: BrokerAccount, now: number): number {
  for (const { limit, remainingAtMeter, windowEndsAt } of lease.hands.values()) {
    if (windowEndsAt > now && remainingAtMeter * 2 < limit.limit) return 0;
  }
  return expectedUses(use, now);
}

function leastHeld({ hands }: Lease, now: number): number {
  let least = Infinity;
  for (const { units, windowEndsAt } of hands.values()) least = Math.min(least, windowEndsAt > now ? units : 0);
  return least;
}

/** Takes the meter's answer in, and answers the caller: `null` when a window ended meanwhile, and the caller must be served anew. */
export function answerWithMeters(
  account: BrokerAccount,
  request: AcquireRequest,
  { pledge, answer, now }: { readonly pledge: Pledge; readonly answer: AcquireAnswer; readonly now: number },
): AcquireAnswer | null {
  keepAnswer(account, pledge, answer, now);
  if (answer.outcome === "stale") return staleAnswer(account, request, answer.record);
  const own = answerFromHand(account, request, now);
  return answer.outcome === "refused" ? (own ?? answer) : own;
}

/** Takes the meter's answer in for those who come next: what was paid for the caller is in hand, and handed on as to everyone. */
export function keepAnswer(account: BrokerAccount, pledge: Pledge, answer: AcquireAnswer, now: number): void {
  const { lease } = account;
  if (answer.outcome === "stale") {
    oweAgain(lease, pledge);
    noteRecord(account, answer.record);
    return;
  }
  const payment = takeMetersAnswer(account, pledge, answer, now);
  if (payment !== null) unspend(lease, payment);
}

/**
 * As `takeAnswer`, for one who asks for callers that know different records. Units are units, whoever they were asked for; an
 * admission stands on one record, and on the newest that was granted.
 */
function takeMetersAnswer(
  { lease }: BrokerAccount,
  pledge: Pledge,
  answer: Exclude<AcquireAnswer, Stale>,
  now: number,
): Payment | null {
  const { generation, validUntil } = lease;
  const granted = answer.outcome === "granted";
  if (granted && pledge.request.generation > generation) lease.validUntil = 0;
  const payment = takeAnswer(lease, pledge, answer, now);
  // It was overtaken by the answer to a caller with a newer record.
  if (granted && pledge.request.generation < generation) {
    lease.generation = generation;
    lease.validUntil = validUntil;
  }
  return payment;
}

/** A newer record: what was granted on the one before stands no more. */
function noteRecord(account: BrokerAccount, record: EdgeRecord): void {
  if (account.record !== null && account.record.generation >= record.generation) return;
  account.record = record;
  if (account.lease.generation !== record.generation) account.lease.validUntil = 0;
}

/** As the meter answers it: units that came back are taken, the report is not. */
function staleAnswer(account: BrokerAccount, request: AcquireRequest, record: EdgeRecord): Stale {
  unnoteReport(account, request);
  return { outcome: "stale", record };
}

interface Line {
  readonly limit: Limit;
  readonly hand: Hand;
  /** What must be handed on for the request itself. */
  readonly need: number;
  /** What the caller will hold once its request is paid. */
  readonly inHandAfter: number;
}

function openLine(lease: Lease, limit: Limit, request: AcquireRequest, now: number): Line | null {
  const counter = counterOf(limit);
  const hand = lease.hands.get(counter);
  if (hand === undefined || hand.windowEndsAt <= now) return null;
  const inHand = heldBy(request, counter, hand.windowStart);
  const { cost } = request;
  return { limit, hand, need: Math.max(0, cost - inHand), inHandAfter: Math.max(0, inHand - cost) };
}

function heldBy({ holdings }: AcquireRequest, counter: string, windowStart: number): number {
  return holdings.find((held) => held.counter === counter && held.windowStart === windowStart)?.units ?? 0;
}

/** The most that any limit lacks for the request in hand, over what its caller and this broker hold. 0: only the lease is missing. */
function stillNeeded(lease: Lease, request: AcquireRequest, now: number): number {
  if (request.cost === 0) return 0;
  // An owner's meter alone knows the owner's limits: before its first answer the whole cost is asked for.
  const limits = request.limits ?? lease.limits;
  if (request.limits === null && lease.grantedAt === 0) return request.cost;
  let needed = 0;
  for (const limit of limits) {
    const line = openLine(lease, limit, request, now);
    if (line === null) return request.cost;
    if (line.hand.units < line.need) needed = Math.max(needed, line.need);
  }
  return needed;
}

/** The need of the request on every limit, and the same number of units ahead on each, as the meter does it. */
function handOut(account: BrokerAccount, lines: readonly Line[], request: AcquireRequest, now: number): LimitGrant[] {
  const { lease } = account;
  const holders = countHolders(account.holders, request.holder, now);
  let ahead = request.want;
  let { urgent } = request;
  for (const { hand, need, inHandAfter } of lines) {
    ahead = Math.min(ahead, Math.max(inHandAfter, shareOfHand(hand.units - need, holders)));
    urgent = Math.min(urgent, hand.units - need);
  }
  ahead = Math.max(ahead, urgent);
  // What is wished for, given or not: the next wish at the meter is sized by it.
  lease.spentSinceAsked += Math.max(request.cost, request.want);
  if (request.cost > 0) noteSpent(account, request.hour, request.cost);
  const granted = lines.map((line) => line.need + Math.max(0, ahead - line.inHandAfter));
  account.handedOn += Math.max(0, ...granted);
  return lines.map((line, index) => {
    const units = granted[index] ?? 0;
    line.hand.units -= units;
    return grantOf(line, units, now);
  });
}

function grantOf({ limit, hand }: Line, granted: number, now: number): LimitGrant {
  return {
    limit,
    granted,
    remaining: hand.remainingAtMeter + hand.units,
    windowStart: hand.windowStart,
    windowEndsInMs: hand.windowEndsAt - now,
  };
}
