import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { DEMO_WEEKS_BEFORE, type DemoWeek, makeDemoWeek } from "../traffic/demo-week.ts";
import { fill } from "./fill.ts";
import { startFiller } from "./filler.ts";
import type { IssuedSecrets } from "./keyring.ts";

/** A state directory with a demo in it: the one that is there, or a new one. One that was not filled to its end is filled anew. */

const SEED = 7;
const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const WEEK_DAYS = 7;

/** What is kept beside the data: `demo.json`, readable by its owner alone. */
interface DemoNote {
  /** End of the filled time, hours since the epoch; `null`: it is not filled. */
  readonly until: number | null;
  readonly days: number;
  readonly events: number;
  /** What the customers' traffic goes on with. They open nothing but the demo on this machine. */
  readonly keys: IssuedSecrets;
}

export interface OpenedDemo {
  readonly week: DemoWeek;
  readonly keys: IssuedSecrets;
  readonly days: number;
  readonly events: number;
  /** What filling took; 0 when it was there. */
  readonly seconds: number;
}

export interface OpenOptions {
  readonly stateDirectory: string;
  readonly days: number;
  readonly reset: boolean;
  readonly variables: Readonly<Record<string, string>>;
  readonly onProcess: (child: ChildProcess) => void;
  readonly onProgress: (share: number, hour: number) => void;
}

export function isFilled(stateDirectory: string): boolean {
  return typeof readNote(stateDirectory)?.until === "number";
}

export async function openDemo(options: OpenOptions): Promise<OpenedDemo> {
  const { stateDirectory, reset } = options;
  const note = readNote(stateDirectory);
  const data = path.join(stateDirectory, "data");
  if (note === null && existsSync(data))
    throw new Error(`${stateDirectory} holds data that is not a demo's. Choose another --state.`);
  if (note !== null && note.until !== null && !reset)
    return { ...note, week: makeDemoWeek(SEED, note.until), seconds: 0 };
  writeNote(stateDirectory, { until: null, days: options.days, events: 0, keys: {} });
  rmSync(data, { recursive: true, force: true });
  return await fillAnew(options);
}

async function fillAnew({ stateDirectory, days, variables, onProcess, onProgress }: OpenOptions): Promise<OpenedDemo> {
  const began = performance.now();
  const now = Date.now();
  const until = Math.ceil(now / HOUR_MS);
  const week = makeDemoWeek(SEED, until);
  const from = until - days * DAY_HOURS;
  // What is usual is learned before the week; of less than a week nothing is.
  const start = days === WEEK_DAYS ? from - DEMO_WEEKS_BEFORE * WEEK_DAYS * DAY_HOURS : from;
  const filler = await startFiller({ stateDirectory, variables, onProcess });
  try {
    const { events, keys } = await fill(filler, { week, start, from, now, onProgress });
    await expectCounted(filler, start, events);
    await filler.end();
    writeNote(stateDirectory, { until, days, events, keys });
    return { week, keys, days, events, seconds: Math.round((performance.now() - began) / 1_000) };
  } finally {
    await filler.stop();
  }
}

async function expectCounted(
  filler: Awaited<ReturnType<typeof startFiller>>,
  start: number,
  events: number,
): Promise<void> {
  const from = new Date(start * HOUR_MS).toISOString();
  // The answer's members as the OpenAPI document names them.
  const usage = (await filler.call("GET", `/usage?granularity=day&from=${from}`)) as { totals: { requests: number } };
  if (usage.totals.requests !== events)
    throw new Error(`${events} requests were made, and the ledger counted ${usage.totals.requests}.`);
}

function readNote(stateDirectory: string): DemoNote | null {
  try {
    // Our own file.
    return JSON.parse(readFileSync(noteFile(stateDirectory), "utf8")) as DemoNote;
  } catch {
    return null;
  }
}

/** Whole or not at all. */
function writeNote(stateDirectory: string, note: DemoNote): void {
  mkdirSync(stateDirectory, { recursive: true });
  const file = noteFile(stateDirectory);
  writeFileSync(`${file}.new`, JSON.stringify(note), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function noteFile(stateDirectory: string): string {
  return path.join(stateDirectory, "demo.json");
}
