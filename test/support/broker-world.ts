import type { EdgeRecord } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest, Holding } from "../../src/limits/acquire.ts";
import {
  answerFromHand,
  answerWithMeters,
  askMeter,
  type BrokerAccount,
  keepAnswer,
  newBrokerAccount,
  noteReport,
  unnoteReport,
} from "../../src/limits/broker.ts";
import { type Lease, newLease, type Payment, release, unspend } from "../../src/limits/lease.ts";
import { askForRequest, askToRenew, oweAgain, type Pledge, takeAnswer } from "../../src/limits/lease-exchange.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { decide, type MeterState, newMeterState, settle } from "../../src/limits/meter.ts";
import { counterOf } from "../../src/limits/window.ts";
import type { Step } from "./broker-steps.ts";
import { proxyRecord } from "./proxy-record.ts";

/**
 * Isolates, two brokers and a meter, of the functions that run in production, where every call of a broker to the meter stays on
 * its way until the schedule says otherwise: so answers overtake each other in every order. Calls from isolates to brokers take
 * no time. Every unit can be found: at the meter, in a hand, on the way, spent, or written off as lost.
 */

export const START = Date.UTC(2026, 10, 23, 12, 0, 0);
export const LIMIT: Limit = { name: "hourly", limit: 300, window: "hour", kind: "quota" };
const SECOND: Limit = { name: "daily", limit: 350, window: "day", kind: "quota" };
const LIMITS = [LIMIT, SECOND];
const TTL_MS = 4_500;

interface Isolate {
  readonly name: string;
  readonly lease: Lease;
  readonly broker: number;
  generation: number;
  readonly paid: Payment[];
}

/** A broker's call to the meter, for the isolate that waits for it (`null`: for itself). */
interface Call {
  readonly broker: number;
  readonly pledge: Pledge;
  readonly waiting: { readonly isolate: Isolate; readonly pledge: Pledge } | null;
  /** `null`: the meter has not heard it yet. */
  answer: AcquireAnswer | null;
}

export interface Found {
  readonly used: number;
  /** In the brokers' hands, the isolates', and on the way. */
  readonly held: number;
  readonly admitted: number;
  /** With calls. What was on its way while its sender handed everything back has no hand to come back to, and is not counted. */
  readonly lost: number;
}

export class BrokerWorld {
  now = START;
  generation = 1;
  readonly meter: MeterState = newMeterState(null);
  readonly brokers: readonly BrokerAccount[] = [newBrokerAccount(START), newBrokerAccount(START)];
  readonly isolates: readonly Isolate[] = [0, 1, 2, 3].map((number) => ({
    name: `isolate-${number}`,
    lease: newLease(),
    broker: number % 2,
    generation: 1,
    paid: [],
  }));
  readonly calls: Call[] = [];
  /** How long the meter's word stands that each broker has heard, by generation. */
  readonly #word: readonly Map<number, number>[] = [new Map(), new Map()];
  #admitted = 0;
  /** Units that nobody has any more: of calls that were lost. */
  readonly #lost = new Map<string, number>();
  /** What was wrong, in words. */
  readonly faults: string[] = [];

  take(step: Step): void {
    switch (step.do) {
      case "ask":
        return this.#ask(this.#isolate(step.isolate), step.cost, 0);
      case "renew":
        return this.#renew(step.broker % 2);
      case "move":
        return this.#move(step.which);
      case "giveUp":
        return this.#giveUp(step.which);
      case "lose":
        return this.#lose(step.which);
      case "wait":
        this.now += step.ms;
        return;
      case "release":
        return this.#release(this.#isolate(step.isolate));
      case "sendHome":
        return this.#sendHome(step.broker % 2);
      case "refund":
        return this.#refund(this.#isolate(step.isolate));
      case "publish":
        this.generation++;
        this.#isolate(step.isolate).generation = this.generation;
    }
  }

  /** Everything on its way arrives, and everyone hands back what they hold. */
  settle(): void {
    for (let rounds = 0; this.calls.length > 0 && rounds < 10_000; rounds++) this.#move(0);
    for (const isolate of this.isolates) this.#release(isolate);
    this.#sendHome(0);
    this.#sendHome(1);
  }

  /** Where the units of a limit are. */
  find(limit: Limit): Found {
    const counter = counterOf(limit);
    const inHand = ({ hands }: Lease): number => hands.get(counter)?.units ?? 0;
    const sum = (units: readonly number[]): number => units.reduce((total, one) => total + one, 0);
    const of = (holdings: readonly Holding[]): number =>
      sum(holdings.filter((one) => one.counter === counter).map((one) => one.units));
    const onTheWay = this.calls.map(({ pledge, waiting, answer }) => {
      const pledged = pledge.request.cost > 0 ? of(pledge.request.holdings) : 0;
      const granted =
        answer?.outcome === "granted" ? answer.grants.find((one) => counterOf(one.limit) === counter) : null;
      const returned = answer === null ? of(pledge.request.returned) : 0;
      const askers = waiting !== null && waiting.pledge.request.cost > 0 ? of(waiting.pledge.request.holdings) : 0;
      return pledged + (granted?.granted ?? 0) + returned + askers;
    });
    return {
      used: this.meter.counters.get(counter)?.used ?? 0,
      held: sum([...this.brokers, ...this.isolates].map(({ lease }) => inHand(lease))) + sum(onTheWay),
      admitted: this.#admitted,
      lost: this.#lost.get(counter) ?? 0,
    };
  }

  get spentAtMeter(): number {
    return [...this.meter.spent.values()].reduce((total, units) => total + units, 0);
  }

  get admitted(): number {
    return this.#admitted;
  }

  /** Negative hands would be units from nowhere. */
  leastInHand(): number {
    const hands = [...this.brokers, ...this.isolates].flatMap(({ lease }) => [...lease.hands.values()]);
    return Math.min(0, ...hands.map(({ units }) => units));
  }

  #ask(isolate: Isolate, cost: number, round: number): void {
    if (round === 5) return;
    const { now } = this;
    const asker = {
      holder: isolate.name,
      keyId: "key_1",
      generation: isolate.generation,
      limits: LIMITS,
      ttlMs: TTL_MS,
      now,
    };
    const pledge = cost === 0 ? askToRenew(isolate.lease, asker) : askForRequest(isolate.lease, { ...asker, cost });
    const account = this.#broker(isolate.broker);
    const strays = noteReport(account, pledge.request, now);
    settle(this.meter, strays, []);
    this.#serve(isolate, pledge, round);
  }

  /** As the broker does: out of its hand, or by asking. */
  #serve(isolate: Isolate, pledge: Pledge, round: number): void {
    const answer = answerFromHand(this.#broker(isolate.broker), pledge.request, this.now);
    if (answer === null) this.#call(isolate.broker, pledge.request, { isolate, pledge });
    else this.#tell(isolate, pledge, answer, round);
  }

  #call(broker: number, request: AcquireRequest, waiting: Call["waiting"]): void {
    const pledge = askMeter(this.#broker(broker), request, `broker-${broker}`, this.now);
    this.calls.push({ broker, pledge, waiting, answer: null });
  }

  #renew(broker: number): void {
    const { lease } = this.#broker(broker);
    if (lease.generation === 0) return;
    const { generation } = lease;
    const asker = {
      holder: `broker-${broker}`,
      keyId: "key_1",
      generation,
      limits: LIMITS,
      ttlMs: TTL_MS,
      now: this.now,
    };
    this.calls.push({ broker, pledge: askToRenew(lease, asker), waiting: null, answer: null });
  }

  #move(which: number): void {
    const at = which % Math.max(1, this.calls.length);
    const call = this.calls[at];
    if (call === undefined) return;
    if (call.answer === null) {
      call.answer = this.#meterAnswers(call);
      return;
    }
    this.calls.splice(at, 1);
    this.#deliver(call, call.answer);
  }

  #meterAnswers({ broker, pledge: { request } }: Call): AcquireAnswer {
    if (request.generation < this.generation) {
      settle(this.meter, request.returned, []);
      return { outcome: "stale", record: this.#record() };
    }
    const decision = decide(this.meter, request.limits ?? [], request, this.now);
    if (decision.code !== null) {
      const { code, violated, retryAfterMs, grants } = decision;
      return { outcome: "refused", code, violated, retryAfterMs, grants };
    }
    this.#word[broker]?.set(request.generation, this.now + TTL_MS);
    return { outcome: "granted", validForMs: TTL_MS, grants: decision.grants };
  }

  #deliver({ broker, pledge, waiting }: Call, answer: AcquireAnswer): void {
    const account = this.#broker(broker);
    if (waiting === null) {
      keepAnswer(account, pledge, answer, this.now);
      return;
    }
    const told = answerWithMeters(account, waiting.pledge.request, { pledge, answer, now: this.now });
    if (told === null) this.#call(broker, waiting.pledge.request, waiting);
    else this.#tell(waiting.isolate, waiting.pledge, told, 0);
  }

  #tell(isolate: Isolate, pledge: Pledge, answer: AcquireAnswer, round: number): void {
    if (answer.outcome === "stale") {
      if (answer.record.generation <= pledge.request.generation)
        this.faults.push("stale, with a record that is no newer");
      oweAgain(isolate.lease, pledge);
      isolate.lease.validUntil = 0;
      isolate.generation = Math.max(isolate.generation, answer.record.generation);
      this.#ask(isolate, pledge.request.cost, round + 1);
      return;
    }
    if (answer.outcome === "granted") this.#checkWord(isolate, pledge.request.generation, answer.validForMs);
    // The way from isolate to broker takes no time here, and the broker's answer came now.
    const payment = takeAnswer(isolate.lease, { ...pledge, sentAt: this.now }, answer, this.now);
    if (payment === null) return;
    this.#admitted += payment.units;
    if (payment.units > 0) isolate.paid.push(payment);
  }

  /** What a broker says of a record stands no longer than what the meter has said to it of that record. */
  #checkWord(isolate: Isolate, generation: number, validForMs: number): void {
    const until = this.#word[isolate.broker]?.get(generation) ?? 0;
    if (this.now + validForMs > until) {
      this.faults.push(
        `an admission on generation ${generation} outlives the meter's word by ${this.now + validForMs - until} ms`,
      );
    }
  }

  /** Nobody waits for it any more: what it brings is the broker's. */
  #giveUp(which: number): void {
    const at = which % Math.max(1, this.calls.length);
    const call = this.calls[at];
    if (call === undefined || call.answer === null || call.waiting === null) return;
    this.calls.splice(at, 1);
    const account = this.#broker(call.broker);
    keepAnswer(account, call.pledge, call.answer, this.now);
    unnoteReport(account, call.waiting.pledge.request);
    oweAgain(call.waiting.isolate.lease, call.waiting.pledge);
  }

  /** On its way there, or its answer on the way back. */
  #lose(which: number): void {
    const at = which % Math.max(1, this.calls.length);
    const [call] = this.calls.splice(at, this.calls.length === 0 ? 0 : 1);
    if (call === undefined) return;
    const { pledge, waiting, answer } = call;
    const { lease } = this.#broker(call.broker);
    if (answer === null) for (const { counter, units } of pledge.request.returned) this.#writeOff(counter, units);
    if (answer?.outcome === "granted")
      for (const { limit, granted } of answer.grants) this.#writeOff(counterOf(limit), granted);
    oweAgain(lease, pledge);
    if (waiting === null) return;
    unnoteReport({ ...this.#broker(call.broker) }, waiting.pledge.request);
    oweAgain(waiting.isolate.lease, waiting.pledge);
  }

  #writeOff(counter: string, units: number): void {
    this.#lost.set(counter, (this.#lost.get(counter) ?? 0) + units);
  }

  #release(isolate: Isolate): void {
    const left = release(isolate.lease, this.now);
    if (left === null) return;
    settle(this.meter, noteReport(this.#broker(isolate.broker), left, this.now), []);
  }

  #sendHome(broker: number): void {
    const left = release(this.#broker(broker).lease, this.now);
    if (left !== null) settle(this.meter, left.returned, left.spent);
  }

  #refund(isolate: Isolate): void {
    const payment = isolate.paid.pop();
    if (payment === undefined) return;
    unspend(isolate.lease, payment);
    this.#admitted -= payment.units;
  }

  #record(): EdgeRecord {
    return proxyRecord({ id: "key_1", generation: this.generation });
  }

  #broker(number: number): BrokerAccount {
    const account = this.brokers[number];
    if (account === undefined) throw new RangeError(`no broker ${number}`);
    return account;
  }

  #isolate(number: number): Isolate {
    const isolate = this.isolates[number];
    if (isolate === undefined) throw new RangeError(`no isolate ${number}`);
    return isolate;
  }
}
