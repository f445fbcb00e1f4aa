import { addressBlock } from "../keys/address-block.ts";
import { dropOldestAt } from "./record-cache.ts";
import { logError } from "../platform/log.ts";
import { counters } from "../platform/counters.ts";

/** The period of the `FAILURE_SHIELD` binding in wrangler.toml: how long an address that failed too often stays blocked. */
export const SHIELD_PERIOD_MS = 10_000;
/** While blocked, this many unknown keys are still looked up in a period: a good key behind the same address must get in. */
const LOOKUPS_WHILE_BLOCKED = 100;
const ADDRESSES_MAX = 10_000;

interface Block {
  readonly until: number;
  lookups: number;
}

/**
 * Failed checks are budgeted per address (IPv6: per /64). Whoever is over the budget hears 429 instead of 401 for keys that are
 * not good; a key that this isolate knows goes on working, and a key that is good gets in: nobody can lock a neighbour
 * out. Counting is done in the background by the rate-limit binding, so that refusing garbage waits for nothing.
 */
export class FailureShield {
  readonly #blocks = new Map<string, Block>();
  readonly #limiter: RateLimit;

  constructor(limiter: RateLimit) {
    this.#limiter = limiter;
  }

  /** Seconds until the address may fail again; `null` when it may now. */
  blockedSeconds(ip: string | null, now: number): number | null {
    if (this.#blocks.size === 0) return null;
    const block = this.#blocks.get(blockOf(ip));
    return block === undefined || block.until <= now ? null : Math.ceil((block.until - now) / 1_000);
  }

  /** Whether a key that this isolate does not know may be looked up for this address. */
  mayLookUp(ip: string | null, now: number): boolean {
    if (this.#blocks.size === 0) return true;
    const block = this.#blocks.get(blockOf(ip));
    if (block === undefined || block.until <= now) return true;
    block.lookups++;
    return block.lookups <= LOOKUPS_WHILE_BLOCKED;
  }

  /** Counts a failure. An address that is blocked already is not counted again. */
  note(ip: string | null, now: number, waitUntil: (work: Promise<unknown>) => void): void {
    if (this.blockedSeconds(ip, now) !== null) {
      counters.shieldRefusals++;
      return;
    }
    waitUntil(this.#count(blockOf(ip), now));
  }

  async #count(address: string, now: number): Promise<void> {
    try {
      const { success } = await this.#limiter.limit({ key: address });
      if (success) return;
    } catch (error) {
      // Without the binding failures are not budgeted; keys are checked all the same.
      logError(error, { part: "shield" });
      return;
    }
    // Several counts may have been under way: the first that is over the budget begins the block, the rest find it.
    if ((this.#blocks.get(address)?.until ?? 0) > now) return;
    this.#blocks.delete(address);
    dropOldestAt(this.#blocks, ADDRESSES_MAX);
    this.#blocks.set(address, { until: now + SHIELD_PERIOD_MS, lookups: 0 });
  }
}

function blockOf(ip: string | null): string {
  return ip === null ? "unknown" : addressBlock(ip);
}
