import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { ROOT } from "../local/bundle.ts";
import { figure, textTable } from "../report/table.ts";
import { GATEWAY_SERVICE } from "./gateway.ts";
import { LATCHKEY, startToProfile } from "./latchkey.ts";
import { loadClosed, started } from "./measure.ts";
import { profileWhile, summarize } from "./profile.ts";
import { say, withSession } from "./session.ts";

/** `--profile NAME`: where the time of one of Latchkey's situations goes. The profiler slows what it looks at: compare lines, not runs. */

const CONNECTIONS = 16;
const LINES = 60;
const WARM_UP_SECONDS = 3;
/** Ignored by git. */
const FOLDER = path.join(ROOT, ".wrangler/bench");

/** Prints the functions with the most time of their own, and keeps the profile for a viewer. */
export async function profileCandidate(name: string, seconds: number): Promise<number> {
  return await withSession(async (session) => {
    const candidate = LATCHKEY.find((one) => one.name === name);
    const starting = startToProfile(name, { originUrl: session.originUrl, directory: await session.folder(name) });
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
    await mkdir(FOLDER, { recursive: true });
    const file = path.join(FOLDER, `${name}.cpuprofile`);
    await writeFile(file, JSON.stringify(profile));
    const rows = summarize(profile)
      .slice(0, LINES)
      .map((line) => [line.name, figure(line.selfMicros / requests), figure(line.totalMicros / requests)]);
    process.stdout.write(`${textTable([["function", "self µs/request", "total µs/request"], ...rows])}\n`);
    say(`${figure(requests)} requests; the whole profile is in ${path.relative(process.cwd(), file)}`);
    return 0;
  });
}
