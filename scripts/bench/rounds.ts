import { figure } from "../report/table.ts";
import type { PacedPlan, PacedResult } from "./load.ts";
import { runLoad } from "./load.ts";
import { answered, loadClosed, takeTurn } from "./measure.ts";
import type { Round, Started } from "./measure.ts";
import { cpuTimeOf } from "./cpu-time.ts";
import { say } from "./session.ts";
import { percentile } from "./statistics.ts";

/** The measured phases: rounds at saturation, then a low constant rate. */

const CONNECTIONS = 16;

const connectionsOf = ({ running }: Started): number => (running.once === true ? ONCE_CONNECTIONS : CONNECTIONS);

export interface RoundsPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** A turn of a candidate whose requests can be sent only once. */
const ONCE_WARM_UP = 100;
const ONCE_PER_ROUND = 150;
/** A new object for each request: more at once would measure the disk's queue. */
const ONCE_CONNECTIONS = 4;
/** At the low rate: cold requests cost ten times a warm one. */
const ONCE_PER_SECOND = 20;
const ONCE_PACED = 200;

/** A B C A B C: what changes on the machine over time meets all of them. */
export async function runRounds(
  list: readonly Started[],
  { rounds, seconds, warmUpSeconds }: RoundsPlan,
): Promise<ReadonlyMap<string, readonly Round[]>> {
  const results = new Map<string, Round[]>(list.map(({ candidate }) => [candidate.name, []]));
  say(`warming up ${list.length} candidates`);
  for (const one of list) {
    await takeTurn(one, async () => {
      await loadClosed(one, { connections: connectionsOf(one), seconds: warmUpSeconds, onceRequests: ONCE_WARM_UP });
    });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const one of list) {
      const share = Math.floor((one.left.length - ONCE_PACED) / (rounds - round + 1));
      const amount = { connections: connectionsOf(one), seconds, onceRequests: Math.min(ONCE_PER_ROUND, share) };
      await takeTurn(one, async () => {
        const { name } = one.candidate;
        const result = await loadClosed(one, amount);
        results.get(name)?.push(result);
        const cpu = `${figure(result.cpuMicrosPerRequest)} µs of processor a request`;
        say(`round ${round} of ${rounds}, ${name}: ${cpu}, ${figure(result.requestsPerSecond)} requests/s`);
      });
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
  const healthy = list.filter(({ failure }) => failure === null);
  const often = healthy.filter(({ running }) => running.once !== true);
  const groups = often.flatMap((_one, index) => (index % GROUP === 0 ? [often.slice(index, index + GROUP)] : []));
  const seldom = healthy.filter(({ running }) => running.once === true).map((one) => [one]);
  for (const [index, group] of [...groups, ...seldom].entries()) {
    const names = group.map(({ candidate }) => candidate.name);
    const plan = {
      ratePerSecond: index < groups.length ? ratePerSecond : Math.min(ratePerSecond, ONCE_PER_SECOND),
      seconds: index === 0 ? seconds : Math.min(seconds, LATER_GROUP_SECONDS),
    };
    say(`${plan.ratePerSecond} requests/s to each of ${names.join(", ")} for ${plan.seconds} s`);
    const measured = await runGroup(group, plan);
    for (const { one, lane, cpuMicros } of measured) {
      await takeTurn(one, async () => {
        const { candidate, running } = one;
        const requests = answered(candidate, running, lane);
        results.set(candidate.name, {
          requests,
          p50Ms: percentile(lane.latenciesMs, 50),
          p99Ms: percentile(lane.latenciesMs, 99),
          cpuMicrosPerRequest: cpuMicros / requests,
          latestMs: lane.latestMs,
        });
      });
    }
  }
  return results;
}

interface Measured {
  readonly one: Started;
  readonly lane: PacedResult["lanes"][number] & Pick<PacedResult, "latestMs">;
  readonly cpuMicros: number;
}

async function runGroup(
  group: readonly Started[],
  { ratePerSecond, seconds }: Pick<PacedPlan, "ratePerSecond" | "seconds">,
): Promise<readonly Measured[]> {
  const time = (): readonly number[] => group.map(({ running }) => cpuTimeOf(running.pids()).scheduledMicros);
  const targets = group.map(({ candidate: { name }, running, left }) => ({
    name,
    url: running.url,
    requests: running.once === true ? left.splice(0, ratePerSecond * seconds) : running.requests,
  }));
  const before = time();
  const { lanes, latestMs } = await runLoad({ kind: "paced", targets, ratePerSecond, seconds });
  const after = time();
  return group.flatMap((one, index) => {
    const lane = lanes[index];
    const cpuMicros = (after[index] ?? Number.NaN) - (before[index] ?? Number.NaN);
    return lane === undefined ? [] : [{ one, lane: { ...lane, latestMs }, cpuMicros }];
  });
}
