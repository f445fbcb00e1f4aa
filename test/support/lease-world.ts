import type { AcquireAnswer, AcquireRequest } from "../../src/limits/acquire.ts";
import {
  covers,
  type Payment,
  type Lease,
  newLease,
  refusedUntil,
  release,
  renewalDue,
  spend,
  unspend,
} from "../../src/limits/lease.ts";
import { askForRequest, askToRenew, oweAgain, type Pledge, takeAnswer } from "../../src/limits/lease-exchange.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide } from "../../src/limits/meter.ts";
import { counterOf, windowAt } from "../../src/limits/window.ts";
import { MeterOnDisk } from "./meter-on-disk.ts";

/**
 * Isolates and one meter in simulated time, made of the same pure functions that run in production. Calls to the meter
 * take time, can be lost on the way there or back, and the meter can crash between any two of them.
 */

const LEASE_TTL_MS = 4_500;
const RENEW_AHEAD_MS = 1_500;

export interface Faults {
  /** Chances, 0 to 1, per call. */
  readonly loseRequest: number;
  readonly loseAnswer: number;
  /** Chance per call that the meter loses its memory before it; as often it does so within it, before anything is durable. */
  readonly crash: number;
  /** The meter's clock minus the isolates', ms. */
  readonly clockOffsetMs: number;
  /** Chance that an admitted request is refunded, some time later. */
  readonly refund: number;
}

export const NO_FAULTS: Faults = { loseRequest: 0, loseAnswer: 0, crash: 0, clockOffsetMs: 0, refund: 0 };

export interface WorldOptions {
  readonly limits: readonly Limit[];
  readonly isolates: number;
  readonly latencyMs: number;
  readonly faults: Faults;
  readonly random: () => number;
  readonly startAt: number;
}

interface Due {
  readonly at: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class LeaseWorld {
  now: number;
  meterCalls = 0;
  admitted = 0;
  refused = 0;
  failed = 0;
  refunded = 0;
  /** Units admitted, by counter and window (by the meter's clock, whose windows bind). */
  readonly admittedByWindow = new Map<string, number>();
  readonly #options: WorldOptions;
  readonly #leases: Lease[];
  readonly #dues: Due[] = [];
  #sequence = 0;
  readonly meter: MeterOnDisk;
  limits: readonly Limit[];

  constructor(options: WorldOptions) {
    this.#options = options;
    this.now = options.startAt;
    this.limits = options.limits;
    this.meter = new MeterOnDisk((at) => {
      const offset = options.faults.clockOffsetMs;
      this.#at(at - offset, () => this.meter.ring(this.now + offset));
    });
    this.#leases = Array.from({ length: options.isolates }, () => newLease());
  }

  /** A request of `cost` reaches an isolate at `at`. */
  request(isolate: number, cost: number, at: number): void {
    this.#at(at, () => this.#serve(isolate, cost, 0));
  }

  /** The limits change, as by a patched key: isolates and meter know at once. */
  changeLimits(limits: readonly Limit[], at: number): void {
    this.#at(at, () => {
      this.limits = limits;
    });
  }

  /** An isolate dies with what it holds. */
  kill(isolate: number, at: number): void {
    this.#at(at, () => {
      this.#leases[isolate] = newLease();
    });
  }

  /** Anything else that happens at a time. */
  at(at: number, happen: () => void): void {
    this.#at(at, happen);
  }

  /** Units that isolates hold of a counter's window: an answer may come after its lease was handed back. */
  unitsInHands(counter: string, windowStart: number): number {
    let units = 0;
    for (const { hands } of this.#leases) {
      const hand = hands.get(counter);
      if (hand?.windowStart === windowStart) units += hand.units;
    }
    return units;
  }

  run(): void {
    for (;;) {
      const next = this.#pop();
      if (next === undefined) return;
      this.now = Math.max(this.now, next.at);
      next.run();
    }
  }

  #serve(isolate: number, cost: number, round: number): void {
    const lease = this.#lease(isolate);
    const { now } = this;
    if (this.#covers(lease, cost)) {
      this.#count(isolate, spend(lease, this.limits, cost, now));
      if (renewalDue(lease, this.limits, RENEW_AHEAD_MS, now)) this.#renew(isolate);
      this.#scheduleRelease(isolate);
      return;
    }
    if (refusedUntil(lease, this.limits, cost, now) !== null) {
      this.refused++;
      return;
    }
    if (round === 4) {
      this.failed++;
      return;
    }
    const pledge = askForRequest(lease, { ...this.#asker(isolate), cost, now });
    this.#call(isolate, pledge, (answer, payment) => {
      if (answer === null) this.failed++;
      else if (payment !== null) this.#count(isolate, payment);
      else if (answer.outcome === "granted" || this.#covers(lease, cost)) this.#serve(isolate, cost, round + 1);
      else this.refused++;
      this.#scheduleRelease(isolate);
    });
  }

  #covers(lease: Lease, cost: number): boolean {
    return lease.validUntil > this.now && covers(lease, this.limits, cost, this.now);
  }

  #renew(isolate: number): void {
    const pledge = askToRenew(this.#lease(isolate), { ...this.#asker(isolate), now: this.now });
    this.#call(isolate, pledge, () => undefined);
  }

  #scheduleRelease(isolate: number): void {
    const lease = this.#lease(isolate);
    if (lease.releaseBy > this.now) return;
    lease.releaseBy = Infinity;
    const look = (): void => {
      if (lease.validUntil > this.now) {
        this.#at(lease.validUntil + 100, look);
        return;
      }
      lease.releaseBy = 0;
      const left = release(lease, this.now);
      if (left === null || this.#lose(this.#options.faults.loseRequest)) return;
      this.#at(this.now + this.#options.latencyMs, () => {
        this.meterCalls++;
        this.meter.release(left, this.#meterNow());
      });
    };
    this.#at(Math.max(this.now, lease.validUntil) + 100, look);
  }

  #call(isolate: number, pledge: Pledge, done: (answer: AcquireAnswer | null, payment: Payment | null) => void): void {
    const lease = this.#lease(isolate);
    const { latencyMs, faults } = this.#options;
    const lost = (): void => {
      oweAgain(lease, pledge);
      done(null, null);
    };
    if (this.#lose(faults.loseRequest)) {
      this.#at(this.now + 4 * latencyMs, lost);
      return;
    }
    this.#at(this.now + latencyMs, () => {
      const answer = this.#meterAnswers(pledge.request);
      if (answer === null || this.#lose(faults.loseAnswer)) this.#at(this.now + 4 * latencyMs, lost);
      else {
        this.#at(this.now + latencyMs, () => {
          done(answer, takeAnswer(lease, pledge, answer, this.now));
        });
      }
    });
  }

  /** `null`: it crashed. */
  #meterAnswers(request: AcquireRequest): Exclude<AcquireAnswer, { outcome: "stale" }> | null {
    const { crash } = this.#options.faults;
    if (this.#lose(crash)) this.meter.crash();
    this.meterCalls++;
    const now = this.#meterNow();
    const decision = this.meter.call(now, (state) => decide(state, this.limits, request, now), this.#lose(crash));
    if (decision === null) return null;
    if (decision.code === null) return { outcome: "granted", validForMs: request.ttlMs, grants: decision.grants };
    const { code, violated, retryAfterMs, askAgainInMs, grants } = decision;
    return { outcome: "refused", code, violated, retryAfterMs, askAgainInMs, grants };
  }

  #meterNow(): number {
    return this.now + this.#options.faults.clockOffsetMs;
  }

  #count(isolate: number, payment: Payment): void {
    const { limits, now: admittedAt } = this;
    this.admitted++;
    this.#charge(limits, payment.units, admittedAt);
    if (!this.#lose(this.#options.faults.refund)) return;
    const lease = this.#lease(isolate);
    this.#at(admittedAt + Math.floor(this.#options.random() * 3_000), () => {
      this.refunded++;
      unspend(lease, payment);
      this.#charge(limits, -payment.units, admittedAt);
      this.#scheduleRelease(isolate);
    });
  }

  #charge(limits: readonly Limit[], units: number, at: number): void {
    for (const limit of limits) {
      const start = windowAt(limit.window, at + this.#options.faults.clockOffsetMs).start;
      const name = `${counterOf(limit)}@${start}`;
      this.admittedByWindow.set(name, (this.admittedByWindow.get(name) ?? 0) + units);
    }
  }

  #asker(isolate: number) {
    return { holder: `isolate-${isolate}`, keyId: "key_1", generation: 1, limits: this.limits, ttlMs: LEASE_TTL_MS };
  }

  #lease(isolate: number): Lease {
    const lease = this.#leases[isolate];
    if (lease === undefined) throw new RangeError(`no isolate ${isolate}`);
    return lease;
  }

  #lose(chance: number): boolean {
    return chance > 0 && this.#options.random() < chance;
  }

  #at(at: number, run: () => void): void {
    this.#dues.push({ at, sequence: this.#sequence++, run });
    let child = this.#dues.length - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#earlier(child, parent)) break;
      this.#swap(child, parent);
      child = parent;
    }
  }

  #pop(): Due | undefined {
    const first = this.#dues[0];
    const last = this.#dues.pop();
    if (first === undefined || last === undefined || this.#dues.length === 0) return first;
    this.#dues[0] = last;
    let parent = 0;
    for (;;) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < this.#dues.length && this.#earlier(child, least)) least = child;
      }
      if (least === parent) return first;
      this.#swap(parent, least);
      parent = least;
    }
  }

  #earlier(a: number, b: number): boolean {
    const [left, right] = [this.#dues[a], this.#dues[b]];
    if (left === undefined || right === undefined) return false;
    return left.at < right.at || (left.at === right.at && left.sequence < right.sequence);
  }

  #swap(a: number, b: number): void {
    const [left, right] = [this.#dues[a], this.#dues[b]];
    if (left === undefined || right === undefined) return;
    this.#dues[a] = right;
    this.#dues[b] = left;
  }
}
