import { AlertCenter } from "../../../durable-objects/alert-center/alert-center.ts";
import { HashClaims } from "../../../durable-objects/hash-claims/hash-claims.ts";
import { KeyMeter } from "../../../durable-objects/key-meter/key-meter.ts";
import { KeyRegistry } from "../../../durable-objects/key-registry/key-registry.ts";
import { LeaseBroker } from "../../../durable-objects/lease-broker/lease-broker.ts";
import { ReplayGuard } from "../../../durable-objects/replay-guard/replay-guard.ts";
import { RequestLog } from "../../../durable-objects/request-log/request-log.ts";
import { SigningKeys } from "../../../durable-objects/signing-keys/signing-keys.ts";
import { UsageLedger } from "../../../durable-objects/usage-ledger/usage-ledger.ts";
import { randomBase32, randomHex } from "../../../src/platform/random.ts";
import { createRandom, type Random } from "../clock/random.ts";
import { Actor, VirtualTime } from "../clock/virtual-time.ts";
import { type Colo, coloByCode } from "./colos.ts";
import { Kv } from "./kv.ts";
import { Network } from "./network.ts";
import { type ObjectCall, type ObjectClass, Objects, type Place } from "./objects.ts";
import { Queue } from "./queue.ts";

/** Everything that the product runs on, under one virtual clock: network, objects, KV, queue. The objects are the product's own classes. */

/** By the name of their binding. The constructors take the state and bindings that `Objects` gives them. */
const CLASSES: Readonly<Record<string, ObjectClass>> = {
  KEY_METER: KeyMeter,
  KEY_REGISTRY: KeyRegistry,
  USAGE_LEDGER: UsageLedger,
  HASH_CLAIMS: HashClaims,
  LEASE_BROKER: LeaseBroker,
  REPLAY_GUARD: ReplayGuard,
  REQUEST_LOG: RequestLog,
  SIGNING_KEYS: SigningKeys,
  ALERT_CENTER: AlertCenter,
};

const RANDOM_POOL_CHARACTERS = 1_024;

/** The product keeps random text in store. What an earlier world has left of them is taken away, so that this one draws its own. */
function emptyRandomPool(): void {
  randomHex(RANDOM_POOL_CHARACTERS);
  randomBase32(RANDOM_POOL_CHARACTERS);
}

/** Where the control API is used from, and the queue is consumed. */
const HOME = "IAD";

export interface WorldOptions {
  readonly seed: number;
  readonly startAt: number;
  /** How long a call keeps its object busy, ms: the platform's soft limit is about 1,000 calls a second. */
  readonly serviceMs: number;
  readonly clockOffsetMs?: (name: string, random: Random) => number;
  readonly tamper?: (call: ObjectCall, go: (args?: readonly unknown[]) => unknown) => unknown;
  /** A fault on purpose: the queue's deliveries are other batches to the ledger. */
  readonly renamesBatches?: boolean;
  readonly home?: string;
}

export class World {
  readonly random: Random;
  readonly time: VirtualTime;
  readonly network: Network;
  readonly objects: Objects;
  readonly kv: Kv;
  readonly queue: Queue;
  readonly home: Colo;
  readonly #offsets = new Map<string, number>();
  readonly #drawOffset: (name: string, random: Random) => number;

  constructor(options: WorldOptions) {
    emptyRandomPool();
    this.random = createRandom(options.seed);
    this.#drawOffset = options.clockOffsetMs ?? (() => 0);
    this.time = new VirtualTime(options.startAt, this.random);
    this.network = new Network(this.random);
    this.kv = new Kv(this.time, this.random);
    this.home = coloByCode(options.home ?? HOME);
    const envFor = (place: Place): Env => this.envFor(place);
    const { time, random, network } = this;
    this.objects = new Objects({
      time,
      random,
      network,
      classes: CLASSES,
      envFor,
      serviceMs: options.serviceMs,
      clockOffsetMs: (name) => this.clockOffsetOf(name),
      tamper: options.tamper,
    });
    this.queue = new Queue({ time, random, colo: this.home, envFor, renames: options.renamesBatches ?? false });
  }

  place(name: string, colo: Colo, clockOffsetMs = 0): Place {
    return { actor: new Actor(name, clockOffsetMs), colo };
  }

  /** The bindings as code at `place` has them. */
  envFor(place: Place): Env {
    const bindings: Record<string, unknown> = {
      KEYS: this.kv.bindingFor(place),
      USAGE: this.queue.bindingFor(place),
      FAILURE_SHIELD: { limit: () => Promise.resolve({ success: true }) },
      LATCHKEY_UPSTREAM_URL: "https://origin.example",
      LATCHKEY_CONTROL_HOST: "",
    };
    for (const binding of Object.keys(CLASSES)) bindings[binding] = this.objects.namespaceFor(binding, place);
    // The bindings that the gateway and the objects use, in the part of their interface that they use.
    return bindings as unknown as Env;
  }

  /** A part's clock stays as wrong as it is, over all restarts. */
  clockOffsetOf(name: string): number {
    let offset = this.#offsets.get(name);
    if (offset === undefined) {
      offset = this.#drawOffset(name, this.random);
      this.#offsets.set(name, offset);
    }
    return offset;
  }

  close(): void {
    this.objects.close();
  }
}
