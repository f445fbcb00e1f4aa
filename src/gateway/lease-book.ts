import { LEASE_BOOK_ENTRIES } from "../constants.ts";
import { forget, type Lease, newLease, readClock } from "../limits/lease.ts";

/**
 * The leases of this isolate, one per key and per owner with shared limits. Settled values only: a promise of one
 * request is never waited for by another.
 */
export class LeaseBook {
  readonly #leases = new Map<string, Lease>();
  readonly #capacity: number;
  #holder: string | null = null;
  #newest = 0;

  constructor(capacity: number = LEASE_BOOK_ENTRIES) {
    this.#capacity = capacity;
  }

  /** This isolate's name to the meters. Made on first use: no randomness in the global scope. */
  get holder(): string {
    this.#holder ??= crypto.randomUUID();
    return this.#holder;
  }

  /** To be told the time of each request: leases by a clock that was set back since are forgotten. */
  observe(now: number): void {
    const clock = readClock(this.#newest, now);
    this.#newest = clock.newest;
    if (clock.setBack) for (const lease of this.#leases.values()) forget(lease);
  }

  /** The lease on `name` (a key id, or an owner's meter), begun empty when there is none. */
  of(name: string): Lease {
    const known = this.#leases.get(name);
    if (known !== undefined) return known;
    if (this.#leases.size >= this.#capacity) this.#dropOldest();
    const lease = newLease();
    this.#leases.set(name, lease);
    return lease;
  }

  /** Keeps the book in the order of last renewal, so that what is dropped is what has been idle longest. */
  touch(name: string, lease: Lease): void {
    this.#leases.delete(name);
    this.#leases.set(name, lease);
  }

  #dropOldest(): void {
    for (const name of this.#leases.keys()) {
      this.#leases.delete(name);
      return;
    }
  }
}
