import { exponential, type Random } from "../clock/random.ts";
import type { VirtualTime } from "../clock/virtual-time.ts";
import { fromQuantiles } from "./network.ts";
import type { Place } from "./objects.ts";

/**
 * KV: a write is seen at once where it was made, elsewhere up to a minute later; and each location keeps what it read,
 * misses included, for `cacheTtl`. Together up to 90 s. Latencies after PLATFORM.md (a cold read: p95 50 ms, p99 250 ms).
 */

const COLD_READ_MS = [
  [0, 8],
  [0.5, 20],
  [0.95, 50],
  [0.99, 250],
  [1, 700],
] as const;
const CACHED_READ_MS = [
  [0, 0.5],
  [0.5, 2],
  [0.95, 8],
  [0.99, 20],
  [1, 60],
] as const;
const PROPAGATION_MEAN_MS = 8_000;
const PROPAGATION_MAX_MS = 60_000;
const DEFAULT_TTL_SECONDS = 60;

interface Version {
  readonly value: string;
  readonly at: number;
  readonly from: string;
  /** By location, drawn when somebody there looks first. */
  readonly delays: Map<string, number>;
}

export class Kv {
  reads = 0;
  /** Chance that an operation fails. */
  failures = 0;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #versions = new Map<string, Version[]>();
  readonly #cache = new Map<string, { readonly value: string | null; readonly until: number }>();

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  /** The binding as code at `place` sees it. */
  bindingFor(place: Place): object {
    return {
      get: (key: string, options?: { readonly cacheTtl?: number }) => this.#get(place, key, options?.cacheTtl),
      put: (key: string, value: string) => this.#put(place, key, value),
    };
  }

  /** As if it had been written long ago. */
  seed(key: string, value: string): void {
    this.#versions.set(key, [{ value, at: -Infinity, from: "", delays: new Map() }]);
  }

  #get(place: Place, key: string, ttlSeconds = DEFAULT_TTL_SECONDS): Promise<unknown> {
    this.reads++;
    const name = `${place.colo.code}|${key}`;
    const { now } = this.#time;
    const cached = this.#cache.get(name);
    const isCached = cached !== undefined && cached.until > now;
    const value = isCached ? cached.value : this.#visibleAt(place.colo.code, key);
    if (!isCached) this.#cache.set(name, { value, until: now + ttlSeconds * 1_000 });
    const ms = fromQuantiles(this.#random, isCached ? CACHED_READ_MS : COLD_READ_MS);
    // Each reader has its own copy, as after parsing.
    return this.#after(place, ms, () => (value === null ? null : JSON.parse(value)));
  }

  #visibleAt(location: string, key: string): string | null {
    for (const version of (this.#versions.get(key) ?? []).toReversed()) {
      if (version.from === location || version.at === -Infinity) return version.value;
      let delay = version.delays.get(location);
      if (delay === undefined) {
        delay = Math.min(exponential(this.#random, PROPAGATION_MEAN_MS), PROPAGATION_MAX_MS);
        version.delays.set(location, delay);
      }
      if (version.at + delay <= this.#time.now) return version.value;
    }
    return null;
  }

  #put(place: Place, key: string, value: string): Promise<void> {
    const ms = fromQuantiles(this.#random, COLD_READ_MS) * 3;
    return this.#after(place, ms, () => {
      const versions = this.#versions.get(key) ?? [];
      versions.push({ value, at: this.#time.now, from: place.colo.code, delays: new Map() });
      this.#versions.set(key, versions);
      this.#cache.delete(`${place.colo.code}|${key}`);
    });
  }

  #after<T>(place: Place, ms: number, work: () => T): Promise<T> {
    const fails = this.failures > 0 && this.#random() < this.failures;
    return new Promise((resolve, reject) => {
      this.#time.after(ms, place.actor, () => {
        if (fails) reject(new Error("KV did not answer"));
        else resolve(work());
      });
    });
  }
}
