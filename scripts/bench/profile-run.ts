import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { ROOT } from "../local/bundle.ts";
import { figure, type Rows, textTable } from "../report/table.ts";
import { GATEWAY_SERVICE } from "./gateway.ts";
import { LATCHKEY, startToProfile } from "./latchkey.ts";
import { loadClosed, started } from "./measure.ts";
import { type CpuProfile, type ProfileLine, profileWhile, summarize } from "./profile.ts";
import { say, type Session, withSession } from "./session.ts";

/** `--profile NAME`: where the time of one of Latchkey's situations goes. The profiler slows what it looks at: compare lines, not runs. */

const CONNECTIONS = 16;
const LINES = 60;
const WARM_UP_SECONDS = 3;
/** Ignored by git. */
const FOLDER = path.join(ROOT, ".wrangler/bench");

/** A function's time for one request, µs: its own, and with all that it called. */
export interface Profiled {
  readonly requests: number;
  readonly profile: CpuProfile;
  /** By own time, greatest first. */
  readonly lines: readonly ProfileLine[];
}

/** Prints the functions with the most time of their own, and keeps the profile for a viewer. */
export async function profileCandidate(name: string, seconds: number): Promise<number> {
  return await withSession(async (session) => {
    const { requests, profile, lines } = await takeProfile(session, name, seconds);
    await mkdir(FOLDER, { recursive: true });
    const file = path.join(FOLDER, `${name}.cpuprofile`);
    await writeFile(file, JSON.stringify(profile));
    process.stdout.write(`${textTable(profileRows(lines.slice(0, LINES)))}\n`);
    say(`${figure(requests)} requests; the whole profile is in ${path.relative(process.cwd(), file)}`);
    return 0;
  });
}

export function profileRows(lines: readonly ProfileLine[]): Rows {
  const rows = lines.map(({ name, selfMicros, totalMicros }) => [name, figure(selfMicros), figure(totalMicros)]);
  return [["function", "self µs/request", "total µs/request"], ...rows];
}

/** Loads one of Latchkey's situations by itself, after a warm-up. Throws for one that cannot be profiled. */
export async function takeProfile(session: Session, name: string, seconds: number): Promise<Profiled> {
  const candidate = LATCHKEY.find((one) => one.name === name);
  const directory = await session.folder(`profile-${name}`);
  const starting = startToProfile(name, { originUrl: session.originUrl, directory });
  if (starting === null || candidate === undefined) {
    throw new Error(`${name} cannot be profiled; these can: ${LATCHKEY.map((one) => one.name).join(", ")}`);
  }
  const running = await starting;
  session.atEnd(running.stop);
  const one = started(candidate, running);
  await loadClosed(one, { connections: CONNECTIONS, seconds: WARM_UP_SECONDS, onceRequests: 500 });
  const port = running.gateway.server().inspectorPort ?? 0;
  let requests = 0;
  const profile = await profileWhile(port, GATEWAY_SERVICE, async () => {
    ({ requests } = await loadClosed(one, { connections: CONNECTIONS, seconds, onceRequests: 2_000 }));
  });
  const lines = summarize(profile).map((line) => ({
    name: line.name,
    selfMicros: line.selfMicros / requests,
    totalMicros: line.totalMicros / requests,
  }));
  return { requests, profile, lines };
}
