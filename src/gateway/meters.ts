import { acquireFrom, releaseTo } from "../../durable-objects/key-meter/client.ts";
import {
  acquireThrough,
  type BrokerName,
  introduceThrough,
  nameOf,
  releaseThrough,
  shardOf,
} from "../../durable-objects/lease-broker/client.ts";
import { METER_UNREACHABLE_MEMORY_MS } from "../constants.ts";
import type { KeyId } from "../keys/record.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../limits/acquire.ts";
import type { Introduced, Introduction } from "../limits/introduction.ts";
import { counters } from "../platform/counters.ts";
import { logError } from "../platform/log.ts";

/** Who is asked: the broker nearby, or the home meter. Whoever asks cannot tell which of them answered. */

/** Whose units are asked for. */
export interface AccountAddress {
  /** The home meter. */
  readonly meter: string;
  /** `null` at an owner's meter. */
  readonly keyId: KeyId | null;
  /** What spreads accounts over brokers: the key's hash, or the owner's meter. */
  readonly shardKey: string;
}

/** Only to tell of: the answer is the same. */
export interface Heard {
  from: "broker" | "meter";
}

export interface Meters {
  /** `fresh`: the home meter is asked, whatever is known nearby. Throws when nobody can be reached. `heard` is told who answered. */
  acquire(account: AccountAddress, request: AcquireRequest, fresh: boolean, heard?: Heard): Promise<AcquireAnswer>;
  /** A failure only leaves units unused until their windows end. */
  release(account: AccountAddress, request: ReleaseRequest): Promise<void>;
  /** Record and admission in one hop; `null` where nobody nearby can tell, and KV must be read. Never throws. */
  introduce(asked: Introduction): Promise<Introduced | null>;
}

/** Home meters alone. */
export function homeMeters(env: Pick<Env, "KEY_METER">): Meters {
  return {
    acquire: (account, request) => {
      counters.meterCalls++;
      return acquireFrom(env.KEY_METER, account.meter, request);
    },
    release: (account, request) => {
      counters.meterCalls++;
      return releaseTo(env.KEY_METER, account.meter, request);
    },
    introduce: () => Promise.resolve(null),
  };
}

export interface BrokerSettings {
  /** Brokers of one location. */
  readonly shards: number;
  /** Where this isolate is; `null` while no request has told. */
  readonly location: () => string | null;
}

/** Brokers first, home meters where a broker is of no use or of no help. */
export function brokeredMeters(env: Pick<Env, "KEY_METER" | "LEASE_BROKER">, settings: BrokerSettings): Meters {
  const home = homeMeters(env);
  const brokers = env.LEASE_BROKER;
  /** Brokers that failed a moment ago: nobody waits for them. */
  const unreachable = new Map<string, number>();
  const brokerOf = (shardKey: string): BrokerName | null => {
    const location = settings.location();
    if (location === null) return null;
    const name = { location, shard: shardOf(shardKey, settings.shards) };
    return (unreachable.get(nameOf(name)) ?? 0) > Date.now() ? null : name;
  };
  const giveUp = (name: BrokerName, error: unknown): void => {
    counters.brokerFailures++;
    logError(error, { part: "lease-broker" });
    unreachable.set(nameOf(name), Date.now() + METER_UNREACHABLE_MEMORY_MS);
  };

  return {
    async acquire(account, request, fresh, heard) {
      // Strict: each request is the home meter's to admit. A look goes through the broker, which may hold units of this limit.
      const broker = request.ttlMs === 0 ? null : brokerOf(account.shardKey);
      if (broker === null) return await home.acquire(account, request, fresh);
      counters.brokerCalls++;
      let answer: AcquireAnswer | null = null;
      try {
        answer = await acquireThrough(brokers, broker, account.meter, { request, fresh });
        if (heard !== undefined) heard.from = "broker";
      } catch (error) {
        giveUp(broker, error);
      }
      // The broker may have taken what was handed back, and only its answer is missing: it must not be taken twice.
      return answer ?? (await home.acquire(account, { ...request, returned: [] }, fresh));
    },
    async release(account, request) {
      const broker = brokerOf(account.shardKey);
      if (broker === null) return await home.release(account, request);
      counters.brokerCalls++;
      try {
        await releaseThrough(brokers, broker, account, request);
      } catch (error) {
        // Not sent home: it may have been taken, and only the answer was lost.
        giveUp(broker, error);
      }
    },
    async introduce(asked) {
      const broker = brokerOf(asked.hash);
      if (broker === null) return null;
      counters.brokerCalls++;
      try {
        return await introduceThrough(brokers, broker, asked);
      } catch (error) {
        giveUp(broker, error);
        return null;
      }
    },
  };
}
