import { DurableObject } from "cloudflare:workers";
import { RecordCache } from "../../src/gateway/record-cache.ts";
import { resolve } from "../../src/gateway/resolve.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import type { Introduced, Introduction } from "../../src/limits/introduction.ts";
import { acquireFrom, releaseTo } from "../key-meter/client.ts";
import type { AccountName } from "./accounts.ts";
import { Broker } from "./broker.ts";

/**
 * A lease broker: one per location and shard of accounts, near the isolates that ask it. It answers as a meter does, and
 * knows records by hash, so that an isolate that meets a key waits for one nearby hop. It keeps nothing in storage but its alarm: a broker that
 * is lost leaves units unused until their windows end, and is otherwise missed by nobody.
 */
export class LeaseBroker extends DurableObject<Env> {
  readonly #broker: Broker;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const records = new RecordCache();
    this.#broker = new Broker({
      holder: crypto.randomUUID(),
      meters: {
        acquire: (meter, request) => acquireFrom(env.KEY_METER, meter, request),
        release: (meter, request) => releaseTo(env.KEY_METER, meter, request),
      },
      records,
      lookUp: (hash) => resolve(hash, records, env.KEYS, Date.now()),
      waitUntil: (work) => ctx.waitUntil(work),
      // No answer waits for it to be durable: an alarm that is lost leaves units unused until their windows end.
      wakeAt: (at) => void ctx.storage.setAlarm(at, { allowUnconfirmed: true }),
    });
  }

  /** As a meter; `fresh`: with the home meter's word of this moment. `null`: it was needed, and not reached. */
  async acquire(meter: string, request: AcquireRequest, fresh: boolean): Promise<AcquireAnswer | null> {
    return await this.#broker.acquire(meter, request, fresh);
  }

  release(account: AccountName, request: ReleaseRequest): void {
    this.#broker.release(account, request);
  }

  /** Leases that will be used again are renewed, and units that nobody needs go back to their meters. */
  override async alarm(): Promise<void> {
    await this.#broker.tend();
  }

  /** The record of a key that the caller has not met, and the admission of the request in hand, in one answer; `null` as above. */
  async introduce(asked: Introduction): Promise<Introduced | null> {
    return await this.#broker.introduce(asked);
  }
}
