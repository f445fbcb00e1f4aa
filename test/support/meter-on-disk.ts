import type { ReleaseRequest } from "../../src/limits/acquire.ts";
import { type Counter, type MeterCheckpoint, type MeterState, newMeterState, settle } from "../../src/limits/meter.ts";
import { dueAfterCall, dueAfterWake, type MeterDue, noteWritten } from "../../src/limits/meter-writes.ts";

/** An idle object may lose its memory after this. */
const HIBERNATES_AFTER_MS = 10_000;

/**
 * A meter with storage and an alarm, as the Durable Object is one: the same rules say when it writes. It loses its memory
 * when it is idle for 10 s, and when it is told to. After each call it checks what must hold of memory and storage.
 */
export class MeterOnDisk {
  /** Rows that are paid for: checkpoints, and alarms that were set. */
  rows = 0;
  alarmsSet = 0;
  wakes = 0;
  /** The most units that a crash would have left unused at any moment, by counter. */
  readonly worstAhead = new Map<string, number>();
  state: MeterState = newMeterState(null);
  stored: MeterCheckpoint | null = null;
  readonly #setAlarm: (at: number) => void;
  /** There is one alarm: a new one replaces it. */
  #alarmAt = 0;
  #lastEventAt = -Infinity;

  constructor(setAlarm: (at: number) => void) {
    this.#setAlarm = setAlarm;
  }

  /** One call. `crashes`: memory goes in the middle of it, and neither its row nor its answer comes out. */
  call<T>(now: number, work: (state: MeterState) => T, crashes: boolean): T | null {
    this.#wake(now);
    const result = work(this.state);
    const due = dueAfterCall(this.state, now);
    if (crashes) {
      this.crash();
      return null;
    }
    this.#keep(due, now);
    this.#check(now);
    return result;
  }

  release({ returned, spent }: Pick<ReleaseRequest, "returned" | "spent">, now: number): void {
    this.call(now, (state) => settle(state, returned, spent), false);
  }

  /** An alarm's time has come. */
  ring(now: number): void {
    if (this.#alarmAt === 0 || this.#alarmAt > now) return;
    this.#alarmAt = 0;
    this.#wake(now);
    this.wakes++;
    this.#keep(dueAfterWake(this.state, now), now);
    this.#check(now);
  }

  crash(): void {
    this.state = newMeterState(this.stored);
  }

  #wake(now: number): void {
    if (now - this.#lastEventAt > HIBERNATES_AFTER_MS) this.crash();
    this.#lastEventAt = now;
  }

  #keep({ checkpoint, wakeAt }: MeterDue, now: number): void {
    if (wakeAt !== null) {
      this.rows++;
      this.alarmsSet++;
      this.#alarmAt = wakeAt;
      this.#setAlarm(wakeAt);
    }
    if (checkpoint === null) return;
    this.rows++;
    // Through JSON, as storage does it.
    this.stored = JSON.parse(JSON.stringify(checkpoint)) as MeterCheckpoint;
    noteWritten(this.state, now);
  }

  #check(now: number): void {
    for (const [name, counter] of this.state.counters) {
      if (counter.windowEnd <= now) continue;
      const ahead = this.#storedOf(name, counter) - counter.used;
      if (ahead < 0) throw new Error(`${name}: storage knows of ${-ahead} units fewer than are used`);
      if (ahead > 0) this.worstAhead.set(name, Math.max(this.worstAhead.get(name) ?? 0, ahead));
    }
  }

  /** What storage would count as used in this counter's window. */
  #storedOf(name: string, counter: Counter): number {
    const stored = this.stored?.counters[name];
    return stored?.start === counter.windowStart ? stored.reserved : 0;
  }
}
