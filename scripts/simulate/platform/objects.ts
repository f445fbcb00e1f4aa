import { exponential, type Random } from "../clock/random.ts";
import { Actor, type VirtualTime } from "../clock/virtual-time.ts";
import { type Colo, hostNear } from "./colos.ts";
import { copyOf } from "./copy.ts";
import type { Network } from "./network.ts";
import { ObjectStorage } from "./object-storage.ts";

/** Durable Objects: one instance at a time, storage that outlives it, calls that take their way and may get lost. */

/** Where code runs. */
export interface Place {
  readonly actor: Actor;
  readonly colo: Colo;
}

/** The class of an object, as its binding's name says. */
export type ObjectClass = new (ctx: DurableObjectState, env: Env) => object;

export interface ObjectsOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly network: Network;
  readonly classes: Readonly<Record<string, ObjectClass>>;
  readonly envFor: (place: Place) => Env;
  readonly clockOffsetMs: (name: string) => number;
  /** How long one call keeps its object busy. */
  readonly serviceMs: number;
  /** A fault on purpose: may change what a method is given or answers. */
  readonly tamper?: ((call: ObjectCall, go: (args?: readonly unknown[]) => unknown) => unknown) | undefined;
}

export interface ObjectCall {
  readonly host: ObjectHost;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** An idle object leaves the memory after about this long. */
const IDLE_MS = 15_000;
/** To load an object that is not in memory. */
const WAKE_LEAST_MS = 3;
const WAKE_MEAN_MS = 5;
/** A queue longer than this is turned away: `overloaded`. */
const BACKLOG_MAX_MS = 5_000;
/** How long it takes until a broken call is reported, where it is at all. */
const REPORT_MEAN_MS = 300;

/** Wiped storages of worlds that are over, by binding. */
const spareStorages = new Map<string, ObjectStorage[]>();
const SPARE_STORAGES = 64;

type Methods = Record<string, (...args: readonly unknown[]) => unknown>;

export class ObjectHost {
  readonly binding: string;
  readonly name: string;
  readonly colo: Colo;
  readonly storage: ObjectStorage;
  /** Calls that arrived, and the most of them in one second. */
  calls = 0;
  maxCallsPerSecond = 0;
  restarts = 0;
  /** Outlives instances: what arrives, arrives. */
  readonly door: Actor;
  readonly pending = new Set<() => void>();
  instance: { readonly methods: Methods; readonly actor: Actor } | null = null;
  pastBusyMs = 0;
  busyUntil = 0;
  lastUsedAt = 0;
  #second = 0;
  #inSecond = 0;

  constructor(binding: string, name: string, colo: Colo) {
    this.binding = binding;
    this.name = name;
    this.colo = colo;
    this.door = new Actor(`${binding}/${name}`);
    this.storage = spareStorages.get(binding)?.pop() ?? new ObjectStorage();
  }

  get label(): string {
    return this.door.name;
  }

  countCall(now: number): void {
    this.calls++;
    const second = Math.floor(now / 1_000);
    this.#inSecond = second === this.#second ? this.#inSecond + 1 : 1;
    this.#second = second;
    this.maxCallsPerSecond = Math.max(this.maxCallsPerSecond, this.#inSecond);
  }

  /** How long it was in use, and so billed, ms. */
  get busyMs(): number {
    return this.pastBusyMs + (this.instance?.actor.busyMs ?? 0);
  }

  /** Figures start anew; what is in the object stays. */
  resetCounts(): void {
    this.pastBusyMs = -(this.instance?.actor.busyMs ?? 0);
    this.calls = 0;
    this.maxCallsPerSecond = 0;
    this.storage.rowsWritten = 0;
  }
}

export class Objects {
  readonly hosts = new Map<string, ObjectHost>();
  readonly #options: ObjectsOptions;

  constructor(options: ObjectsOptions) {
    this.#options = options;
  }

  /** The binding as code at `place` sees it. */
  namespaceFor(binding: string, place: Place): { getByName: (name: string) => object } {
    return {
      getByName: (name) => {
        // An object comes to live near whoever names it first.
        const host = this.hostOf(binding, name, hostNear(place.colo));
        return new Proxy(
          {},
          {
            // A stub is no promise.
            get: (_target, method) =>
              typeof method !== "string" || method === "then"
                ? undefined
                : (...args: unknown[]) => this.#call(place, { host, method, args: args.map(copyOf) }),
          },
        );
      },
    };
  }

  hostOf(binding: string, name: string, colo: Colo): ObjectHost {
    const label = `${binding}/${name}`;
    let host = this.hosts.get(label);
    if (host === undefined) {
      host = new ObjectHost(binding, name, colo);
      this.hosts.set(label, host);
      const opened = host;
      host.storage.onAlarmSet = () => this.#planAlarm(opened);
    }
    return host;
  }

  ofBinding(binding: string): ObjectHost[] {
    return [...this.hosts.values()].filter((host) => host.binding === binding);
  }

  /** Memory and what was under way are lost; storage stays. */
  restart(host: ObjectHost): void {
    if (host.instance === null) return;
    host.instance.actor.alive = false;
    host.pastBusyMs += host.instance.actor.busyMs;
    host.instance = null;
    host.restarts++;
    for (const fail of host.pending) fail();
    host.pending.clear();
  }

  /** The world is over: its storage may serve the next. */
  close(): void {
    for (const { binding, storage } of this.hosts.values()) {
      const spare = spareStorages.get(binding) ?? [];
      spareStorages.set(binding, spare);
      if (spare.length < SPARE_STORAGES) {
        storage.wipe();
        spare.push(storage);
      } else storage.close();
    }
  }

  #call(place: Place, call: ObjectCall): Promise<unknown> {
    const { time, network } = this.#options;
    const { host } = call;
    return new Promise((resolve, reject) => {
      const fail = (): void => this.#failLater(place, reject);
      if (network.losesRequest() || network.isCut(place.colo.code, host.label)) return fail();
      time.after(network.delayMs(place.colo, host.colo), host.door, () => {
        this.#arrive(call, {
          fail,
          answer: (settle) => {
            if (network.losesAnswer() || network.isCut(place.colo.code, host.label)) return fail();
            time.after(network.delayMs(host.colo, place.colo), place.actor, () => settle(resolve, reject));
          },
        });
      });
    });
  }

  /** Some failures are told, some calls just hang. */
  #failLater(place: Place, reject: (reason: Error) => void): void {
    const { time, random } = this.#options;
    if (random() < 0.5) return;
    time.after(exponential(random, REPORT_MEAN_MS), place.actor, () => reject(new Error("Network connection lost.")));
  }

  #arrive(call: ObjectCall, caller: Caller): void {
    const { time, serviceMs } = this.#options;
    const { host } = call;
    host.countCall(time.now);
    if (host.busyUntil - time.now > BACKLOG_MAX_MS) {
      caller.answer((_resolve, reject) => reject(Object.assign(new Error("overloaded"), { overloaded: true })));
      return;
    }
    const wake = this.#mustWake(host) ? WAKE_LEAST_MS + exponential(this.#options.random, WAKE_MEAN_MS) : 0;
    host.busyUntil = Math.max(host.busyUntil, time.now) + wake + serviceMs;
    host.lastUsedAt = host.busyUntil;
    if (host.busyUntil <= time.now) this.#serve(call, caller);
    else time.at(host.busyUntil, host.door, () => this.#serve(call, caller));
  }

  #mustWake(host: ObjectHost): boolean {
    if (host.instance !== null && this.#options.time.now - host.lastUsedAt > IDLE_MS) this.restart(host);
    return host.instance === null;
  }

  #serve({ host, method, args }: ObjectCall, caller: Caller): void {
    const { time, tamper } = this.#options;
    const { methods, actor } = this.#open(host);
    time.become(actor);
    host.pending.add(caller.fail);
    actor.begin(time.now);
    const finish = (settle: Settle): void => {
      // Cut off with the instance: the caller has been told already.
      if (!host.pending.delete(caller.fail)) return;
      actor.end(time.now);
      caller.answer(settle);
    };
    const go = (given = args): unknown => methods[method]?.(...given);
    Promise.resolve()
      .then(() => (tamper === undefined ? go() : tamper({ host, method, args }, go)))
      .then(
        (value) => {
          const copy: unknown = copyOf(value);
          finish((resolve) => resolve(copy));
        },
        (error: unknown) =>
          finish((_resolve, reject) => reject(error instanceof Error ? error : new Error(String(error)))),
      );
  }

  #open(host: ObjectHost): { readonly methods: Methods; readonly actor: Actor } {
    if (host.instance !== null) return host.instance;
    const { time, classes, envFor, clockOffsetMs } = this.#options;
    const Class = classes[host.binding];
    if (Class === undefined) throw new Error(`no class is bound to ${host.binding}`);
    const actor = new Actor(host.label, clockOffsetMs(host.label));
    const ctx = {
      id: { name: host.name, toString: () => host.label },
      storage: host.storage,
      waitUntil: (work: Promise<unknown>) => void work.catch(() => undefined),
      blockConcurrencyWhile: (work: () => Promise<unknown>) => work(),
    };
    time.become(actor);
    // Of the state and of the class, this is what the objects use and what callers reach.
    const methods = new Class(ctx as unknown as DurableObjectState, envFor({ actor, colo: host.colo })) as Methods;
    host.instance = { methods, actor };
    return host.instance;
  }

  #planAlarm(host: ObjectHost): void {
    const { time, clockOffsetMs } = this.#options;
    const { alarmAt } = host.storage;
    if (alarmAt === null) return;
    time.at(alarmAt - clockOffsetMs(host.label), host.door, () => {
      // Set anew meanwhile, or taken away.
      if (host.storage.alarmAt !== alarmAt) return;
      host.storage.alarmAt = null;
      const { methods, actor } = this.#open(host);
      time.become(actor);
      host.lastUsedAt = time.now;
      void Promise.resolve(methods["alarm"]?.()).catch(() => undefined);
    });
  }
}

type Settle = (resolve: (value: unknown) => void, reject: (reason: Error) => void) => void;

interface Caller {
  readonly fail: () => void;
  readonly answer: (settle: Settle) => void;
}
