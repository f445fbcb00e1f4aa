import { AsyncLocalStorage } from "node:async_hooks";
import { fromMachineTime, toMachineTime } from "./fast-clock.ts";
import { noObjectUnits } from "./units.ts";
import type { ObjectUnits } from "./units.ts";

/**
 * Counts what Durable Objects do, by class: calls, rows (as the platform's cursors report them), and what keeps an object
 * awake. An object is billed while it handles a call or cannot hibernate; a pending timer keeps it from hibernating.
 */

/** One object, of whatever class. */
interface Watched {
  readonly className: string;
  /** Read at the end of a call, when they are complete. */
  cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[];
  timers: number;
  /** Since when a timer has kept it awake; 0: none does. */
  awakeSince: number;
  callsUnderWay: number;
}

const byState = new WeakMap<DurableObjectState, Watched>();
/** Objects with a pending timer. */
const awake = new Set<Watched>();
const current = new AsyncLocalStorage<Watched>();
const units = new Map<string, ObjectUnits>();
const calls = new Map<string, number>();

function unitsOf(className: string): ObjectUnits {
  let found = units.get(className);
  if (found === undefined) {
    found = noObjectUnits();
    units.set(className, found);
  }
  return found;
}

/** To be called with what the constructor is given, before the class under count sees it. */
export function watchState(ctx: DurableObjectState, className: string): DurableObjectState {
  const watched: Watched = { className, cursors: [], timers: 0, awakeSince: 0, callsUnderWay: 0 };
  byState.set(ctx, watched);
  const { storage } = ctx;
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  const countedExec = (query: string, ...bindings: unknown[]) => {
    const cursor = exec(query, ...bindings);
    watched.cursors.push(cursor);
    return cursor;
  };
  Object.defineProperty(sql, "exec", { value: countedExec });
  watchAlarms(storage, className);
  return ctx;
}

/** Each `setAlarm` is a row. The runtime fires alarms by the machine's clock, the object reckons by the lab's. */
function watchAlarms(storage: DurableObjectStorage, className: string): void {
  const setAlarm = storage.setAlarm.bind(storage);
  const getAlarm = storage.getAlarm.bind(storage);
  const countedSetAlarm = async (at: number | Date, options?: DurableObjectSetAlarmOptions) => {
    unitsOf(className).rowsWritten += 1;
    await setAlarm(toMachineTime(Number(at)), options);
  };
  const shiftedGetAlarm = async (options?: DurableObjectGetAlarmOptions) => {
    const at = await getAlarm(options);
    return at === null ? null : Math.round(fromMachineTime(at));
  };
  Object.defineProperty(storage, "setAlarm", { value: countedSetAlarm });
  Object.defineProperty(storage, "getAlarm", { value: shiftedGetAlarm });
}

function settleRows(watched: Watched): void {
  const of = unitsOf(watched.className);
  for (const cursor of watched.cursors) {
    of.rowsWritten += cursor.rowsWritten;
    of.rowsRead += cursor.rowsRead;
  }
  watched.cursors = [];
}

interface Class {
  readonly prototype: object;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Counts every call of the methods that `counted` inherits. `root` is the platform's own base class, where it ends. */
export function countMethods(counted: Class, className: string, root: Class): void {
  const names = new Set<string>();
  let at: object | null = Object.getPrototypeOf(counted.prototype) as object | null; // a prototype is an object or null
  for (; at !== null && at !== root.prototype; at = Object.getPrototypeOf(at) as object | null) {
    for (const name of Object.getOwnPropertyNames(at)) if (name !== "constructor") names.add(name);
  }
  for (const name of names) {
    const method: unknown = Reflect.get(counted.prototype, name);
    if (typeof method !== "function") continue;
    const counting = countCalls(method as Method, className, name);
    Object.defineProperty(counted.prototype, name, { value: counting, configurable: true, writable: true });
  }
}

function countCalls(method: Method, className: string, name: string): Method {
  return function counted(this: unknown, ...args) {
    // `ctx` is protected, not hidden: every object of the platform has it.
    const watched = byState.get((this as { readonly ctx: DurableObjectState }).ctx);
    // An object that calls itself makes no request.
    if (watched === undefined || current.getStore() === watched) return Reflect.apply(method, this, args);
    const of = unitsOf(className);
    of.requests += 1;
    if (name === "alarm") of.alarms += 1;
    if (watched.timers === 0 && watched.callsUnderWay === 0) of.idleCalls += 1;
    const label = `${className}.${name}`;
    calls.set(label, (calls.get(label) ?? 0) + 1);
    return current.run(watched, () => follow(watched, () => Reflect.apply(method, this, args)));
  };
}

function follow(watched: Watched, call: () => unknown): unknown {
  watched.callsUnderWay += 1;
  const end = (): void => {
    watched.callsUnderWay -= 1;
    settleRows(watched);
  };
  let answer: unknown;
  try {
    answer = call();
  } catch (error) {
    end();
    throw error;
  }
  if (!(answer instanceof Promise)) {
    end();
    return answer;
  }
  return answer.finally(end);
}

/** Called for each call that code in this isolate makes to an object: those made by an object keep it awake meanwhile. */
export function noteOutboundCall(): void {
  const watched = current.getStore();
  if (watched !== undefined && watched.timers === 0) unitsOf(watched.className).waits += 1;
}

const releases = new Map<unknown, () => void>();
const clearAny = globalThis.clearTimeout.bind(globalThis) as (timer: unknown) => void; // whatever `setTimeout` gave
const setAny = globalThis.setTimeout.bind(globalThis);

/** Timers of objects, from now on. Those that end a wait for a call are no others: the call is counted as a wait. */
export function countTimers(): void {
  const counted = (work: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const watched = current.getStore();
    // A timer set while a call waits for another object ends with that call (`within`).
    if (watched === undefined) return setAny(work, ms, ...args);
    const release = keepAwake(watched);
    const timer = setAny(() => {
      releases.delete(timer);
      try {
        work(...args);
      } finally {
        if (watched.callsUnderWay === 0) settleRows(watched);
        release();
      }
    }, ms);
    releases.set(timer, release);
    return timer;
  };
  // The same calls, counted: the platform's overloads add nothing here.
  globalThis.setTimeout = counted as typeof globalThis.setTimeout;
  const clear = (timer: unknown) => {
    releases.get(timer)?.();
    releases.delete(timer);
    clearAny(timer);
  };
  globalThis.clearTimeout = clear;
}

function keepAwake(watched: Watched): () => void {
  if (watched.timers === 0) {
    watched.awakeSince = Date.now();
    awake.add(watched);
  }
  watched.timers += 1;
  return () => {
    watched.timers -= 1;
    if (watched.timers > 0) return;
    awake.delete(watched);
    unitsOf(watched.className).timerMs += Math.max(0, Date.now() - watched.awakeSince);
  };
}

/** What was counted since the last reset. Objects that are awake are counted up to now. */
export function readObjectUnits(): {
  readonly objects: Record<string, ObjectUnits>;
  readonly calls: Record<string, number>;
} {
  const now = Date.now();
  for (const watched of awake) {
    unitsOf(watched.className).timerMs += Math.max(0, now - watched.awakeSince);
    watched.awakeSince = now;
  }
  return { objects: Object.fromEntries(units), calls: Object.fromEntries(calls) };
}

export function resetObjectUnits(): void {
  readObjectUnits();
  units.clear();
  calls.clear();
}
