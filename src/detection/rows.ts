/** What the detectors look at: sums of one key or one network. A ledger makes them out of its roll-ups. Plain data. */

export const HOUR_SECONDS = 3_600;
export const DAY_HOURS = 24;
export const WEEK_HOURS = 168;

/** Where requests came from. `null`: not known. */
export interface PlaceCount {
  readonly country: string | null;
  readonly asn: number | null;
  /** The block that events hold: `203.0.113.0/24`. */
  readonly network: string | null;
  readonly requests: number;
}

/** One key in one hour. The present hour may be given before it is over: what can only grow is judged all the same. */
export interface KeyHour {
  /** Start of the hour, epoch seconds. */
  readonly hour: number;
  /** All of them, refused ones too. */
  readonly requests: number;
  /** Units charged. */
  readonly cost: number;
  /** 429. */
  readonly limited: number;
  /** 401 and 403 with a key that is known. */
  readonly failures: number;
  /** 5xx, whoever answered it. */
  readonly errors: number;
  /** Of a live key: requests that were made in, or meant for, a test environment (`environment_mismatch`, test routes). */
  readonly testContext: number;
  /** The largest first, at most `MAX_PLACES`. They may sum to less than `requests`. */
  readonly places: readonly PlaceCount[];
  /** Whether its minutes were flat and near the limit: `isFlatNearLimit`. */
  readonly flatNearLimit: boolean;
}

/** One key in one minute. */
export interface KeyMinute {
  /** Start of the minute, epoch seconds. */
  readonly minute: number;
  readonly requests: number;
  readonly cost: number;
  readonly limited: number;
  readonly failures: number;
  readonly errors: number;
}

/**
 * One network in a window of minutes or hours. Distinct counts do not add up: whoever keeps them merges sketches (HyperLogLog) and
 * gives the estimate.
 */
export interface NetworkWindow {
  readonly network: string;
  /** Epoch seconds, `[since, until)`. */
  readonly since: number;
  readonly until: number;
  readonly attempts: number;
  /** Of them: 401 because the key is unknown, revoked or malformed. A request without any key is none. */
  readonly refused: number;
  /** Distinct keys or hints. */
  readonly keysTried: number;
  readonly keysRefused: number;
}

/** What is known of a key beside its traffic. */
export interface KeyFacts {
  readonly keyId: string;
  readonly environment: "live" | "test";
  /** Units of its tightest rate limit, brought to one minute; `null`: it has none. */
  readonly limitPerMinute: number | null;
  readonly isCanary: boolean;
}

/** More places than this in an hour are summed away: a key that is everywhere is not judged by place. */
export const MAX_PLACES = 8;
