import { BROKER_RENEW_AHEAD_MS, BROKER_TIMEOUT_MS, METER_UNREACHABLE_MEMORY_MS } from "../../src/constants.ts";
import type { RecordCache } from "../../src/gateway/record-cache.ts";
import type { Resolved } from "../../src/gateway/resolve.ts";
import type { KeyHash } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import {
  answerFromHand,
  answerWithMeters,
  askAhead,
  askMeter,
  isAheadDue,
  keepAnswer,
  noteReport,
  unnoteReport,
} from "../../src/limits/broker.ts";
import { type Introduced, type Introduction, requestFor } from "../../src/limits/introduction.ts";
import { oweAgain, type Pledge } from "../../src/limits/lease-exchange.ts";
import { forget, holdsUnits, type Lease, readClock, release } from "../../src/limits/lease.ts";
import { isInUse, newUse, noteUse } from "../../src/limits/use.ts";
import { logError } from "../../src/platform/log.ts";
import { meterOfLineage } from "../key-meter/client.ts";
import { type Account, type AccountName, Accounts } from "./accounts.ts";

interface Asked {
  /** The meter's word of this moment is wanted. */
  readonly fresh: boolean;
  /** When the call came, epoch ms. */
  readonly since: number;
}

/** A window may end while its meter is asked, and a record may change; more calls for one request mean a bug or a flood. */
const MAX_ROUNDS = 4;

/** A lease may still be in use at its very end. */
const RELEASE_DELAY_MS = 100;
/** A lease that is kept is renewed this long before its end at the latest: from half a world away an answer takes 0.4 s … */
const KEEP_AHEAD_MS = 1_000;
/** … and with others whose time has come, from here on: an alarm is a row, whatever it does. */
const KEEP_TOGETHER_MS = 3_500;
/** Leases shorter than this are not worth keeping. */
const KEEP_SPAN_MIN_MS = 4_000;
/** Units of shorter windows than this are not fetched ahead of need … */
const KEPT_WINDOW_MIN_MS = 10_000;
/** … and of others only when the meter's clock has surely turned. */
const WINDOW_TURN_DELAY_MS = 50;
/** Alarms are not closer together than this … */
const ALARM_GAP_MS = 200;
/** … and one that comes so late does as well: to move it is a row, too. */
const ALARM_LATE_MS = 300;

/** What a broker needs of the world. */
export interface BrokerParts {
  /** This instance's name to the meters. */
  readonly holder: string;
  /** The home meters. Each call may fail, and is bounded in time. */
  readonly meters: {
    acquire(meter: string, request: AcquireRequest): Promise<AcquireAnswer>;
    release(meter: string, request: ReleaseRequest): Promise<void>;
  };
  readonly records: RecordCache;
  readonly lookUp: (hash: KeyHash) => Promise<Resolved>;
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Has `tend` called at this moment, epoch ms. An alarm, not a timer: with a timer pending an object is paid for. */
  readonly wakeAt: (at: number) => void;
}

/** Answers as a meter does, out of leases from the home meters; what it knows is in memory alone. */
export class Broker {
  readonly #parts: BrokerParts;
  readonly #accounts = new Accounts();
  /** Accounts that are kept ready for their next use, or hold something which must go home when nobody needs it. */
  readonly #watched = new Set<Account>();
  #wakesAt = 0;
  #newest = 0;

  constructor(parts: BrokerParts) {
    this.#parts = parts;
  }

  /**
   * As a meter. `fresh`: with the meter's word of this moment. `null` when the meter is needed and this broker cannot reach it:
   * what was reported is not taken then, what was handed back is.
   */
  async acquire(meter: string, request: AcquireRequest, fresh: boolean): Promise<AcquireAnswer | null> {
    // Strict: for the request in hand alone, and so the meter's to say. Nobody asks this here.
    if (request.ttlMs === 0) return null;
    const account = this.#accounts.of({ meter, keyId: request.keyId });
    this.#note(account, request);
    const since = Date.now();
    try {
      return sinceArrival(await this.#answer(account, request, { fresh, since }), since);
    } catch (error) {
      logError(error, { part: "lease-broker" });
      unnoteReport(account, request);
      return null;
    }
  }

  release(name: AccountName, request: ReleaseRequest): void {
    const account = this.#accounts.of(name);
    this.#note(account, request);
    this.#watch(account);
  }

  /** The record of a key that the caller has not met, and the admission of the request in hand, in one answer; `null` as above. */
  async introduce(asked: Introduction): Promise<Introduced | null> {
    try {
      return await this.#introduce(asked);
    } catch (error) {
      logError(error, { part: "lease-broker" });
      return null;
    }
  }

  async #introduce(asked: Introduction): Promise<Introduced> {
    const { records } = this.#parts;
    const since = Date.now();
    const known = records.get(asked.hash, since);
    const resolved = known === null ? await this.#parts.lookUp(asked.hash) : { found: known };
    if (resolved.found === null) {
      if (resolved.reason === "unavailable") throw new Error("the key cannot be looked up");
      return { outcome: "unknown", forMs: records.missLeft(asked.hash, Date.now()) };
    }
    let record = resolved.found;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const request = requestFor(record, asked, Date.now());
      if (request === null) return { outcome: "known", record, answer: null };
      const meter = meterOfLineage(record.workspace, record.lineageId);
      const account = this.#accounts.of({ meter, keyId: record.id });
      const answer = await this.#answer(account, request, { fresh: false, since });
      if (answer.outcome !== "stale") {
        if (answer.outcome === "granted") records.confirm(asked.hash, Date.now());
        return { outcome: "known", record, answer: sinceArrival(answer, since) };
      }
      record = records.put(asked.hash, answer.record, Date.now());
    }
    throw new Error("the record changes faster than it is read");
  }

  #note(account: Account, report: Omit<ReleaseRequest, "holder">): void {
    const strays = noteReport(account, report, Date.now());
    if (strays.length > 0) this.#parts.waitUntil(this.#sendHome(account.meter, { returned: strays, spent: [] }));
  }

  /** Ends when there is an answer, or when the caller has given up. */
  async #answer(account: Account, request: AcquireRequest, { fresh, since }: Asked): Promise<AcquireAnswer> {
    noteUse(account.use, since);
    account.last = request;
    let mustAsk = fresh;
    for (let rounds = 0; rounds < MAX_ROUNDS;) {
      const now = Date.now();
      this.#observe(now);
      refuseLate(since, now);
      const answer = mustAsk ? null : answerFromHand(account, request, now);
      if (answer !== null) {
        if (answer.outcome === "granted") this.#renewAhead(account, request, now);
        this.#watch(account);
        return answer;
      }
      if (!mustAsk && account.asking !== null) {
        const units = request.cost + request.urgent;
        account.waiting += units;
        await account.asking;
        // In this very step: whoever asks next, before the others wake, asks for them.
        account.waiting -= units;
        continue;
      }
      rounds++;
      mustAsk = false;
      const asking = this.#ask(account, request, since);
      announce(account, asking);
      const met = await asking;
      if (met !== null) return met;
    }
    throw new Error("windows end faster than the meter answers");
  }

  /** Leases by a clock that was set back since are forgotten. */
  #observe(now: number): void {
    const clock = readClock(this.#newest, now);
    this.#newest = clock.newest;
    if (!clock.setBack) return;
    for (const { lease, use } of this.#accounts.all()) {
      forget(lease);
      Object.assign(use, newUse());
    }
  }

  async #ask(account: Account, request: AcquireRequest, since: number): Promise<AcquireAnswer | null> {
    const askedAt = Date.now();
    if (account.unreachableUntil > askedAt) throw new Error("the meter did not answer a moment ago");
    const pledge = askMeter(account, request, this.#parts.holder, askedAt);
    const answer = await this.#call(account, pledge);
    const now = Date.now();
    const isLate = now - since >= BROKER_TIMEOUT_MS;
    if (isLate) keepAnswer(account, pledge, answer, now);
    const met = isLate ? null : answerWithMeters(account, request, { pledge, answer, now });
    this.#watch(account);
    return met;
  }

  /** In the background, so that those who come next find a lease that still stands for long. */
  #renewAhead(account: Account, request: AcquireRequest, now: number): void {
    const { lease } = account;
    const aheadMs = Math.min(BROKER_RENEW_AHEAD_MS, lease.spanMs / 2);
    if (account.unreachableUntil > now || !isAheadDue(account, aheadMs, now)) return;
    this.#parts.waitUntil(this.#renewNow(account, request, now));
  }

  #renewNow(account: Account, request: AcquireRequest, now: number): Promise<void> {
    const renewal = this.#renew(account, askAhead(account, request, this.#parts.holder, now));
    announce(account, renewal);
    return renewal;
  }

  async #renew(account: Account, pledge: Pledge): Promise<void> {
    try {
      keepAnswer(account, pledge, await this.#call(account, pledge), Date.now());
      // The watcher may have come and gone while this was on its way.
      this.#watch(account);
    } catch (error) {
      logError(error, { part: "lease-broker" });
    }
  }

  async #call(account: Account, pledge: Pledge): Promise<AcquireAnswer> {
    try {
      return await this.#parts.meters.acquire(account.meter, pledge.request);
    } catch (error) {
      oweAgain(account.lease, pledge);
      account.unreachableUntil = Date.now() + METER_UNREACHABLE_MEMORY_MS;
      throw error;
    }
  }

  /** Leases that will be used again are renewed, and what the others hold goes home. By alarm, which may come late, early or twice. */
  async tend(): Promise<void> {
    const now = Date.now();
    this.#observe(now);
    this.#wakesAt = 0;
    const sent: Promise<void>[] = [];
    for (const account of this.#watched) {
      const { lease, meter } = account;
      if (this.#isToKeep(account, now)) {
        const isDue = Math.min(lease.validUntil - KEEP_TOGETHER_MS, windowTurnsAt(lease)) <= now;
        if (isDue && lease.wishingUntil <= now && account.last !== null)
          sent.push(this.#renewNow(account, account.last, now));
        continue;
      }
      // Still in use: looked at again.
      if (lease.validUntil > now) continue;
      this.#watched.delete(account);
      const left = release(lease, now);
      if (left !== null) sent.push(this.#sendHome(meter, left));
    }
    await Promise.all(sent);
    this.#wakeForAll();
  }

  #isToKeep({ use, last, lease, unreachableUntil }: Account, now: number): boolean {
    if (!isInUse(use, now) || unreachableUntil > now) return false;
    // It has ended, or stands on another record: the next caller asks anew.
    if (lease.validUntil <= now || lease.generation !== last?.generation) return false;
    return lease.spanMs >= KEEP_SPAN_MIN_MS;
  }

  #watch(account: Account): void {
    const { lease } = account;
    const now = Date.now();
    if (lease.spent.length === 0 && !holdsUnits(lease) && !this.#isToKeep(account, now)) return;
    this.#watched.add(account);
    this.#wakeBy(this.#dueAt(account, now), now);
  }

  /** One alarm at a time: whoever else is due by then is looked at too. */
  #wakeForAll(): void {
    const now = Date.now();
    let at = Infinity;
    for (const account of this.#watched) at = Math.min(at, this.#dueAt(account, now));
    if (at !== Infinity) this.#wakeBy(at, now);
  }

  #dueAt(account: Account, now: number): number {
    const { lease } = account;
    const isToRenew = lease.wishingUntil <= now && this.#isToKeep(account, now);
    const dueAt = isToRenew
      ? Math.min(lease.validUntil - KEEP_AHEAD_MS, windowTurnsAt(lease))
      : lease.validUntil + RELEASE_DELAY_MS;
    return Math.max(dueAt, now + ALARM_GAP_MS);
  }

  #wakeBy(at: number, now: number): void {
    if (this.#wakesAt > now && this.#wakesAt <= at + ALARM_LATE_MS) return;
    this.#wakesAt = at;
    this.#parts.wakeAt(at);
  }

  /** A failure leaves units unused until their window ends. */
  async #sendHome(meter: string, left: Omit<ReleaseRequest, "holder">): Promise<void> {
    try {
      await this.#parts.meters.release(meter, { holder: this.#parts.holder, ...left });
    } catch (error) {
      logError(error, { part: "lease-broker" });
    }
  }
}

/**
 * Durations of an answer, counted from when the call came and not from now: the caller counts them from before it called, and
 * would lose the time that the meter took. In a window of a second that may be all of it.
 */
function sinceArrival<T extends AcquireAnswer>(answer: T, since: number): T {
  const heldMs = Date.now() - since;
  if (answer.outcome !== "granted" || heldMs <= 0) return answer;
  const grants = answer.grants.map((grant) => ({ ...grant, windowEndsInMs: grant.windowEndsInMs + heldMs }));
  return { ...answer, validForMs: answer.validForMs + heldMs, grants };
}

/** It began to wait before `since`, so it has gone to the meter by now: what is handed on would be lost, and charged twice. */
function refuseLate(since: number, now: number): void {
  if (now - since >= BROKER_TIMEOUT_MS) throw new Error("the caller has given up");
}

/** When units of the next window are to be asked for; in short windows whoever comes first does. */
function windowTurnsAt({ hands }: Lease): number {
  let at = Infinity;
  for (const { windowStart, windowEndsAt } of hands.values())
    if (windowEndsAt - windowStart >= KEPT_WINDOW_MIN_MS) at = Math.min(at, windowEndsAt + WINDOW_TURN_DELAY_MS);
  return at;
}

/** Lets others wait for this call in place of making their own. */
function announce(account: Account, call: Promise<unknown>): void {
  if (account.asking !== null) return;
  const settled = (): void => {
    account.asking = null;
  };
  account.asking = call.then(settled, settled);
}
