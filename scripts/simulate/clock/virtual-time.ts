import type { Random } from "./random.ts";
import { type Due, Timeline } from "./timeline.ts";

/**
 * A world's time. While it runs, the globals that the product's code asks for the time, for timers and for random numbers
 * (`Date.now`, `setTimeout`, `Math.random`, `crypto`) are the world's: so the very code that is deployed runs here, promises
 * and all, and a seed decides everything that happens.
 *
 * Everything that happens belongs to one actor (an isolate, an object), whose clock `Date.now` then is. Between two
 * happenings all promises settle; actors reach each other through planned happenings alone.
 */
export class Actor {
  readonly name: string;
  /** This actor's clock minus the true time, ms. */
  clockOffsetMs: number;
  /** What was planned for a dead actor does not happen. */
  alive = true;

  /** How long something was under way here, or a timer pending: an object is billed for that. */
  busyMs = 0;
  #underWay = 0;
  #busySince = 0;

  constructor(name: string, clockOffsetMs = 0) {
    this.name = name;
    this.clockOffsetMs = clockOffsetMs;
  }

  begin(now: number): void {
    if (this.#underWay++ === 0) this.#busySince = now;
  }

  end(now: number): void {
    if (--this.#underWay === 0) this.busyMs += now - this.#busySince;
  }
}

interface Timer {
  readonly clear: () => void;
}

interface Happening extends Due {
  readonly actor: Actor;
}

export class VirtualTime {
  /** True time, epoch ms, with fractions. Actors see whole milliseconds of their own clocks. */
  now: number;
  happenings = 0;
  /** Lines that the product logged as errors or warnings. */
  logged = 0;
  onLog: ((line: string) => void) | null = null;
  readonly #random: Random;
  readonly #timeline = new Timeline<Happening>();
  #sequence = 0;
  #actor: Actor = new Actor("world");

  constructor(startAt: number, random: Random) {
    this.now = startAt;
    this.#random = random;
  }

  get actor(): Actor {
    return this.#actor;
  }

  /** Plans something for an actor. */
  at(at: number, actor: Actor, run: () => void): Due {
    const happening = { at: Math.max(at, this.now), sequence: this.#sequence++, actor, run, cancelled: false };
    this.#timeline.push(happening);
    return happening;
  }

  after(ms: number, actor: Actor, run: () => void): Due {
    return this.at(this.now + ms, actor, run);
  }

  /** Does at once what belongs to `actor`, inside another's happening: for many small things that need no happening each. */
  as<T>(actor: Actor, run: () => T): T {
    const before = this.#actor;
    this.#actor = actor;
    try {
      return run();
    } finally {
      this.#actor = before;
    }
  }

  /** The rest of this happening, promises included, belongs to `actor`. */
  become(actor: Actor): void {
    this.#actor = actor;
  }

  clockOf(actor: Actor): number {
    return Math.floor(this.now + actor.clockOffsetMs);
  }

  /** Lets everything up to `until` happen. */
  async run(until: number): Promise<void> {
    const restore = this.#takeOverGlobals();
    try {
      await this.#happen(until);
    } finally {
      restore();
    }
  }

  async #happen(until: number): Promise<void> {
    // The turn below must be a real one: it is not taken over.
    await settle();
    for (;;) {
      const next = this.#timeline.first();
      if (next === undefined || next.at > until) break;
      this.#timeline.pop();
      if (next.cancelled || !next.actor.alive) continue;
      this.now = next.at;
      this.#actor = next.actor;
      this.happenings++;
      next.run();
      await settle();
    }
    this.now = Math.max(this.now, until);
  }

  #takeOverGlobals(): () => void {
    const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis;
    const { now: realNow } = Date;
    const { random: realRandom } = Math;
    const { error: realError, warn: realWarn } = console;
    const log = (line: unknown): void => {
      this.logged++;
      this.onLog?.(String(line));
    };
    Date.now = () => this.clockOf(this.#actor);
    Math.random = this.#random;
    console.error = log;
    console.warn = log;
    // A timer here is its happening; the product only ever hands it back to `clearTimeout`.
    globalThis.setTimeout = ((run: () => void, ms = 0) => this.#setTimer(run, ms)) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((timer: Timer | undefined) => timer?.clear()) as unknown as typeof clearTimeout;
    const restoreCrypto = this.#takeOverCrypto();
    return () => {
      Date.now = realNow;
      Math.random = realRandom;
      console.error = realError;
      console.warn = realWarn;
      globalThis.setTimeout = realSetTimeout;
      globalThis.clearTimeout = realClearTimeout;
      restoreCrypto();
    };
  }

  #setTimer(run: () => void, ms: number): Timer {
    const actor = this.#actor;
    actor.begin(this.now);
    let isPending = true;
    const end = (): void => {
      if (isPending) actor.end(this.now);
      isPending = false;
    };
    const due = this.after(Math.max(ms, 0), actor, () => {
      end();
      run();
    });
    return {
      clear: () => {
        due.cancelled = true;
        end();
      },
    };
  }

  #takeOverCrypto(): () => void {
    const random = this.#random;
    const own = {
      getRandomValues: (bytes: Uint8Array): Uint8Array => {
        for (let index = 0; index < bytes.length; index++) bytes[index] = Math.floor(random() * 256);
        return bytes;
      },
      randomUUID: (): string => `${hex8(random)}-${hex8(random)}-${hex8(random)}`,
    };
    for (const [name, value] of Object.entries(own)) {
      Object.defineProperty(crypto, name, { value, configurable: true, writable: true });
    }
    return () => {
      // What stands on the prototype shows again.
      for (const name of Object.keys(own)) Reflect.deleteProperty(crypto, name);
    };
  }
}

function hex8(random: Random): string {
  return Math.floor(random() * 2 ** 32)
    .toString(16)
    .padStart(8, "0");
}

/** All promises that can settle do so before the next turn of the event loop. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
