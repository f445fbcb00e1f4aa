import type { EdgeRecord } from "../keys/record.ts";
import type { AcquireAnswer, AcquireRequest, Holding, LimitGrant, ReleaseRequest, Stale } from "./acquire.ts";
import { countHolders, type Holders } from "./holders.ts";
import { addSpent, type Hand, type Lease, newLease, type Payment, refusedUntil, unspend } from "./lease.ts";
import { askForRequest, askToRenew, oweAgain, type Pledge, takeAnswer } from "./lease-exchange.ts";
import type { Limit } from "./limit.ts";
import { shareOfHand } from "./sizing.ts";
import { counterOf } from "./window.ts";

/**
 * A lease broker stands between the isolates of a region and a meter that may be far away. To the meter it is a holder
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
}

export function newBrokerAccount(): BrokerAccount {
  return { lease: newLease(), holders: new Map(), record: null };
}

/**
 * Once for each call, before anything else: what the caller gives back and reports is true whatever it is answered. Returns
 * the units that are not of a window in hand (they came by another broker, or before a crash): they belong to the meter.
 */
export function noteReport(
  { lease }: BrokerAccount,
  report: Omit<ReleaseRequest, "holder">,
  now: number,
): readonly Holding[] {
  const strays: Holding[] = [];
  for (const holding of report.returned) {
    const hand = lease.hands.get(holding.counter);
    if (hand?.windowStart === holding.windowStart && hand.windowEndsAt > now) hand.units += holding.units;
    else strays.push(holding);
  }
  for (const { hour, units } of report.spent) addSpent(lease, hour, units);
  return strays;
}

/** The caller will hear of a failure, or that its record is old, and report the same again. */
export function unnoteReport({ lease }: BrokerAccount, report: Pick<ReleaseRequest, "spent">): void {
  for (const { hour, units } of report.spent) addSpent(lease, hour, -units);
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
  const { lease } = account;
  const { keyId, generation, limits, ttlMs, want } = request;
  const asker = { holder, keyId, generation, limits, ttlMs, now, leastWant: want };
  const cost = stillNeeded(lease, request, now);
  return cost === 0 ? askToRenew(lease, asker) : askForRequest(lease, { ...asker, cost });
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
  for (const { hand, need, inHandAfter } of lines)
    ahead = Math.min(ahead, Math.max(inHandAfter, shareOfHand(hand.units - need, holders)));
  // What is wished for, given or not: the next wish at the meter is sized by it.
  lease.spentSinceAsked += Math.max(request.cost, request.want);
  if (request.cost > 0) addSpent(lease, request.hour, request.cost);
  return lines.map((line) => {
    const granted = line.need + Math.max(0, ahead - line.inHandAfter);
    line.hand.units -= granted;
    return grantOf(line, granted, now);
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
