import type { Candidate, RequestShape, Running } from "./candidate.ts";
import { cpuTimeOf } from "./cpu-time.ts";
import { runLoad } from "./load.ts";
import type { ClosedResult } from "./load.ts";

/** Loads candidates and reads the processor time of their processes. */

export interface Started {
  readonly candidate: Candidate;
  readonly running: Running;
  /** Requests of a `once` candidate that are still to be sent. */
  readonly left: RequestShape[];
  /** Why its figures count for nothing: it answered otherwise than it must. */
  failure: string | null;
}

/** One candidate in one round. */
export interface Round {
  readonly requests: number;
  readonly cpuMicrosPerRequest: number;
  /** The same from the ticks of /proc/PID/stat: a cross-check. */
  readonly tickMicrosPerRequest: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Amount {
  readonly connections: number;
  readonly seconds: number;
  /** Requests of a `once` candidate. */
  readonly onceRequests: number;
}

export function started(candidate: Candidate, running: Running): Started {
  return { candidate, running, left: running.once === true ? [...running.requests] : [], failure: null };
}

/** Keeps `connections` busy, each with its next request as soon as the last is answered. */
export async function loadClosed(one: Started, amount: Amount): Promise<Round> {
  const { candidate, running } = one;
  const once = running.once === true ? one.left.splice(0, amount.onceRequests) : null;
  if (once?.length === 0) throw new Error(`${candidate.name} has no requests left`);
  const before = cpuTimeOf(running.pids());
  const result = await runLoad({
    kind: "closed",
    url: running.url,
    requests: once ?? running.requests,
    connections: amount.connections,
    seconds: amount.seconds,
    amount: once?.length ?? null,
  });
  const after = cpuTimeOf(running.pids());
  const requests = answered(candidate, running, result);
  return {
    requests,
    cpuMicrosPerRequest: (after.scheduledMicros - before.scheduledMicros) / requests,
    tickMicrosPerRequest: (after.tickMicros - before.tickMicros) / requests,
    requestsPerSecond: requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
  };
}

/** How many were answered as expected. Throws `WrongAnswers` when any was not: a figure over failures means nothing. */
export function answered(
  { name }: Candidate,
  { expectedStatus }: Running,
  { statuses, errors }: Pick<ClosedResult, "statuses" | "errors">,
): number {
  const expected = statuses[String(expectedStatus)] ?? 0;
  const total = Object.values(statuses).reduce((sum, count) => sum + count, 0);
  if (expected > 0 && expected === total && errors === 0) return expected;
  const got = Object.entries(statuses).map(([status, count]) => `${count} times ${status}`);
  throw new WrongAnswers(
    `${name} answered ${[...got, `${errors} errors`].join(", ")}, not ${expectedStatus} each time`,
  );
}

/** A candidate did not do what it is measured for. */
class WrongAnswers extends Error {
  override readonly name = "WrongAnswers";
}

/** Runs one candidate's turn. One that answers wrongly is out of the run: its figures count for nothing, the others' stand. */
export async function takeTurn(one: Started, turn: () => Promise<void>): Promise<void> {
  if (one.failure !== null) return;
  try {
    await turn();
  } catch (error) {
    if (!(error instanceof WrongAnswers)) throw error;
    one.failure = error.message;
    process.stderr.write(`${error.message}\n`);
  }
}
