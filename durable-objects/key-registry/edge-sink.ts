import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { Limit } from "../../src/limits/limit.ts";
import type { MeterPublisher } from "./api.ts";

/** Where the outbox delivers to. Each call may fail or hang; the caller bounds and repeats it. */
export interface EdgeSink {
  publish(lineageId: string, records: readonly EdgeRecord[]): Promise<void>;
  /** `meter`: `owner/<owner>`. */
  setOwnerLimits(meter: string, generation: number, limits: readonly Limit[]): Promise<void>;
  putRecord(hash: KeyHash, record: EdgeRecord): Promise<void>;
}

/** The key of a record in the KV namespace `KEYS`. */
export function kvKeyOf(hash: KeyHash): string {
  return `key:${hash}`;
}

export function createEdgeSink(env: Pick<Env, "KEY_METER" | "KEYS">, workspace: string): EdgeSink {
  const meterOf = (name: string): MeterPublisher =>
    // The stub has every method of the class; its mapped type turns `unknown` metadata into `never`.
    env.KEY_METER.getByName(`${workspace}/${name}`);
  return {
    async publish(lineageId, records) {
      await meterOf(lineageId).publish(records);
    },
    async setOwnerLimits(meter, generation, limits) {
      await meterOf(meter).setOwnerLimits(generation, limits);
    },
    async putRecord(hash, record) {
      await env.KEYS.put(kvKeyOf(hash), JSON.stringify(record));
    },
  };
}
