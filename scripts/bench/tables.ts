import { figure } from "../report/table.ts";
import type { Rows } from "../report/table.ts";
import type { Figures } from "./figures.ts";
import type { Spread } from "./statistics.ts";

/** The figures as tables, for the terminal and for the page. */

function rangeOf({ least, greatest }: Spread): string {
  return `${figure(least)}–${figure(greatest)}`;
}

const optional = (value: number | null): string => (value === null ? "-" : figure(value));

export function candidateRows({ candidates }: Figures): Rows {
  const head = [
    "candidate",
    "CPU µs",
    "least–greatest",
    "added µs",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "p50 full",
    "p99 full",
  ];
  const rows = Object.entries(candidates).map(([name, one]) => [
    name,
    figure(one.cpuMicrosPerRequest),
    rangeOf(one.cpuSpread),
    optional(one.addedCpuMicros),
    figure(one.requestsPerSecond),
    optional(one.p50Ms),
    optional(one.p99Ms),
    figure(one.saturatedP50Ms),
    figure(one.saturatedP99Ms),
  ]);
  return [head, ...rows];
}

export function coldRows({ coldIsolate }: Figures): Rows {
  const head = ["cold isolate", "median", "least–greatest"];
  if (coldIsolate === null) return [head];
  const { firstMs, secondMs, firstCpuMicros } = coldIsolate;
  return [
    head,
    ["first request, ms", figure(firstMs.median), rangeOf(firstMs)],
    ["second request, ms", figure(secondMs.median), rangeOf(secondMs)],
    ["first request, CPU µs", figure(firstCpuMicros.median), rangeOf(firstCpuMicros)],
  ];
}

export function countRows({ counted, perThousand }: Figures): Rows {
  const head = ["operations of a hot key", "counted", "per 1,000 requests"];
  if (counted === null || perThousand === null) return [head];
  const row = (name: string, count: number): string[] => [
    name,
    figure(count),
    figure((count * 1_000) / counted.requests),
  ];
  return [
    head,
    row("requests", counted.requests),
    row("KV reads", counted.kvReads),
    row("meter calls", counted.meterCalls),
    row("rows written by the meter", counted.rowsWritten),
    row("queue messages", counted.queueMessages),
    row("rows written later by the consumer (ledger, registry)", counted.consumerRowsWritten),
  ];
}
