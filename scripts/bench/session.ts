import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Unavailable } from "./candidate.ts";
import type { Candidate } from "./candidate.ts";
import { started } from "./measure.ts";
import type { Started } from "./measure.ts";
import { endAll, endProcess, killNewcomers, startHelper } from "./processes.ts";

/** Everything that a run starts, and the promise that it ends: after the run, after a failure, and on Ctrl-C. */

export interface Session {
  readonly originUrl: string;
  /** A new empty folder. */
  readonly folder: (name: string) => Promise<string>;
  /** Starts candidates one by one; one that this machine cannot run is left out with a word on stderr. */
  readonly start: (candidates: readonly Candidate[]) => Promise<readonly Started[]>;
  /** Also ended with the session; the latest first. */
  readonly atEnd: (end: () => Promise<void>) => void;
}

/** For progress: on stderr, so that stdout is the result. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export async function withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
  const endings: (() => Promise<void>)[] = [];
  const endOnce = async (): Promise<void> => {
    for (let ending = endings.pop(); ending !== undefined; ending = endings.pop()) {
      await ending().catch((error: unknown) => say(`ending: ${String(error)}`));
    }
  };
  let ended: Promise<void> | null = null;
  // An interrupted run ends twice: by the signal, and by the failure of what it was doing.
  const end = (): Promise<void> => (ended ??= endOnce());
  const interrupted = (): void => {
    killNewcomers();
    void end().finally(() => process.exit(130));
  };
  // Not `once`: a library of wrangler's ends the process at once when it finds no other listener.
  for (const signal of SIGNALS) process.on(signal, interrupted);
  try {
    const directory = await mkdtemp(path.join(tmpdir(), "latchkey-bench-"));
    endings.push(() => rm(directory, { recursive: true, force: true }));
    endings.push(endAll);
    const origin = startHelper("origin-process.ts", {});
    endings.push(() => endProcess(origin.child));
    const { url: originUrl } = (await origin.nextLine()) as { url: string }; // its only line
    const folder = async (name: string): Promise<string> => {
      const made = path.join(directory, name);
      await mkdir(made);
      return made;
    };
    const start = async (candidates: readonly Candidate[]): Promise<readonly Started[]> => {
      const list: Started[] = [];
      for (const candidate of candidates) {
        say(`starting ${candidate.name}: ${candidate.about}`);
        try {
          const running = await candidate.start({ originUrl, directory: await folder(candidate.name) });
          endings.push(running.stop);
          list.push(started(candidate, running));
        } catch (error) {
          if (!(error instanceof Unavailable)) throw error;
          say(`  left out: ${error.message}`);
        }
      }
      return list;
    };
    return await work({ originUrl, folder, start, atEnd: (ending) => void endings.push(ending) });
  } finally {
    await end();
    for (const signal of SIGNALS) process.removeListener(signal, interrupted);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
