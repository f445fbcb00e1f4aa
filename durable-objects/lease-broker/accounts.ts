import { BROKER_ACCOUNT_IDLE_MS, BROKER_ACCOUNTS } from "../../src/constants.ts";
import type { KeyId } from "../../src/keys/record.ts";
import { type BrokerAccount, newBrokerAccount } from "../../src/limits/broker.ts";

/** One account: a key at its lineage's meter, or an owner's meter. */
export interface AccountName {
  readonly meter: string;
  readonly keyId: KeyId | null;
}

export interface Account extends BrokerAccount {
  readonly meter: string;
  /** Someone is asking the meter, for all who wait: one call at a time. Never rejects. */
  asking: Promise<void> | null;
  unreachableUntil: number;
  knownAt: number;
}

/** Kept in the order of last use, so that what is dropped is what has been idle longest. */
export class Accounts {
  readonly #accounts = new Map<string, Account>();

  /** Begun empty when there is none. */
  of({ meter, keyId }: AccountName): Account {
    const name = keyId === null ? meter : `${meter}/${keyId}`;
    const now = Date.now();
    const known = this.#accounts.get(name);
    if (known !== undefined) {
      known.knownAt = now;
      this.#accounts.delete(name);
      this.#accounts.set(name, known);
      return known;
    }
    for (const [oldest, { knownAt }] of this.#accounts) {
      if (this.#accounts.size < BROKER_ACCOUNTS && knownAt > now - BROKER_ACCOUNT_IDLE_MS) break;
      // Its units, if any, go home by themselves when its lease ends.
      this.#accounts.delete(oldest);
    }
    const account: Account = { ...newBrokerAccount(now), meter, asking: null, unreachableUntil: 0, knownAt: now };
    this.#accounts.set(name, account);
    return account;
  }

  all(): Iterable<Account> {
    return this.#accounts.values();
  }
}
