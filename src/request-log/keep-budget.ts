import type { KeptFor } from "./kept-request.ts";

/**
 * How many requests are kept in a minute, by whom and for what: a flood costs no more than this, and does not push out what others
 * did. No clock: the minute is an argument. What a key is refused for by the thousand leaves room for what it is refused for once.
 */
export interface KeepBounds {
  /** Refusals of one key for one code. */
  readonly perKeyAndCode: number;
  /** Refusals of one key, and what its own traces ask for. */
  readonly perKey: number;
  /** Refusals of known keys in a workspace. */
  readonly perWorkspace: number;
  /** Refusals in a workspace of whoever has no key that is known. */
  readonly strangers: number;
  /** Sampled and traced ones of a workspace. */
  readonly successes: number;
}

/** Of one isolate: what it puts into the queue. */
export const ISOLATE_BOUNDS: KeepBounds = {
  perKeyAndCode: 5,
  perKey: 10,
  perWorkspace: 60,
  strangers: 20,
  successes: 60,
};

/** Of one log object: what is stored. Some 1 KB each, so a flood in every way at once fills a GB in a day. */
export const LOG_BOUNDS: KeepBounds = {
  perKeyAndCode: 20,
  perKey: 60,
  perWorkspace: 400,
  strangers: 100,
  successes: 200,
};

const MINUTE_MS = 60_000;
/** Counters of one minute; past it nothing more is kept until the next. */
const MAX_COUNTERS = 10_000;

export interface Keeping {
  readonly workspace: string;
  readonly keyId: string | null;
  readonly code: string;
  readonly why: KeptFor;
}

export class KeepBudget {
  readonly #bounds: KeepBounds;
  readonly #taken = new Map<string, number>();
  #minute = 0;

  constructor(bounds: KeepBounds) {
    this.#bounds = bounds;
  }

  /** Whether this one is kept; counted where it is. */
  take({ workspace, keyId, code, why }: Keeping, now: number): boolean {
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#taken.clear();
    }
    const { perKeyAndCode, perKey, perWorkspace, strangers, successes } = this.#bounds;
    if (why === "sampled") return this.#takeAll([[`s ${workspace}`, successes]]);
    const key = `k ${workspace} ${keyId ?? ""}`;
    if (why === "traced")
      return this.#takeAll([
        [`s ${workspace}`, successes],
        [`t ${key}`, perKeyAndCode],
      ]);
    if (keyId === null) return this.#takeAll([[`u ${workspace}`, strangers]]);
    return this.#takeAll([
      [`${key} ${code}`, perKeyAndCode],
      [key, perKey],
      [`w ${workspace}`, perWorkspace],
    ]);
  }

  /** All of them, or none. */
  #takeAll(wanted: readonly (readonly [name: string, most: number])[]): boolean {
    if (this.#taken.size > MAX_COUNTERS) return false;
    if (wanted.some(([name, most]) => (this.#taken.get(name) ?? 0) >= most)) return false;
    for (const [name] of wanted) this.#taken.set(name, (this.#taken.get(name) ?? 0) + 1);
    return true;
  }
}
