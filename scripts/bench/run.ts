import { writeFile } from "node:fs/promises";
import { figure, textTable } from "../report/table.ts";
import { FLOOR, HONO } from "./proxies.ts";
import type { Candidate } from "./candidate.ts";
import { LATCHKEY, startToProfile } from "./latchkey.ts";
import { loadClosed, started } from "./measure.ts";
import type { Round, Started } from "./measure.ts";
import { NAIVE } from "./naive.ts";
import { PEERS } from "./peers/index.ts";
import { profileWhile, summarize } from "./profile.ts";
import { GATEWAY_SERVICE } from "./gateway.ts";
import { say, withSession } from "./session.ts";
import { pairedRatio, spreadOf } from "./statistics.ts";

const CANDIDATES: readonly Candidate[] = [FLOOR, HONO, ...LATCHKEY, NAIVE, ...PEERS];

export interface BenchOptions {
  readonly only: readonly string[] | null;
  readonly rounds: number;
  readonly seconds: number;
  readonly profile: string | null;
  readonly json: string | undefined;
}

const CONNECTIONS = 16;
const PROFILE_LINES = 60;

export async function runBench(options: BenchOptions): Promise<number> {
  if (options.profile !== null) return await profile(options.profile, options);
  const { only } = options;
  const chosen = CANDIDATES.filter(({ name }) => only === null || only.includes(name));
  return await withSession(async (session) => {
    const list = await session.start(chosen);
    const rounds = await runRounds(list, options);
    printRounds(list, rounds);
    return 0;
  });
}

type Rounds = ReadonlyMap<string, readonly Round[]>;

async function runRounds(list: readonly Started[], { rounds, seconds }: BenchOptions): Promise<Rounds> {
  const results = new Map<string, Round[]>();
  for (const one of list) {
    say(`warming ${one.candidate.name}`);
    await loadClosed(one, { connections: CONNECTIONS, seconds: 2, onceRequests: 300 });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const one of list) {
      const result = await loadClosed(one, { connections: CONNECTIONS, seconds, onceRequests: 500 });
      const { name } = one.candidate;
      results.set(name, [...(results.get(name) ?? []), result]);
      say(`round ${round} ${name}: ${figure(result.cpuMicrosPerRequest)} µs, ${figure(result.requestsPerSecond)}/s`);
    }
  }
  return results;
}

function printRounds(list: readonly Started[], results: Rounds): void {
  const cpuOf = (name: string): number[] => (results.get(name) ?? []).map((round) => round.cpuMicrosPerRequest);
  const rows = list.map(({ candidate: { name } }) => {
    const cpu = spreadOf(cpuOf(name));
    const ratio = pairedRatio(cpuOf(name), cpuOf("hono"));
    const rate = spreadOf((results.get(name) ?? []).map((round) => round.requestsPerSecond));
    return [
      name,
      figure(cpu.median),
      `${figure(cpu.least)}–${figure(cpu.greatest)}`,
      figure(ratio.median),
      figure(rate.median),
    ];
  });
  process.stdout.write(
    `${textTable([["candidate", "CPU µs/request", "least–greatest", "÷ hono", "requests/s"], ...rows])}\n`,
  );
}

/** Writes `NAME.cpuprofile` into the current folder, and the functions with the most time of their own to stdout. */
async function profile(name: string, { seconds }: BenchOptions): Promise<number> {
  return await withSession(async (session) => {
    const starting = startToProfile(name, { originUrl: session.originUrl, directory: await session.folder(name) });
    if (starting === null) throw new Error(`${name} cannot be profiled: only Latchkey's situations can`);
    const running = await starting;
    session.atEnd(running.stop);
    const candidate = LATCHKEY.find((one) => one.name === name);
    if (candidate === undefined) throw new Error(`there is no ${name}`);
    const one = started(candidate, running);
    await loadClosed(one, { connections: CONNECTIONS, seconds: 3, onceRequests: 500 });
    const port = running.gateway.server().inspectorPort ?? 0;
    let requests = 0;
    const taken = await profileWhile(port, GATEWAY_SERVICE, async () => {
      ({ requests } = await loadClosed(one, { connections: CONNECTIONS, seconds, onceRequests: 2_000 }));
    });
    await writeFile(`${name}.cpuprofile`, JSON.stringify(taken));
    const lines = summarize(taken).slice(0, PROFILE_LINES);
    const rows = lines.map((line) => [
      line.name,
      figure(line.selfMicros / requests),
      figure(line.totalMicros / requests),
    ]);
    process.stdout.write(`${textTable([["function", "self µs/request", "total µs/request"], ...rows])}\n`);
    say(`${requests} requests; the whole profile is in ${name}.cpuprofile`);
    return 0;
  });
}
