import { addUnits, marginalTotalUsd, monthlyBill, scaleUnits } from "../../src/usage/cost-bill.ts";
import { OBJECT_GB } from "../../src/usage/price-sheet.ts";
import type { Units } from "../../src/usage/price-sheet.ts";
import type { CpuFigures } from "./cpu.ts";
import { CALL_MS } from "./measure.ts";
import type { Case } from "./measure.ts";
import { DERIVED_REQUESTS_PER_MONTH, REFERENCE_REQUESTS_PER_MONTH, SHAPES } from "./shapes.ts";
import type { ShapeName } from "./shapes.ts";

/** What the run says, case by case, beside the naive way. */

export interface Row {
  readonly shape: ShapeName;
  readonly requestsPerMonth: number;
  readonly isolates: number;
  /** `counted` in a run at this rate, or `derived` from the largest one. */
  readonly how: "counted" | "derived";
  /** Per request. */
  readonly units: Units;
  /** Of them, what is derived: it happens after the run. */
  readonly later: Units;
  /** Calls of objects per 1,000 requests, by class and method. */
  readonly callsPerThousand: Readonly<Record<string, number>>;
  /** What more requests cost, without what the plan includes. */
  readonly usdPerMillion: number;
  readonly usdPerMonth: number;
  readonly naiveUsdPerMillion: number;
  readonly naiveUsdPerMonth: number;
}

/**
 * What one would write first: for each request a KV read, a call to an object, a row, a message on a queue (written, read and
 * deleted), and the platform's own log line. The same whatever the traffic: by definition, so that nothing is to be counted.
 */
export function naiveUnits(cpuMs: number): Units {
  return {
    requests: 1,
    cpuMs,
    kvReads: 1,
    objectRequests: 1,
    objectGbSeconds: (CALL_MS / 1_000) * OBJECT_GB,
    rowsRead: 1,
    rowsWritten: 1,
    queueOperations: 3,
    logEvents: 1,
  };
}

/** Requests that asked for a lease, as a share: these take a cold request's processor time. */
export function askingShare({ counted }: Case): number {
  const asked = Object.entries(counted.calls)
    .filter(([name]) => ASKING.test(name))
    .reduce((most, [, count]) => Math.max(most, count), 0);
  return Math.min(1, asked / counted.requests);
}

function perThousand({ counted }: Case): Readonly<Record<string, number>> {
  const rates = Object.entries(counted.calls).map(([name, count]) => [name, (count * 1_000) / counted.requests]);
  return Object.fromEntries(rates) as Record<string, number>; // a name and a number each, as made above
}

const ASKING = /\.(?:acquire|introduce)$/;

/** `clockwork` are the units of a month that no request causes: the cron. */
export function toRows(cases: readonly Case[], cpu: CpuFigures, clockwork: Units): readonly Row[] {
  const naive = naiveUnits(cpu.naiveMs);
  const rowOf = (one: Case, requestsPerMonth: number): Row => {
    const cpuMs = cpu.warmMs + (cpu.coldMs - cpu.warmMs) * askingShare(one);
    const units = addUnits(one.units, one.later, { cpuMs }, scaleUnits(clockwork, 1 / requestsPerMonth));
    const counted = one.volume.requestsPerMonth === requestsPerMonth;
    return {
      shape: one.shape,
      requestsPerMonth,
      isolates: counted ? one.volume.isolates : (one.volume.isolates * requestsPerMonth) / one.volume.requestsPerMonth,
      how: counted ? "counted" : "derived",
      units,
      later: one.later,
      callsPerThousand: perThousand(one),
      usdPerMillion: marginalTotalUsd(units) * 1e6,
      usdPerMonth: monthlyBill(scaleUnits(units, requestsPerMonth)).totalUsd,
      naiveUsdPerMillion: marginalTotalUsd(naive) * 1e6,
      naiveUsdPerMonth: monthlyBill(scaleUnits(naive, requestsPerMonth)).totalUsd,
    };
  };
  return SHAPES.flatMap(({ name }) => {
    const own = cases.filter(({ shape }) => shape === name);
    const largest = own.at(-1);
    const rows = own.map((one) => rowOf(one, one.volume.requestsPerMonth));
    return largest === undefined ? rows : [...rows, rowOf(largest, DERIVED_REQUESTS_PER_MONTH)];
  });
}

/** The row that stands for its shape. Throws when it was not run. */
export function referenceRow(rows: readonly Row[], shape: ShapeName): Row {
  const found = rows.find((row) => row.shape === shape && row.requestsPerMonth === REFERENCE_REQUESTS_PER_MONTH);
  if (found === undefined) throw new RangeError(`${shape} was not run at the reference volume`);
  return found;
}
