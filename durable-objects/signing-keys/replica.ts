import { SIGNING_KEYS_REPLICA_RENEW_AHEAD_MS, UNKNOWN_KID_PAUSE_MS } from "../../src/constants.ts";
import { logError } from "../../src/platform/log.ts";
import type { KeySetCopy, SigningPolicy } from "./api.ts";

export interface ReplicaParts {
  /** The home object. May fail, and is bounded in time. */
  readonly askHome: (policy: SigningPolicy) => Promise<KeySetCopy>;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

interface Held {
  readonly copy: KeySetCopy;
  readonly askedAt: number;
  readonly validUntil: number;
}

/** A location's copy of the signing keys, in memory alone. What it hands on ends when its own does. */
export class SigningReplica {
  readonly #parts: ReplicaParts;
  #held: Held | null = null;
  /** Someone is asking, for all who wait. Inside one object a promise may be shared. Never rejects. */
  #asking: Promise<void> | null = null;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  /** `fresh`: the caller met a key that its copy does not have. `null`: the home object is needed, and cannot be reached. */
  async copy(policy: SigningPolicy, fresh: boolean): Promise<KeySetCopy | null> {
    const now = Date.now();
    const held = this.#standing(now);
    const isNew = held !== null && now - held.askedAt < UNKNOWN_KID_PAUSE_MS;
    if (held !== null && (!fresh || isNew)) {
      if (held.validUntil - now < SIGNING_KEYS_REPLICA_RENEW_AHEAD_MS) this.#parts.waitUntil(this.#ask(policy));
      return remaining(held, now);
    }
    await this.#ask(policy);
    const later = Date.now();
    const asked = this.#standing(later);
    return asked === null ? null : remaining(asked, later);
  }

  /** By a clock that was set back nothing stands. */
  #standing(now: number): Held | null {
    const held = this.#held;
    return held !== null && held.askedAt <= now && now < held.validUntil ? held : null;
  }

  #ask(policy: SigningPolicy): Promise<void> {
    this.#asking ??= this.#askNow(policy).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #askNow(policy: SigningPolicy): Promise<void> {
    const askedAt = Date.now();
    try {
      const copy = await this.#parts.askHome(policy);
      this.#held = { copy, askedAt, validUntil: askedAt + copy.validForMs };
    } catch (error) {
      logError(error, { part: "signing-keys" });
    }
  }
}

function remaining({ copy, validUntil }: Held, now: number): KeySetCopy {
  return { ...copy, validForMs: validUntil - now };
}
