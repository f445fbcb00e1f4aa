import { loadavg } from "node:os";
import { describeMachine } from "../report/machine.ts";
import { figure, targetRows, textTable, writeFigures } from "../report/table.ts";
import type { Target } from "../report/table.ts";
import { chooseCandidates } from "./candidates.ts";
import { measureColdIsolate } from "./cold-isolate.ts";
import { countOperations } from "./counting.ts";
import { toFigures } from "./figures.ts";
import type { Figures } from "./figures.ts";
import { writePage } from "./page.ts";
import { takeProfile } from "./profile-run.ts";
import { runPaced, runRounds } from "./rounds.ts";
import { say, withSession } from "./session.ts";
import type { Session } from "./session.ts";
import { candidateRows, coldRows, countRows } from "./tables.ts";
import { countTargets, timeTargets } from "./targets.ts";

export interface BenchOptions {
  /** `null`: every candidate. */
  readonly only: readonly string[] | null;
  readonly rounds: number;
  readonly seconds: number;
  readonly ratePerSecond: number;
  readonly json: string | undefined;
  /** Write docs/benchmarks.md. */
  readonly write: boolean;
}

/** What a report says of its run. */
export interface RunFacts {
  readonly date: string;
  readonly machine: ReturnType<typeof describeMachine>;
  readonly rounds: number;
  readonly seconds: number;
  readonly ratePerSecond: number;
  readonly pacedSeconds: number;
  /** Of the minute before: above 0.5 something else was at work, and the times say as much of that. */
  readonly loadBefore: number;
}

/** Long enough for every V8 tier of the warm path, and past the ramp of the first leases. */
const WARM_UP_SECONDS = 2;
/** At 100 a second: 20 answers above the 99th percentile. */
const PACED_SECONDS = 20;
const COLD_SAMPLES = 10;
const PROFILE_SECONDS = 5;
const QUIET_LOAD = 0.5;

/** The whole comparison. The exit status. */
export async function runBench(options: BenchOptions): Promise<number> {
  const candidates = chooseCandidates(options.only);
  const facts = factsOf(options, PACED_SECONDS);
  const { figures, profiled } = await withSession(async (session) => {
    const list = await session.start(candidates);
    const rounds = await runRounds(list, { ...options, warmUpSeconds: WARM_UP_SECONDS });
    const paced =
      options.ratePerSecond === 0
        ? new Map()
        : await runPaced(list, { ratePerSecond: options.ratePerSecond, seconds: PACED_SECONDS });
    // A part of the candidates alone is for whoever is working on them.
    const whole = options.only === null;
    const coldIsolate = whole ? await coldIsolates(session) : null;
    const counted = whole ? await counting(session) : null;
    return {
      figures: toFigures({ list, rounds, paced, counted, coldIsolate }),
      profiled: options.write ? await profiling(session) : null,
    };
  });
  const targets = [...timeTargets(figures), ...(figures.counted === null ? [] : countTargets(figures.counted))];
  await writeFigures(options.json, { ...facts, ...figures, targets });
  print(figures, targets);
  if (profiled !== null) await writePage(facts, figures, { targets, profile: profiled.lines });
  return verdict(targets);
}

/** In under a minute: the counts decide, the times are only told. */
export async function runSmoke(json: string | undefined, key: Readonly<Record<string, unknown>>): Promise<number> {
  const plan = { rounds: 2, seconds: 1, ratePerSecond: 100 };
  const facts = factsOf(plan, 3);
  const figures = await withSession(async (session) => {
    const counted = await counting(session, key);
    const list = await session.start(chooseCandidates(["hono", "latchkey"]));
    const rounds = await runRounds(list, { ...plan, warmUpSeconds: 1 });
    const paced = await runPaced(list, { ratePerSecond: plan.ratePerSecond, seconds: facts.pacedSeconds });
    return toFigures({ list, rounds, paced, counted, coldIsolate: null });
  });
  const targets = figures.counted === null ? [] : countTargets(figures.counted);
  await writeFigures(json, { ...facts, ...figures, targets });
  print(figures, targets);
  say("The times of so short a run are no more than a sign of life; npm run bench measures them.");
  return verdict(targets);
}

function factsOf(plan: Pick<BenchOptions, "rounds" | "seconds" | "ratePerSecond">, pacedSeconds: number): RunFacts {
  const { rounds, seconds, ratePerSecond } = plan;
  const loadBefore = loadavg()[0] ?? 0;
  if (loadBefore > QUIET_LOAD) say(`The machine is busy (load ${figure(loadBefore)}): times will say as much of that.`);
  const date = new Date().toISOString().slice(0, 10);
  return { date, machine: describeMachine(), rounds, seconds, ratePerSecond, pacedSeconds, loadBefore };
}

async function counting(session: Session, key: Readonly<Record<string, unknown>> = {}) {
  say("counting the operations of a hot key");
  return await countOperations({ originUrl: session.originUrl, directory: await session.folder("counting"), key });
}

async function profiling(session: Session) {
  say("profiling latchkey");
  return await takeProfile(session, "latchkey", PROFILE_SECONDS);
}

async function coldIsolates(session: Session) {
  say(`starting ${COLD_SAMPLES} cold isolates`);
  return await measureColdIsolate(session.originUrl, await session.folder("cold"), COLD_SAMPLES);
}

function print(figures: Figures, targets: readonly Target[]): void {
  const tables = [candidateRows(figures), coldRows(figures), countRows(figures), targetRows(targets)];
  const shown = tables.filter((rows) => rows.length > 1).map(textTable);
  process.stdout.write(`${shown.join("\n\n")}\n`);
}

/** 0 when every target held; each one that did not is named. */
function verdict(targets: readonly Target[]): number {
  const missed = targets.filter(({ held }) => !held);
  for (const { name, wanted, measured } of missed) say(`missed: ${name} is ${measured}, wanted ${wanted}`);
  return missed.length === 0 ? 0 : 1;
}
