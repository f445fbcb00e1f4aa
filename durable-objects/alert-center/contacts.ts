import type { EpochMs } from "../../src/keys/record.ts";
import { within } from "../../src/platform/clock.ts";
import { describeError, logWarning } from "../../src/platform/log.ts";
import type { KeyRegistryApi } from "../key-registry/api.ts";
import { CONTACT_MEMORY_MS, CONTACT_TIMEOUT_MS, MAX_CONTACTS_REMEMBERED } from "./bounds.ts";

/** Addresses of owners, asked of the registry and remembered for some minutes. */
export class Contacts {
  readonly #registry: () => KeyRegistryApi;
  readonly #known = new Map<string, { readonly email: string | null; readonly until: EpochMs }>();

  constructor(registry: () => KeyRegistryApi) {
    this.#registry = registry;
  }

  /** Throws where the registry does not answer in time. */
  async addressOf(owner: string, now: EpochMs): Promise<string | null> {
    const known = this.#known.get(owner);
    if (known !== undefined && known.until > now) return known.email;
    const found = await within(this.#registry().getOwner(owner), CONTACT_TIMEOUT_MS, "the registry");
    const email = found.ok ? (found.value.contacts?.email ?? null) : null;
    // The oldest goes.
    for (const old of this.#known.keys()) {
      if (this.#known.size < MAX_CONTACTS_REMEMBERED) break;
      this.#known.delete(old);
    }
    this.#known.set(owner, { email, until: now + CONTACT_MEMORY_MS });
    return email;
  }

  /** Asks for all of them; those that cannot be told now stay unknown. */
  async learn(owners: readonly string[], now: EpochMs): Promise<void> {
    await Promise.all(
      owners.map(async (owner) => {
        try {
          await this.addressOf(owner, now);
        } catch (error) {
          logWarning("an owner's address cannot be told; it is asked for again", { owner, ...describeError(error) });
        }
      }),
    );
  }

  /** Which of those that are known have an address. */
  known(now: EpochMs): ReadonlyMap<string, boolean> {
    const present = [...this.#known].filter(([, { until }]) => until > now);
    return new Map(present.map(([owner, { email }]) => [owner, email !== null]));
  }
}
