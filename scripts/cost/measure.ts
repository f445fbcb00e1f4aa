import { scaleUnits } from "../../src/usage/cost-bill.ts";
import { OBJECT_GB } from "../../src/usage/price-sheet.ts";
import type { Units } from "../../src/usage/price-sheet.ts";
import { runtimeCpuMicros } from "./cpu.ts";
import type { CostLab } from "./lab.ts";
import { distinctShare, MONTH_SECONDS, paceOf } from "./shapes.ts";
import type { ShapeName, Volume } from "./shapes.ts";
import type { WorkerUnits } from "./units.ts";

/** Runs one case and turns what was counted into units of a bill, per request. */

/** A call that wakes an idle object keeps it active this long: storage that is replicated takes longer than a local disk. Assumed, and on the high side. */
export const CALL_MS = 10;
/** An object that asks another one, far away at worst, is active for the way there and back. Assumed, and on the high side. */
export const WAIT_MS = 80;

/** A lease, its release, and some time for it. */
const LEASE_SECONDS = 6;

export interface Case {
  readonly shape: ShapeName;
  readonly volume: Volume;
  readonly counted: WorkerUnits;
  /** Processor time of the whole runtime per request, ms; `null` where the system does not tell. */
  readonly cpuMs: number | null;
  /** How far requests came behind their time on average, ms of the lab's clock. */
  readonly lateMs: number;
  /** Units per request, CPU apart. */
  readonly units: Units;
  /** The part of them that happens later than the run can see: roll-ups, deletions, reconciliation. Derived. */
  readonly later: Units;
  /** The first key that the next cold case may take. */
  readonly nextCold: number;
}

export async function measureCase(
  lab: CostLab,
  shape: ShapeName,
  volume: Volume,
  options: { readonly quick: boolean; readonly slowness: number; readonly seed: number; readonly firstCold: number },
): Promise<Case> {
  const { warmUpSeconds, seconds, speed } = paceOf(shape, volume, options);
  const requestsPerSecond = volume.requestsPerMonth / MONTH_SECONDS;
  const keys = shape === "hot" ? lab.keys.slice(0, 1) : lab.keys;
  const order = { isolates: volume.isolates, requestsPerSecond, keys, seed: options.seed };
  const pickFrom = (first: number) =>
    shape === "cold" ? ({ kind: "turns", first, stride: 1 } as const) : ({ kind: "zipf" } as const);
  // Timers of the case before end at the pace that they were set at; then what it left in memory goes cold.
  await lab.wait(LEASE_SECONDS);
  await lab.setSpeed(60);
  await lab.wait(75);
  await lab.setSpeed(speed);
  const warmUp = await lab.drive({ ...order, seconds: warmUpSeconds, pick: pickFrom(options.firstCold) });
  await lab.settleLedger();
  const rowsBefore = await lab.ledgerRows();
  await lab.reset();
  const cpuBefore = runtimeCpuMicros();
  const report = await lab.drive({
    ...order,
    seconds,
    seed: order.seed + 1_000,
    pick: pickFrom(options.firstCold + warmUp.sent + 100),
  });
  const cpuAfter = runtimeCpuMicros();
  await lab.settleLedger();
  const counted = await lab.units();
  const rowsLeft = (await lab.ledgerRows()) - rowsBefore;
  const later = laterUnits(shape, { requestsPerSecond, keys: lab.keys.length }, rowsLeft / counted.requests);
  const cpuMs = cpuBefore === null || cpuAfter === null ? null : (cpuAfter - cpuBefore) / 1_000 / counted.requests;
  return {
    shape,
    volume,
    counted,
    cpuMs,
    lateMs: report.lateMs,
    later,
    units: perRequest(counted),
    nextCold: options.firstCold + warmUp.sent + report.sent + 200,
  };
}

export function perRequest(counted: WorkerUnits): Units {
  let objectRequests = 0;
  let activeMs = 0;
  let rowsRead = 0;
  let rowsWritten = 0;
  for (const of of Object.values(counted.objects)) {
    objectRequests += of.requests;
    activeMs += of.timerMs + of.idleCalls * CALL_MS + of.waits * WAIT_MS;
    rowsRead += of.rowsRead;
    rowsWritten += of.rowsWritten;
  }
  const units: Units = {
    requests: counted.requests + counted.invocations,
    kvReads: counted.kvReads,
    kvWrites: counted.kvWrites,
    objectRequests,
    objectGbSeconds: (activeMs / 1_000) * OBJECT_GB,
    rowsRead,
    rowsWritten,
    queueOperations: counted.queueOperations,
    logEvents: counted.logLines,
  };
  return scaleUnits(units, 1 / counted.requests);
}

const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;

const MINUTE_SECONDS = 60;
/** The ledger puts 256 series into a new row and at most 512 into any, and as many keys into a row of last uses. */
const THINGS_PER_ROW = 256;
/** Each key is asked with from two countries. */
const SERIES_PER_KEY = 2;
/** The registry's row of a key, and its index by last use. */
const LAST_USE_ROWS = 2;

/**
 * What a run of minutes cannot see: rows of minutes and batches are deleted; hours and days are summed and deleted; once an hour the
 * ledger and the registry note that a key is in use, and the cron asks the key's meter what it spent.
 */
export function laterUnits(
  shape: ShapeName,
  traffic: { readonly requestsPerSecond: number; readonly keys: number },
  rowsLeftShare: number,
): Units {
  const hourly = distinctShare(shape, traffic, HOUR_SECONDS);
  const sumRows = (spanSeconds: number): number => {
    const requests = traffic.requestsPerSecond * spanSeconds;
    const series = distinctShare(shape, traffic, spanSeconds) * requests * SERIES_PER_KEY;
    return Math.max(1, series / THINGS_PER_ROW) / requests;
  };
  // Keys note their use at moments of their own, so that each minute touches rows of many; never more rows than keys.
  const keys = hourly * traffic.requestsPerSecond * HOUR_SECONDS;
  const useRows = Math.max(1, keys / THINGS_PER_ROW) / (traffic.requestsPerSecond * MINUTE_SECONDS);
  return {
    rowsWritten:
      rowsLeftShare +
      2 * sumRows(HOUR_SECONDS) +
      2 * sumRows(DAY_SECONDS) +
      Math.min(hourly, useRows) +
      LAST_USE_ROWS * hourly,
    objectRequests: hourly,
    objectGbSeconds: hourly * (CALL_MS / 1_000) * OBJECT_GB,
  };
}
