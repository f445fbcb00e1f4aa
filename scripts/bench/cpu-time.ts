import { readdirSync, readFileSync } from "node:fs";

/**
 * Processor time of processes, from Linux's own accounting. Nanoseconds come from the scheduler's figures of each thread
 * (`/proc/PID/task/TID/schedstat`); the ticks of `/proc/PID/stat`, which also count threads that are gone, are the cross-check.
 */

export interface CpuTime {
  /** Time on a processor, all live threads. */
  readonly scheduledMicros: number;
  /** User and system time in ticks of 10 ms. */
  readonly tickMicros: number;
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const TICK_MICROS = 10_000;

/** Fields of `/proc/PID/stat` after the command's closing parenthesis: utime is the 14th, stime the 15th of the line. */
const UTIME = 11;
const STIME = 12;

/** Throws where there is no such process, or no Linux. */
export function cpuTimeOf(pids: readonly number[]): CpuTime {
  let scheduledMicros = 0;
  let tickMicros = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    tickMicros += (Number(fields[UTIME]) + Number(fields[STIME])) * TICK_MICROS;
    for (const thread of readdirSync(`/proc/${pid}/task`)) scheduledMicros += threadNanos(pid, thread) / 1_000;
  }
  return { scheduledMicros, tickMicros };
}

/** 0 for a thread that has just ended. */
function threadNanos(pid: number, thread: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    return 0;
  }
}
