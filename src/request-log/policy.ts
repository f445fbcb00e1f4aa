import type { GatewayConfig } from "../config.ts";
import { DEFAULT_REQUEST_LOG_DAYS, DEFAULT_REQUEST_LOG_MEGABYTES } from "../constants.ts";

/** What the configuration says of kept requests, with its defaults. */
export interface RequestLogPolicy {
  /** Share of the requests that were let in. */
  readonly sampleRate: number;
  readonly retentionMs: number;
  readonly maxBytes: number;
}

const DEFAULT_SAMPLE_RATE = 0.01;
const DAY_MS = 86_400_000;
const MEGABYTE = 1_048_576;

/** `null`: nothing is kept. */
export function requestLogOf({ requestLog = {} }: Pick<GatewayConfig, "requestLog">): RequestLogPolicy | null {
  if (requestLog === false) return null;
  const { sampleRate = DEFAULT_SAMPLE_RATE, retentionDays, maxMegabytes } = requestLog;
  return {
    sampleRate,
    retentionMs: (retentionDays ?? DEFAULT_REQUEST_LOG_DAYS) * DAY_MS,
    maxBytes: (maxMegabytes ?? DEFAULT_REQUEST_LOG_MEGABYTES) * MEGABYTE,
  };
}
