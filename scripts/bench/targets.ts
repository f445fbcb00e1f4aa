import { EVENT_FLUSH_COUNT, EVENT_FLUSH_MS, LEASE_RENEW_AHEAD_MS, LEASE_TTL_MS } from "../../src/constants.ts";
import { figure } from "../report/table.ts";
import type { Target } from "../report/table.ts";
import type { Operations } from "./counting.ts";
import type { Figures } from "./figures.ts";

/** What the benchmark must show. Only what was measured is judged: `--only` leaves the rest out. */

export const CPU_OVER_HONO_MAX = 1.12;
export const THROUGHPUT_OVER_HONO_MIN = 0.88;
const ADDED_P50_MAX_MS = 0.15;
const ADDED_P99_MAX_MS = 1;
const GARBAGE_OVER_FORWARDED_MAX = 0.5;
const NAIVE_OVER_LATCHKEY_MIN = 4;
const TOKEN_OVER_LATCHKEY_MAX = 1.1;
const EXCHANGES_PER_CORE_SECOND_MIN = 500;

/** Per 1,000 warm requests on a hot key. */
const KV_READS_MAX = 2;
const METER_CALLS_MAX = 20;
const ROWS_WRITTEN_MAX = 20;
const QUEUE_MESSAGES_MAX = 20;

function atMost(name: string, value: number | null, limit: number, unit = ""): Target[] {
  if (value === null || Number.isNaN(value)) return [];
  return [{ name, wanted: `≤ ${limit}${unit}`, measured: `${figure(value)}${unit}`, held: value <= limit }];
}

function atLeast(name: string, value: number | null, limit: number): Target[] {
  if (value === null || Number.isNaN(value)) return [];
  return [{ name, wanted: `≥ ${limit}`, measured: figure(value), held: value >= limit }];
}

/** Times: they need a machine that has nothing else to do. */
export function timeTargets({ ratios, addedMs, candidates, failures }: Figures): readonly Target[] {
  const own = candidates["latchkey"]?.addedCpuMicros ?? null;
  const exchangeMicros = candidates["exchange"]?.cpuMicrosPerRequest;
  const peers = Object.entries(candidates).filter(([, { family }]) => family === "peer");
  return [
    ...atMost("processor time, latchkey ÷ hono", ratios.cpuLatchkeyOverHono, CPU_OVER_HONO_MAX),
    ...atLeast("throughput, latchkey ÷ hono", ratios.throughputLatchkeyOverHono, THROUGHPUT_OVER_HONO_MIN),
    ...atMost("added latency at a low rate, p50", addedMs.p50, ADDED_P50_MAX_MS, " ms"),
    ...atMost("added latency at a low rate, p99", addedMs.p99, ADDED_P99_MAX_MS, " ms"),
    ...atMost("processor time, garbage ÷ latchkey", ratios.cpuGarbageOverLatchkey, GARBAGE_OVER_FORWARDED_MAX),
    ...atLeast("processor time, naive ÷ latchkey", ratios.cpuNaiveOverLatchkey, NAIVE_OVER_LATCHKEY_MIN),
    ...atMost("processor time, token ÷ latchkey", ratios.cpuTokenOverLatchkey, TOKEN_OVER_LATCHKEY_MAX),
    ...atLeast(
      "exchanges in a second of one core",
      exchangeMicros === undefined ? null : 1_000_000 / exchangeMicros,
      EXCHANGES_PER_CORE_SECOND_MIN,
    ),
    ...Object.entries(failures).map(([name, failure]) => ({
      name: `${name} answers as it must`,
      wanted: "always",
      measured: failure,
      held: false,
    })),
    ...peers.flatMap(([name, { addedCpuMicros }]) =>
      own === null || addedCpuMicros === null
        ? []
        : [
            {
              name: `added processor time, less than ${name}`,
              wanted: `< ${figure(addedCpuMicros)} µs`,
              measured: `${figure(own)} µs`,
              held: own < addedCpuMicros,
            },
          ],
    ),
  ];
}

/** A warm lease is renewed this often, however many requests stand on it. */
const RENEWAL_SECONDS = (LEASE_TTL_MS - LEASE_RENEW_AHEAD_MS) / 1_000;
/** An isolate asks a broker, a broker asks a meter; each may give something back too, and one more renewal may fall in. */
const CALLS_PER_RENEWAL = 4;
const ROWS_PER_RENEWAL = 2;
/** Messages that were not full: at both ends of the counted time. */
const PARTIAL_MESSAGES = 3;

/**
 * Counts: the same on any machine, but for what goes by the clock, which is allowed for the time that it took. The first four are the
 * public bounds; the others are what this design does, so that losing a part of it shows.
 */
export function countTargets(counted: Operations): readonly Target[] {
  const { requests, seconds } = counted;
  const per = (count: number): number => (count * 1_000) / requests;
  const renewals = Math.ceil(seconds / RENEWAL_SECONDS) + 1;
  const messages = Math.ceil(requests / EVENT_FLUSH_COUNT + (seconds * 1_000) / EVENT_FLUSH_MS) + PARTIAL_MESSAGES;
  const during = `in ${figure(seconds)} s`;
  return [
    ...atMost("KV reads per 1,000 warm requests", per(counted.kvReads), KV_READS_MAX),
    ...atMost("meter calls per 1,000 warm requests", per(counted.meterCalls), METER_CALLS_MAX),
    ...atMost("rows written per 1,000 warm requests", per(counted.rowsWritten), ROWS_WRITTEN_MAX),
    ...atMost("queue messages per 1,000 warm requests", per(counted.queueMessages), QUEUE_MESSAGES_MAX),
    exactly("KV reads of a warm key", counted.kvReads, 0),
    exactly("calls to objects other than brokers and meters", counted.otherCalls, 0),
    exactly(`different events of ${figure(requests)} requests`, counted.events, requests),
    ...atMost(`calls to brokers and meters ${during}`, counted.meterCalls, renewals * CALLS_PER_RENEWAL),
    ...atMost(`rows written ${during}`, counted.rowsWritten, renewals * ROWS_PER_RENEWAL),
    ...atMost(`queue messages ${during}`, counted.queueMessages, messages),
  ];
}

function exactly(name: string, value: number, wanted: number): Target {
  return { name, wanted: `= ${figure(wanted)}`, measured: figure(value), held: value === wanted };
}
