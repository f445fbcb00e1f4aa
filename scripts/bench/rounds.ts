import { figure } from "../report/table.ts";
import type { ClosedResult, PacedPlan } from "./load.ts";
import { runLoad } from "./load.ts";
import { answered, loadClosed } from "./measure.ts";
import type { Round, Started } from "./measure.ts";
import { cpuTimeOf } from "./cpu-time.ts";
import { say } from "./session.ts";
import { percentile } from "./statistics.ts";

/** The measured phases: rounds at saturation, then a low constant rate. */

const CONNECTIONS = 16;

export interface RoundsPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** A turn of a candidate whose requests can be sent only once. */
const ONCE_WARM_UP = 200;
const ONCE_PER_ROUND = 300;
/** Left for the low rate. */
const ONCE_PACED = 800;

/** A B C A B C: what changes on the machine over time meets all of them. */
export async function runRounds(
  list: readonly Started[],
  { rounds, seconds, warmUpSeconds }: RoundsPlan,
): Promise<ReadonlyMap<string, readonly Round[]>> {
  const results = new Map<string, Round[]>(list.map(({ candidate }) => [candidate.name, []]));
  say(`warming up ${list.length} candidates`);
  for (const one of list) {
    await loadClosed(one, { connections: CONNECTIONS, seconds: warmUpSeconds, onceRequests: ONCE_WARM_UP });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const one of list) {
      const share = Math.floor((one.left.length - ONCE_PACED) / (rounds - round + 1));
      const onceRequests = Math.min(ONCE_PER_ROUND, share);
      const result = await loadClosed(one, { connections: CONNECTIONS, seconds, onceRequests });
      const { name } = one.candidate;
      results.get(name)?.push(result);
      const cpu = `${figure(result.cpuMicrosPerRequest)} µs of processor a request`;
      say(`round ${round} of ${rounds}, ${name}: ${cpu}, ${figure(result.requestsPerSecond)} requests/s`);
    }
  }
  return results;
}

/** One candidate at the low rate. */
export interface Paced {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosPerRequest: number;
  /** How late the generator itself was at most, in this candidate's group. */
  readonly latestMs: number;
}

/** By turns within a group, so that both sides of a difference meet the same moments. The first three are those of the targets. */
const GROUP = 3;

/** Of the groups after the first. */
const LATER_GROUP_SECONDS = 8;

/** `seconds`: of the first group. */
export async function runPaced(
  list: readonly Started[],
  { ratePerSecond, seconds }: Pick<PacedPlan, "ratePerSecond" | "seconds">,
): Promise<ReadonlyMap<string, Paced>> {
  const results = new Map<string, Paced>();
  for (let from = 0; from < list.length; from += GROUP) {
    const group = list.slice(from, from + GROUP);
    const names = group.map(({ candidate }) => candidate.name);
    const plan = { ratePerSecond, seconds: from === 0 ? seconds : Math.min(seconds, LATER_GROUP_SECONDS) };
    say(`${plan.ratePerSecond} requests/s to each of ${names.join(", ")} for ${plan.seconds} s`);
    for (const [name, paced] of await runGroup(group, plan)) results.set(name, paced);
  }
  return results;
}

async function runGroup(
  group: readonly Started[],
  { ratePerSecond, seconds }: Pick<PacedPlan, "ratePerSecond" | "seconds">,
): Promise<readonly (readonly [string, Paced])[]> {
  const time = (): readonly number[] => group.map(({ running }) => cpuTimeOf(running.pids()).scheduledMicros);
  const targets = group.map(({ candidate: { name }, running, left }) => ({
    name,
    url: running.url,
    requests: running.once === true ? left.splice(0, ratePerSecond * seconds) : running.requests,
  }));
  const before = time();
  const { lanes, latestMs } = await runLoad({ kind: "paced", targets, ratePerSecond, seconds });
  const after = time();
  return group.map(({ candidate, running }, index) => {
    const lane = lanes[index];
    if (lane === undefined) throw new Error(`${candidate.name} was not measured`);
    const result: Pick<ClosedResult, "statuses" | "errors"> = lane;
    const requests = answered(candidate, running, result);
    return [
      candidate.name,
      {
        requests,
        p50Ms: percentile(lane.latenciesMs, 50),
        p99Ms: percentile(lane.latenciesMs, 99),
        cpuMicrosPerRequest: ((after[index] ?? Number.NaN) - (before[index] ?? Number.NaN)) / requests,
        latestMs,
      },
    ];
  });
}
