import type { DatasetSink } from "./config.ts";
import type { SinkEvent, SinkMessage } from "./message.ts";

/**
 * Events as data points of Analytics Engine. A dataset takes a point without saying whether it has it, and has no ids: a repeat is
 * there twice, told by `blob1`.
 */

export interface DataPoint {
  /** What is sampled alike: at most 96 bytes. */
  readonly indexes: readonly [string];
  /** At most 20, of 5 KB together. */
  readonly blobs: readonly string[];
  /** At most 20. */
  readonly doubles: readonly number[];
}

interface Dataset {
  writeDataPoint(point: DataPoint): void;
}

/** Throws where there is no dataset, or it does not take a point. */
export function writePoints({ dataset: binding }: DatasetSink, message: SinkMessage, env: object): void {
  const dataset: unknown = Reflect.get(env, binding);
  if (!isDataset(dataset)) throw new Error(`wrangler.toml lacks the dataset ${binding}`);
  for (const event of message.events) dataset.writeDataPoint(toDataPoint(event));
}

/** The order is a promise: whoever asks a dataset names columns by number. `docs/sinks.md` has it. */
export function toDataPoint(event: SinkEvent): DataPoint {
  return {
    indexes: [event.keyId ?? event.workspace],
    blobs: [
      event.id,
      event.requestId,
      event.workspace,
      event.keyId,
      event.lineageId,
      event.owner,
      event.environment,
      event.method,
      event.upstream,
      event.route,
      event.code,
      event.country,
      event.colo,
      event.clientIp,
      event.userAgentFamily,
      event.tokenId,
      event.mintedTokenId,
    ].map((text) => text ?? ""),
    doubles: [
      event.time,
      event.status,
      event.cost,
      event.latencyMs,
      event.authMs,
      event.upstreamMs ?? -1,
      event.bytesIn,
      event.bytesOut,
      event.asn ?? 0,
      event.degraded ? 1 : 0,
    ],
  };
}

function isDataset(value: unknown): value is Dataset {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "writeDataPoint") === "function";
}
