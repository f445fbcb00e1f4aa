import type { TrafficKey } from "../traffic/fleet.ts";
import { keyBody, ownerOf } from "./customers.ts";
import type { Filler } from "./filler.ts";
import type { IssuedKey } from "./requests.ts";

/** The demo's keys as the control API issued, rotated and revoked them. */

const AT_ONCE = 8;
const HOUR_SECONDS = 3_600;
/** Of them that run out at some time, the nearest in a day. */
const EXPIRES_ONE_IN = 12;
const DAY_MS = 86_400_000;
const EXPIRY_DAYS = 60;

/** By the traffic's name of a key: the key itself. It opens nothing but the demo on this machine. */
export type IssuedSecrets = Readonly<Record<string, string>>;

interface Issued {
  readonly id: string;
  readonly lineageId: string;
  readonly key: string;
}

export class Keyring {
  readonly #filler: Filler;
  readonly #keys = new Map<string, IssuedKey>();
  readonly #secrets = new Map<string, string>();

  constructor(filler: Filler) {
    this.#filler = filler;
  }

  get keys(): readonly IssuedKey[] {
    return [...this.#keys.values()];
  }

  secrets(): IssuedSecrets {
    return Object.fromEntries(this.#secrets);
  }

  /** With their owners. @param now the present, epoch ms: what runs out does so after it. */
  async issue(keys: readonly TrafficKey[], now: number): Promise<void> {
    const owners = [...new Set(keys.map(({ owner }) => owner))].map(ownerOf);
    await inParallel(owners, async ({ id, name, team }) => {
      await this.#filler.call("PUT", `/owners/${id}`, { name, contacts: { email: `api@${id}.example`, team } });
    });
    await inParallel(keys, async (key) => {
      const expiresAt =
        key.seed % EXPIRES_ONE_IN === 0 && key.handover === null
          ? {
              expiresAt: new Date(
                now + (1 + (Math.floor(key.seed / EXPIRES_ONE_IN) % EXPIRY_DAYS)) * DAY_MS,
              ).toISOString(),
            }
          : {};
      this.#keep(key, await this.#filler.call("POST", "/keys", { ...keyBody(key), ...expiresAt }));
    });
  }

  async revoke(name: string, reason: "leaked" | "retired"): Promise<void> {
    await this.#filler.call("POST", `/keys/${this.#idOf(name)}/revoke`, { reason });
  }

  async rotate(name: string, successor: TrafficKey, overlapHours: number): Promise<void> {
    const body = { overlapSeconds: overlapHours * HOUR_SECONDS };
    this.#keep(successor, await this.#filler.call("POST", `/keys/${this.#idOf(name)}/rotate`, body));
  }

  #keep(traffic: TrafficKey, answer: unknown): void {
    // The control API's answer, as its OpenAPI document says it.
    const { id, lineageId, key } = answer as Issued;
    this.#keys.set(traffic.facts.keyId, { traffic, keyId: id, lineageId });
    this.#secrets.set(traffic.facts.keyId, key);
  }

  #idOf(name: string): string {
    const known = this.#keys.get(name);
    if (known === undefined) throw new Error(`${name} was not issued`);
    return known.keyId;
  }
}

async function inParallel<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  const worker = async (): Promise<void> => {
    for (const one of left) await work(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
