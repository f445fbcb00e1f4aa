import type { KeyRegistryApi } from "../../../durable-objects/key-registry/api.ts";
import { registryOf } from "../../../durable-objects/key-registry/client.ts";
import type { UsageLedgerApi } from "../../../durable-objects/usage-ledger/api.ts";
import { ledgerByName } from "../../../durable-objects/usage-ledger/client.ts";
import type { GatewayConfig } from "../../../src/config.ts";
import type { CheckOutcome } from "../../../src/gateway/check.ts";
import { createRandom, type Random } from "../clock/random.ts";
import { Actor } from "../clock/virtual-time.ts";
import { SimulatedIsolate } from "../platform/isolate.ts";
import type { ObjectCall, Place } from "../platform/objects.ts";
import { World } from "../platform/world.ts";
import { Auditor, type Admitted, type Violation } from "./auditor.ts";
import { Operator } from "./operator.ts";
import { drawPlan, isCalm, type WorldPlan } from "./plan.ts";
import { type Plant, tamperWith } from "./plants.ts";
import { primeConsumer } from "./prime.ts";
import { Trace } from "./trace.ts";
import { planTrouble } from "./trouble.ts";
import { planTraffic, type TrafficRequest } from "./traffic.ts";

/** One small world that a seed decides: isolates, objects, keys, changes and troubles, watched by the auditor. */

export interface WorldResult {
  readonly seed: number;
  readonly plan: WorldPlan;
  readonly violations: readonly Violation[];
  readonly happenings: number;
  readonly requests: number;
  readonly admitted: number;
  readonly trace: Trace;
}

const QUIET_BEFORE_MS = 100_000;
/** What is under way when the traffic ends comes to its end: resends, redeliveries, alarms. */
const QUIET_AFTER_MS = 45_000;
const MAX_SETTLING_ROUNDS = 20;

/** Worlds share the modules' memory: each has a workspace of its own. */
let workspaces = 0;

export async function runWorld(seed: number, plant: Plant | null): Promise<WorldResult> {
  await primeConsumer();
  const plan = drawPlan(createRandom(seed ^ 0x5eed));
  const run = new WorldRun(seed, plan, plant);
  try {
    return await run.run();
  } finally {
    run.world.close();
  }
}

class WorldRun {
  readonly world: World;
  readonly trace: Trace;
  readonly auditor: Auditor;
  readonly operator: Operator;
  readonly isolates: SimulatedIsolate[] = [];
  readonly #seed: number;
  readonly #plan: WorldPlan;
  readonly #config: GatewayConfig;
  readonly #random: Random;
  readonly #workspace: string;
  readonly #control: Place;
  #born = 0;
  #made = 0;
  #lostWithIsolates = 0;
  #requests = 0;
  /** By batch and ledger. */
  readonly #ingested = new Map<string, Map<string, number>>();

  constructor(seed: number, plan: WorldPlan, plant: Plant | null) {
    this.#seed = seed;
    this.#plan = plan;
    workspaces += 1;
    this.#workspace = `w${String(workspaces).padStart(8, "0")}`;
    const { skewMs } = plan.trouble;
    this.trace = new Trace(plan.startAt + QUIET_BEFORE_MS);
    this.world = new World({
      seed,
      startAt: plan.startAt,
      serviceMs: 0,
      home: plan.home,
      clockOffsetMs: (_name, random) => (skewMs === 0 ? 0 : Math.round((random() * 2 - 1) * skewMs)),
      tamper: (call, go) => {
        this.#watch(call);
        return tamperWith(plant, call, go);
      },
      renamesBatches: plant === "double-event",
    });
    this.world.time.onLog = (line) => this.trace.log(this.world.time.now, this.world.time.actor.name, line);
    this.#random = createRandom(seed ^ 0x7aff1c);
    this.#config = {
      upstreams: { api: { url: "https://origin.example", open: true, workspace: "*" } },
      leaseBrokers: plan.brokerShards === null ? false : { shardsPerLocation: plan.brokerShards },
    };
    this.auditor = new Auditor({
      clockOf: (meter) => this.world.clockOffsetOf(`KEY_METER/${meter}`),
      // A clock that jumps may say anything of a deadline.
      skewMs: plan.trouble.clockSteps > 0 ? Infinity : skewMs,
      calm: isCalm(plan),
    });
    this.#control = this.world.place("control", this.world.home);
    this.operator = new Operator({
      registry: this.#registry(),
      world: this.world,
      trace: this.trace,
      auditor: this.auditor,
      workspace: this.#workspace,
      actor: this.#control.actor,
    });
  }

  async run(): Promise<WorldResult> {
    const { world, trace, auditor } = this;
    const { startAt, trafficMs } = this.#plan;
    const begin = startAt + QUIET_BEFORE_MS;
    const end = begin + trafficMs;
    world.time.at(startAt, this.#control.actor, () => void this.operator.setUp(this.#plan));
    await world.time.run(begin);
    if (this.operator.keys.length < this.#plan.lineages.length)
      throw new Error(`seed ${this.#seed}: the keys were not made`);
    for (const colo of this.#plan.colos) for (let n = 0; n < this.#plan.isolatesPerColo; n++) this.#bear(colo);
    const driver = new Actor("driver");
    for (const request of planTraffic(this.#plan, this.#random, { begin, end })) {
      world.time.at(request.at, driver, () => this.#serve(request));
    }
    this.operator.planChanges(this.#plan.changes, this.#random, { begin, end });
    planTrouble({
      plan: this.#plan,
      world,
      trace,
      random: this.#random,
      begin,
      end,
      kill: (at) => this.#kill(at),
      step: (at, ms) => this.#step(at, ms),
    });
    await world.time.run(end);
    await this.#settle(end);
    return {
      seed: this.#seed,
      plan: this.#plan,
      violations: auditor.violations,
      happenings: world.time.happenings,
      requests: this.#requests,
      admitted: auditor.admitted,
      trace,
    };
  }

  #registry(): KeyRegistryApi {
    return registryOf(this.world.envFor(this.#control).KEY_REGISTRY, this.#workspace);
  }

  #bear(colo: WorldPlan["colos"][number]): void {
    const name = `isolate-${this.#born++}`;
    const { skewMs } = this.#plan.trouble;
    const offset = skewMs === 0 ? 0 : Math.round((this.#random() * 2 - 1) * skewMs);
    const place = this.world.place(name, colo, offset);
    // What a new isolate remembers of the random is the world's.
    this.isolates.push(this.world.time.as(place.actor, () => new SimulatedIsolate(this.world, place, this.#config)));
  }

  #kill(which: number): void {
    const at = Math.floor(which * this.isolates.length);
    const isolate = this.isolates[at];
    if (isolate === undefined) return;
    isolate.place.actor.alive = false;
    this.#made += isolate.made;
    this.#lostWithIsolates += isolate.events.size;
    this.isolates.splice(at, 1);
    this.trace.note(this.world.time.now, isolate.place.actor.name, "dies");
    this.#bear(isolate.place.colo);
  }

  #step(which: number, ms: number): void {
    const actor = this.isolates[Math.floor(which * this.isolates.length)]?.place.actor;
    if (actor === undefined) return;
    actor.clockOffsetMs += ms;
    this.trace.note(this.world.time.now, actor.name, `has its clock moved by ${ms} ms`);
  }

  #serve(request: TrafficRequest): void {
    const { world } = this;
    const isolate = this.isolates[Math.floor(request.isolate * this.isolates.length)];
    const key = this.operator.keys[Math.floor(request.key * this.operator.keys.length)];
    if (isolate === undefined || key === undefined) return;
    this.#requests++;
    const startedAt = world.time.now;
    world.time.become(isolate.place.actor);
    void isolate.check({ presentedKey: key.presentedKey, cost: request.cost }).then(
      (outcome) => this.#conclude(isolate, { outcome, request, startedAt, strict: key.strict }),
      (error: unknown) => this.trace.note(world.time.now, isolate.place.actor.name, `threw ${String(error)}`),
    );
  }

  #conclude(
    isolate: SimulatedIsolate,
    {
      outcome,
      request,
      startedAt,
      strict,
    }: { outcome: CheckOutcome; request: TrafficRequest; startedAt: number; strict: boolean },
  ): void {
    const { time } = this.world;
    const { actor } = isolate.place;
    const at = time.now;
    if (outcome.ok) {
      const { record, cost, degraded, refund } = outcome.admission;
      const admitted: Admitted = { record, cost, degraded, strict, startedAt, at };
      const how = `${degraded ? " in grace" : ""} after ${Math.round(at - startedAt)} ms`;
      this.trace.note(
        at,
        actor.name,
        `admits ${this.trace.nameOf(record.id)} generation ${record.generation} for ${cost}${how}`,
      );
      this.auditor.admit(admitted);
      if (request.refundAfterMs !== null) {
        time.after(request.refundAfterMs, actor, () => {
          refund();
          this.auditor.refund(admitted);
          this.trace.note(time.now, actor.name, `gives ${cost} back to ${this.trace.nameOf(record.id)}`);
        });
      }
    } else {
      const { code, record } = outcome.refusal;
      this.trace.note(at, actor.name, `refuses ${record === null ? "a key" : this.trace.nameOf(record.id)}: ${code}`);
      this.auditor.refuse(record?.id ?? null, code, at);
    }
    isolate.record(outcome, startedAt, Date.now());
  }

  /** Batches that reach a ledger past the queue are durable too. */
  #watch({ host, method, args }: ObjectCall): void {
    if (host.binding !== "USAGE_LEDGER" || method !== "ingest") return;
    // What `createSend` and the consumer call it with.
    const batches = args[0] as Parameters<UsageLedgerApi["ingest"]>[0];
    for (const { batchId, events } of batches) {
      const parts = this.#ingested.get(batchId) ?? new Map<string, number>();
      this.#ingested.set(batchId, parts.set(host.name, events.length));
    }
  }

  /** The troubles end, what is under way comes to its end, and what was counted is compared with what was made. */
  async #settle(end: number): Promise<void> {
    const { world } = this;
    let until = end + QUIET_AFTER_MS;
    await world.time.run(until);
    for (let round = 0; round < MAX_SETTLING_ROUNDS; round++) {
      // Whoever adds an event looks after what others left.
      for (const isolate of this.isolates.filter(({ events }) => round === 0 || events.size > 0)) {
        world.time.after(0, isolate.place.actor, () => isolate.record(NO_KEY, Date.now(), Date.now()));
      }
      until += QUIET_AFTER_MS;
      await world.time.run(until);
      if (this.isolates.every(({ events }) => events.size === 0) && world.queue.isEmpty) break;
    }
    const counted = await this.#counted();
    const made = this.#made + this.isolates.reduce((sum, isolate) => sum + isolate.made, 0);
    const counts = { made, accepted: this.#accepted(), counted, lostWithIsolates: this.#lostWithIsolates };
    this.auditor.events(counts, world.time.now);
  }

  /** Events that are durable: in the queue, or told to a ledger when the queue did not take them. */
  #accepted(): number {
    const { accepted } = this.world.queue;
    let sum = 0;
    for (const events of accepted.values()) sum += events;
    for (const [batchId, parts] of this.#ingested) {
      if (!accepted.has(batchId) && !this.world.queue.renames) for (const events of parts.values()) sum += events;
    }
    return sum;
  }

  async #counted(): Promise<number> {
    const { USAGE_LEDGER } = this.world.envFor(this.#control);
    let counted = 0;
    for (const { name } of this.world.objects.ofBinding("USAGE_LEDGER")) {
      this.world.time.after(0, this.#control.actor, () => {
        void Promise.resolve(ledgerByName(USAGE_LEDGER, name).status()).then(({ totals }) => {
          for (const { requests } of totals) counted += requests;
        });
      });
    }
    await this.world.time.run(this.world.time.now + QUIET_AFTER_MS);
    return counted;
  }
}

const NO_KEY: CheckOutcome = { ok: false, refusal: { code: "key_invalid", detail: "", record: null } };
