/**
 * What `npm run bench` compares. A candidate is started once, lives through all rounds, and answers the same request over the
 * same origin as every other; the runner warms it up, loads it, and reads the processor time of its processes.
 */

/** What every candidate is given. */
export interface Surroundings {
  /** The origin behind all candidates, `http://127.0.0.1:PORT`: answers any `GET` with 200 and about 1 KB of JSON. */
  readonly originUrl: string;
  /** An empty folder of its own, removed after the run. */
  readonly directory: string;
}

/** One request, as the load generator sends it. `Host` is the candidate's address unless a header says otherwise. */
export interface RequestShape {
  readonly method: "GET" | "POST";
  /** Path and query. */
  readonly path: string;
  /** Every candidate is sent `COMMON_HEADERS` too: they need not be repeated here. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Running {
  /** Where the load goes: `http://127.0.0.1:PORT`. */
  readonly url: string;
  /**
   * The processes whose time counts as the candidate's: all that serve its requests, and none that stand for the origin, the
   * client or a remote service. Asked anew at each measurement, since workers may be replaced.
   */
  readonly pids: () => readonly number[];
  /** Sent over and over. Several take turns; with `once`, each is sent at most one time in the whole run. */
  readonly requests: readonly RequestShape[];
  readonly once?: boolean;
  /** The status of every answer; any other one fails the run. */
  readonly expectedStatus: number;
  /** Ends all of its processes. Called once, also after a failure. */
  readonly stop: () => Promise<void>;
}

/** Where a candidate stands in the tables. */
export type Family = "floor" | "latchkey" | "naive" | "peer";

export interface Candidate {
  /** Short, unique; what `--only` takes. */
  readonly name: string;
  /** One line for the reader of the table: what it does with a request. */
  readonly about: string;
  readonly family: Family;
  /**
   * The candidate that forwards the same request with no key check on the same stack: what this one *adds* is the
   * difference to it. `null`: it is a floor itself, or forwards nothing.
   */
  readonly floor: string | null;
  /**
   * Resolves once it answers. Rejects with `Unavailable` when this machine cannot run it (a package or program is missing), which leaves
   * it out of the run with a word; any other rejection fails the run.
   */
  readonly start: (surroundings: Surroundings) => Promise<Running>;
}

/** This machine cannot run a candidate; the message says what is missing. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** Sent to every candidate with every request: what a client and Cloudflare's edge would send. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  accept: "application/json",
  "accept-encoding": "gzip",
  "user-agent": "latchkey-bench/1",
  "cf-connecting-ip": "127.0.0.1",
};

/** The path of the measured request, for candidates that route by path. */
export const REQUEST_PATH = "/reports/today?page=1";
