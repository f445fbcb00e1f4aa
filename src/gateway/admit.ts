import { LEASE_RENEW_AHEAD_MS, METER_UNREACHABLE_MEMORY_MS } from "../constants.ts";
import type { EdgeRecord, RecordRef } from "../keys/record.ts";
import type { AcquireAnswer, RefusalCode, ReleaseRequest } from "../limits/acquire.ts";
import {
  type AskInput,
  askForRequest,
  askToRenew,
  oweAgain,
  type Pledge,
  takeAnswer,
} from "../limits/lease-exchange.ts";
import {
  covers,
  type Payment,
  refusedUntil,
  renewalDue,
  spend,
  unitsWaiting,
  unspend,
  viewLimits,
} from "../limits/lease.ts";
import type { Limit, LimitView } from "../limits/limit.ts";
import { counters } from "../platform/counters.ts";
import { logError } from "../platform/log.ts";
import { type Account, openAccounts, waitForWish, WISH_WAIT_MS } from "./accounts.ts";
import { type Ground, noteAdmitted, noteHeld, noteRemembered } from "./ground.ts";
import type { LeaseBook } from "./lease-book.ts";
import type { Heard, Meters } from "./meters.ts";
import type { AdmissionPolicy } from "../limits/policy.ts";
import type { RecordCache } from "./record-cache.ts";
import { scheduleRelease } from "./release.ts";

/** Step 5, the part that counts: a request is admitted on leases, each from a meter that has subtracted its units already. */

export interface AdmissionParts {
  readonly book: LeaseBook;
  readonly cache: RecordCache;
  readonly meters: Meters;
}

export interface AdmitInput {
  readonly record: EdgeRecord;
  readonly hash: RecordRef;
  readonly limits: readonly Limit[];
  readonly cost: number;
  readonly policy: AdmissionPolicy;
  /** What the key's account was paid with already, when it was met. */
  readonly prepaid: Payment | null;
  /** Where it is written down what the answer stands on. */
  readonly ground?: Ground | undefined;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

export interface Admitted {
  readonly outcome: "admitted";
  /** When it was paid for, epoch ms: the hour this falls in is the hour in which the meter counts it. */
  readonly at: number;
  readonly limits: readonly LimitView[];
  readonly degraded: boolean;
  /** Gives the cost back. Does nothing the second time. */
  readonly refund: () => void;
}

export type AdmitOutcome =
  | Admitted
  | {
      readonly outcome: "refused";
      readonly code: RefusalCode;
      readonly violated: readonly string[];
      readonly retryAfterMs: number;
      readonly limits: readonly LimitView[];
    }
  | { readonly outcome: "stale"; readonly record: EdgeRecord }
  | { readonly outcome: "unavailable" };

/**
 * How often a request asks. Others may empty a hand between two looks at it, and a window of a second may end while a meter
 * half a world away is asked, time and again; more rounds than this mean a bug or a flood.
 */
const MAX_ROUNDS = 8;

export async function admit(input: AdmitInput, parts: AdmissionParts): Promise<AdmitOutcome> {
  const accounts = openAccounts(input, parts.book);
  let waitsUntil = 0;
  for (let round = 0; ;) {
    const now = Date.now();
    takeBackLapsed(accounts, now);
    const pending = accounts.filter((account) => account.payment === null && !stands(account, input, now));
    const remembered = rememberedRefusal(pending, input, now);
    if (remembered !== null) {
      noteRemembered(input.ground, accounts[0]?.lease, now);
      refundPaid(accounts, input, parts);
      return { ...remembered, limits: viewAll(accounts, now) };
    }
    if (pending.length === 0)
      return settleAdmission(accounts, input, parts, {
        now,
        degraded: false,
        asked: round > 0 || input.prepaid !== null,
      });
    if (round === MAX_ROUNDS) {
      refundPaid(accounts, input, parts);
      return { outcome: "unavailable" };
    }
    if (!input.policy.mustAsk && pending.every(({ lease }) => lease.wishingUntil > now)) {
      if (waitsUntil === 0) waitsUntil = now + WISH_WAIT_MS;
      if (now < waitsUntil) {
        await waitForWish(pending, input.cost);
        continue;
      }
    }
    round++;
    const answers = await Promise.all(pending.map((account) => ask(account, input, parts)));
    const verdict = await conclude(answers, accounts, input, parts);
    if (verdict !== null) return verdict;
  }
}

/** Whether the key still stands, by asking the meter: nothing is charged. */
export async function confirm(
  input: Omit<AdmitInput, "cost" | "prepaid">,
  parts: AdmissionParts,
): Promise<AdmitOutcome> {
  const peek = { ...input, cost: 0, prepaid: null, policy: { ...input.policy, mustAsk: true } };
  return await admit(peek, parts);
}

/** For a request that was paid for when its key was met, and then goes no further. */
export function refundPrepaid(input: AdmitInput, parts: AdmissionParts): void {
  const [account] = openAccounts(input, parts.book);
  if (input.prepaid !== null && account !== undefined) refundPaid([account], input, parts);
}

/** Admission without asking: the lease is valid and the hand covers the cost on every limit. */
function stands(account: Account, { policy, cost }: AdmitInput, now: number): boolean {
  const { lease, generation } = account;
  // A record that is older or newer than the lease's is another record: the meter says which counts.
  if (policy.mustAsk || lease.validUntil <= now || lease.generation !== generation) return false;
  if (generation < lease.newestGeneration) return false;
  return covers(lease, account.limits ?? lease.limits, cost, now);
}

function rememberedRefusal(pending: readonly Account[], { cost, policy }: AdmitInput, now: number) {
  if (policy.mustAsk) return null;
  for (const { lease, limits } of pending) {
    const refusal = refusedUntil(lease, limits ?? lease.limits, cost, now);
    if (refusal === null) continue;
    const { code, violated, retryAt } = refusal;
    return { outcome: "refused", code, violated, retryAfterMs: retryAt - now } as const;
  }
  return null;
}

type Asked =
  | { readonly account: Account; readonly answer: AcquireAnswer }
  | { readonly account: Account; readonly answer: null };

async function ask(account: Account, input: AdmitInput, parts: AdmissionParts): Promise<Asked> {
  const now = Date.now();
  // The key's own, not its owner's.
  const ground = account.keyId === null ? undefined : input.ground;
  noteHeld(ground, account.lease, now);
  if (ground !== undefined) ground.leaseFrom = "unreachable";
  if (account.lease.unreachableUntil > now) return { account, answer: null };
  const asker = askerOf(account, input, parts, now);
  // A look is a renewal that someone waits for: it hands back what the recent rate does not need.
  const pledge =
    input.cost === 0 ? askToRenew(account.lease, asker) : askForRequest(account.lease, { ...asker, cost: input.cost });
  // Two brokers may be asked about one key, for itself and for its tokens; the other one may not know yet what this isolate knows.
  const isOld = account.generation < account.lease.newestGeneration;
  const { answer, payment, from } = await exchange(account, pledge, parts, input.policy.mustAsk || isOld);
  if (ground !== undefined && answer !== null) ground.leaseFrom = from;
  account.payment = payment;
  return { account, answer };
}

function askerOf(
  { keyId, generation, limits, lease }: Account,
  { policy }: AdmitInput,
  { book }: AdmissionParts,
  now: number,
): Omit<AskInput, "cost"> {
  return { holder: book.holder, keyId, generation, limits, ttlMs: policy.ttlMs, urgent: unitsWaiting(lease, now), now };
}

interface Exchanged {
  /** `null`: the meter could not be reached. */
  readonly answer: AcquireAnswer | null;
  /** What the request in hand is paid with. */
  readonly payment: Payment | null;
  readonly from: Heard["from"];
}

/** One call to the meter, taken into the lease whatever comes back. `fresh`: the meter's word of this moment. */
async function exchange(
  account: Account,
  pledge: Pledge,
  { meters, book }: AdmissionParts,
  fresh: boolean,
): Promise<Exchanged> {
  const { lease } = account;
  const heard: Heard = { from: "meter" };
  let answer: AcquireAnswer;
  try {
    answer = await meters.acquire(account, pledge.request, fresh, heard);
  } catch (error) {
    counters.meterFailures++;
    logError(error, { part: "meter" });
    oweAgain(lease, pledge);
    lease.unreachableUntil = Date.now() + METER_UNREACHABLE_MEMORY_MS;
    return { answer: null, payment: null, from: heard.from };
  }
  if (answer.outcome === "stale") {
    oweAgain(lease, pledge);
    // What was granted on the old record stands no more.
    lease.validUntil = 0;
    lease.newestGeneration = Math.max(lease.newestGeneration, answer.record.generation);
    return { answer, payment: null, from: heard.from };
  }
  const payment = takeAnswer(lease, pledge, answer, Date.now());
  if (answer.outcome === "granted") {
    lease.grantedBy = heard.from;
    book.touch(account.name, lease);
  }
  return { answer, payment, from: heard.from };
}

/** The answers to one round: a final outcome, or `null` when every account that was asked has been paid. */
async function conclude(
  answers: readonly Asked[],
  accounts: readonly Account[],
  input: AdmitInput,
  parts: AdmissionParts,
): Promise<AdmitOutcome | null> {
  const now = Date.now();
  for (const { account, answer } of answers) {
    if (answer === null || answer.outcome === "granted") continue;
    // The meter has nothing left, but units that came for others meanwhile may do.
    if (answer.outcome === "refused" && answer.violated.length > 0 && stands(account, input, now)) continue;
    refundPaid(accounts, input, parts);
    if (answer.outcome === "stale") return answer;
    const { code, violated, retryAfterMs } = answer;
    return { outcome: "refused", code, violated, retryAfterMs, limits: viewAll(accounts, now) };
  }
  if (answers.every(({ answer }) => answer !== null)) return null;
  // Other requests may have emptied a hand meanwhile, and a window may have ended: what is not paid is looked at again.
  takeBackLapsed(accounts, now);
  const unpaid = accounts.filter((account) => account.payment === null);
  if (unpaid.every((account) => stands(account, input, now) || hasGrace(account, input, now))) {
    return settleAdmission(accounts, input, parts, { now, degraded: true, asked: true });
  }
  refundPaid(accounts, input, parts);
  return { outcome: "unavailable" };
}

/**
 * Whether policy lets a known-good key go on without its meter. Even then only units that the meter has handed out are
 * spent: grace stretches how long an admission stands, never a limit.
 */
function hasGrace({ lease, limits, generation }: Account, { policy, cost }: AdmitInput, now: number): boolean {
  if (policy.onMeterUnavailable === "closed" || lease.grantedAt === 0) return false;
  // Granted on a newer record than the one in hand: that one is not known to be good.
  if (lease.generation !== generation) return false;
  return now < lease.validUntil + policy.graceMs && covers(lease, limits ?? lease.limits, cost, now);
}

interface Settlement {
  readonly now: number;
  readonly degraded: boolean;
  readonly asked: boolean;
}

/** Takes the cost from every hand that has not paid yet. Nothing is awaited between the look and the taking. */
function settleAdmission(
  accounts: readonly Account[],
  input: AdmitInput,
  parts: AdmissionParts,
  { now, degraded, asked }: Settlement,
): Admitted {
  if (!asked) counters.leaseHits++;
  else if (!degraded) parts.cache.confirm(input.hash, now);
  noteAdmitted(input.ground, accounts[0]?.lease, now, degraded);
  for (const account of accounts) {
    const limits = account.limits ?? account.lease.limits;
    // A third of what it was granted for: a broker's lease may have been half over when it was handed on.
    const aheadMs = Math.min(LEASE_RENEW_AHEAD_MS, account.lease.spanMs / 3);
    const warm = account.payment === null;
    account.payment ??= spend(account.lease, limits, input.cost, now);
    if (warm && !degraded && renewalDue(account.lease, limits, aheadMs, now)) {
      input.waitUntil(renew(account, input, parts, now));
    }
    releaseLater(account, input, parts);
  }
  return {
    outcome: "admitted",
    at: accounts[0]?.payment?.at ?? now,
    limits: viewAll(accounts, now),
    degraded,
    // The second time finds nothing paid.
    refund: () => refundPaid(accounts, input, parts),
  };
}

/** Whoever paid in vain has it back, and what is in hand goes home when nobody needs it. */
function refundPaid(accounts: readonly Account[], input: AdmitInput, parts: AdmissionParts): void {
  for (const account of accounts) {
    takeBack(account);
    releaseLater(account, input, parts);
  }
}

function releaseLater(account: Account, { waitUntil }: AdmitInput, { meters, book }: AdmissionParts): void {
  const handBack = async (left: Omit<ReleaseRequest, "holder">): Promise<void> => {
    try {
      await meters.release(account, { holder: book.holder, ...left });
    } catch (error) {
      counters.meterFailures++;
      logError(error, { part: "meter" });
    }
  };
  scheduleRelease(account.lease, handBack, waitUntil);
}

/** Units whose window or lease ended while another account was asked pay for nothing any more. */
function takeBackLapsed(accounts: readonly Account[], now: number): void {
  for (const account of accounts) {
    if (account.payment !== null && account.payment.validUntil <= now) takeBack(account);
  }
}

function takeBack(account: Account): void {
  if (account.payment !== null) unspend(account.lease, account.payment);
  account.payment = null;
}

/** Ahead of need, in the background: the client never waits for a renewal on a warm key. */
async function renew(account: Account, input: AdmitInput, parts: AdmissionParts, now: number): Promise<void> {
  const pledge = askToRenew(account.lease, askerOf(account, input, parts, now));
  const { answer } = await exchange(account, pledge, parts, false);
  if (answer?.outcome === "stale") parts.cache.put(input.hash, answer.record, Date.now());
  else if (answer?.outcome === "granted") parts.cache.confirm(input.hash, Date.now());
  // The watcher may have come and gone while this was on its way.
  releaseLater(account, input, parts);
}

function viewAll(accounts: readonly Account[], now: number): LimitView[] {
  return accounts.flatMap(({ lease, limits }) => viewLimits(lease, limits ?? lease.limits, now));
}
