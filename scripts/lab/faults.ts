/**
 * Faults that a test asks of one Worker in `startEdges`, binding by binding. Plain data: it goes to the Worker as JSON and
 * is applied by `faulty-worker.ts`.
 */

export type BindingName =
  | "KEYS"
  | "USAGE"
  | "KEY_REGISTRY"
  | "KEY_METER"
  | "LEASE_BROKER"
  | "USAGE_LEDGER"
  | "HASH_CLAIMS"
  | "REPLAY_GUARD"
  | "REQUEST_LOG"
  | "WATCH"
  | "SIGNING_KEYS"
  | "ALERT_CENTER"
  | "FAILURE_SHIELD"
  | "CONTROL_RATE";

/** Which calls a fault meets. */
interface Reach {
  /** Only these methods (`get`, `put`, `acquire`, …). Default: all. */
  readonly methods?: readonly string[];
  /** Only calls whose arguments, as JSON, hold this text. */
  readonly holding?: string;
  /** Only this many calls, then the binding works again. Default: until cleared. */
  readonly times?: number;
}

export type Fault =
  /** The call is not made and rejects, as for a lost connection. `overloaded` sets that property instead of `retryable`. */
  | (Reach & { readonly kind: "down"; readonly overloaded?: boolean })
  /** The call is made after `ms`. */
  | (Reach & { readonly kind: "slow"; readonly ms: number })
  /** The call is made, and its answer is lost: it rejects. */
  | (Reach & { readonly kind: "lost" })
  /** KV only: reads answer what was stored when the fault was set, whatever was written since. */
  | (Reach & { readonly kind: "frozen" })
  /** The call is not made, and is answered with `answer` as if it had been. */
  | (Reach & { readonly kind: "skipped"; readonly answer: unknown })
  /** `KEY_METER.acquire` only: a grant of units holds one more than the meter subtracted. */
  | (Reach & { readonly kind: "generous" });

export type Faults = Readonly<Partial<Record<BindingName, Fault>>>;

/** Calls since the last reset: `KEYS.get`, `KEY_METER.acquire`, … → how many, faulty ones included. */
export type CallCounts = Readonly<Record<string, number>>;

/** Paths that `faulty-worker.ts` answers itself. */
export const FAULTS_PATH = "/__test/faults";
export const CALLS_PATH = "/__test/calls";
/** `POST { offsetMs }`: this Worker's clock reads so much more than the machine's from now on. */
export const CLOCK_PATH = "/__test/clock";
/** `POST { binding, name }` to `home`: this meter's, or broker's, object ends at once, with every call in it; storage stays. */
export const CRASH_PATH = "/__test/crash";
