/**
 * What the counting Worker (`counting-worker.ts`) counts and takes orders in: plain data, sent as JSON between it and
 * the measuring process.
 */

/** What the objects of one class did. */
export interface ObjectUnits {
  /** RPC calls and alarms: each is billed as a request. */
  requests: number;
  alarms: number;
  /** As the platform's cursors count them; a `setAlarm` is one more. */
  rowsWritten: number;
  rowsRead: number;
  /** Time that objects were kept awake by a pending timer, ms; two timers at once in one object count once. */
  timerMs: number;
  /** Calls that found their object idle: each wakes it for the time of a call. */
  idleCalls: number;
  /** Calls that an object made to another one, with nothing else keeping it awake: it waits for the way there and back. */
  waits: number;
}

/** What one Worker did since the last reset. */
export interface WorkerUnits {
  /** Requests that the gateway served. */
  requests: number;
  /** Of them, answers other than 200. */
  refused: number;
  /** Deliveries to the queue's consumer, and runs of the cron: invocations of the Worker too. */
  invocations: number;
  kvReads: number;
  kvWrites: number;
  queueMessages: number;
  /** Each message counts once for each 64 KB begun, for each of: written, read, deleted. */
  queueOperations: number;
  logLines: number;
  /** By name of the class. */
  objects: Record<string, ObjectUnits>;
  /** By name of the class and method. */
  calls: Record<string, number>;
}

/** Traffic that an isolate makes for itself. */
export interface DriveOrder {
  readonly seed: number;
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly keys: readonly string[];
  /** What the platform tells of where a request comes in. */
  readonly cf: Readonly<Record<string, string>>;
  /**
   * `zipf`: key number k (from 1) gets a share of 1/k; `turns`: the keys from `first` on, one after the other, every
   * `stride`th of them: none comes a second time before all others have come.
   */
  readonly pick:
    | { readonly kind: "zipf" }
    | { readonly kind: "turns"; readonly first: number; readonly stride: number };
}

export interface DriveReport {
  readonly sent: number;
  /** How far requests came behind their time on average, ms of the lab's clock: much of it would mean that the machine was too slow. */
  readonly lateMs: number;
}

/** Paths that the counting Worker answers itself. */
export const UNITS_PATH = "/__cost/units";
export const SPEED_PATH = "/__cost/speed";
export const DRIVE_PATH = "/__cost/drive";
/** How late requests have come since this was last asked, ms of the lab's clock. */
export const LATE_PATH = "/__cost/late";
/** How many rows the ledger of the default workspace keeps. */
export const ROWS_PATH = "/__cost/rows";

export function noObjectUnits(): ObjectUnits {
  return { requests: 0, alarms: 0, rowsWritten: 0, rowsRead: 0, timerMs: 0, idleCalls: 0, waits: 0 };
}

export function noWorkerUnits(): WorkerUnits {
  return {
    requests: 0,
    refused: 0,
    invocations: 0,
    kvReads: 0,
    kvWrites: 0,
    queueMessages: 0,
    queueOperations: 0,
    logLines: 0,
    objects: {},
    calls: {},
  };
}

const QUEUE_UNIT_BYTES = 64 * 1_024;

/** Operations that a message of so many bytes costs on its way through a queue: written, read and deleted. */
export function queueOperationsOf(bytes: number): number {
  return 3 * Math.max(1, Math.ceil(bytes / QUEUE_UNIT_BYTES));
}
