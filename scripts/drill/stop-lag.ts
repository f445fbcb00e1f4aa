import { setTimeout as sleep } from "node:timers/promises";
import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import type { Edge } from "../lab/edges.ts";
import { isAdmitted } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Lab } from "./drill.ts";
import { startLoad } from "./load.ts";

/** How long a key that was stopped still works where it is in use. */

const PER_SECOND = 30;
const WARM_MS = 1_000;
const WATCH_MS = REVOCATION_BOUND_SECONDS * 1_000 + 500;

export interface StopLag {
  /** From the change's answer to the sending of the last request that was admitted; 0 when none was sent later. */
  readonly lagMs: number;
  /** Sent after the change's answer, and admitted. */
  readonly letThrough: number;
  readonly seen: readonly Seen[];
}

export interface StopLagOptions {
  readonly key: string;
  readonly path?: string;
  /** Turn by turn. */
  readonly edges: readonly Edge[];
  /** The change; its answer starts the clock. */
  readonly stop: () => Promise<unknown>;
  readonly watchMs?: number;
}

export async function measureStopLag({ client }: Lab, options: StopLagOptions): Promise<StopLag> {
  const { key, path = "/used", edges, stop, watchMs = WATCH_MS } = options;
  const load = startLoad(PER_SECOND, async (index) => {
    const edge = edges[index % edges.length];
    return await client.send({ url: edge?.url ?? "", key, path });
  });
  await sleep(WARM_MS);
  await stop();
  const stoppedAt = Date.now();
  await sleep(watchMs);
  const seen = await load.stop();
  const late = seen.filter((one) => isAdmitted(one) && one.sentAt > stoppedAt);
  return { lagMs: Math.max(0, ...late.map(({ sentAt }) => sentAt - stoppedAt)), letThrough: late.length, seen };
}
