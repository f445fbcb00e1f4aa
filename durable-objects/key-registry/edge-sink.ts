import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { recordKey } from "../../src/keys/edge-record.ts";
import type { HeldRecord, MeterPublisher } from "./api.ts";

/** Where the outbox delivers to. Each call may fail or hang; the caller bounds and repeats it. */
export interface EdgeSink {
  publish(lineageId: string, records: readonly EdgeRecord[]): Promise<readonly HeldRecord[]>;
  /** `meter`: `owner/<owner>`. */
  setOwnerLimits(meter: string, generation: number, limits: readonly Limit[]): Promise<number>;
  putRecord(hash: KeyHash, record: EdgeRecord): Promise<void>;
}

export function createEdgeSink(env: Pick<Env, "KEY_METER" | "KEYS">, workspace: string): EdgeSink {
  const meterOf = (name: string): MeterPublisher =>
    // The stub has every method of the class; its mapped type turns `unknown` metadata into `never`.
    env.KEY_METER.getByName(`${workspace}/${name}`);
  return {
    async publish(lineageId, records) {
      return await meterOf(lineageId).publish(records);
    },
    async setOwnerLimits(meter, generation, limits) {
      return await meterOf(meter).setOwnerLimits(generation, limits);
    },
    async putRecord(hash, record) {
      await env.KEYS.put(recordKey(hash), JSON.stringify(record));
    },
  };
}
