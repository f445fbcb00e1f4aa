import { REGISTRY_READ_TIMEOUT_MS, REGISTRY_WRITE_TIMEOUT_MS } from "../../src/constants.ts";
import { withTimeOut } from "../../src/platform/time-out.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { KeyRegistryApi } from "./api.ts";
import { registryOf } from "./client.ts";

/** A workspace's registry for callers that must answer in bounded time: every way of failing is a result. */

/**
 * The registry could not be asked, or did not answer in time. `maybeDone`: a write may have happened all the same;
 * whoever sent it with an `Idempotency-Key` can safely send it again.
 */
export interface RegistryUnavailable {
  readonly reason: "time_out" | "overloaded" | "failed";
  readonly maybeDone: boolean;
  /** For the log: the runtime's own words. */
  readonly cause: unknown;
}

export interface BoundedRegistry {
  /** A question. Asked once more, of a new stub, when the runtime says that the first one may be repeated. */
  read<T>(call: (registry: KeyRegistryApi) => Promise<T>): Promise<Result<T, RegistryUnavailable>>;
  /** A change. Never repeated here: it may have happened. */
  write<T>(call: (registry: KeyRegistryApi) => Promise<T>, timeOutMs?: number): Promise<Result<T, RegistryUnavailable>>;
}

/** The name comes from the caller's own rights, never from a request's body. */
export function boundedRegistry(env: Pick<Env, "KEY_REGISTRY">, workspace: string): BoundedRegistry {
  return {
    async read(call) {
      const first = await attempt(() => call(registryOf(env, workspace)), REGISTRY_READ_TIMEOUT_MS);
      if (first.ok || !mayRepeat(first.error.cause)) return first;
      return await attempt(() => call(registryOf(env, workspace)), REGISTRY_READ_TIMEOUT_MS);
    },
    async write(call, timeOutMs = REGISTRY_WRITE_TIMEOUT_MS) {
      return await attempt(() => call(registryOf(env, workspace)), timeOutMs);
    },
  };
}

async function attempt<T>(call: () => Promise<T>, timeOutMs: number): Promise<Result<T, RegistryUnavailable>> {
  try {
    return ok(await withTimeOut("registry", timeOutMs, call()));
  } catch (cause) {
    // The runtime refuses an overloaded object's calls before they run.
    if (isFlagged(cause, "overloaded")) return err({ reason: "overloaded", maybeDone: false, cause });
    const timedOut = cause instanceof Error && cause.name === "TimeOutError";
    return err({ reason: timedOut ? "time_out" : "failed", maybeDone: true, cause });
  }
}

/** "Durable Objects: error handling": `retryable` failures may be tried on a new stub, an overloaded object must be left alone. */
function mayRepeat(cause: unknown): boolean {
  return isFlagged(cause, "retryable") && !isFlagged(cause, "overloaded");
}

function isFlagged(cause: unknown, flag: "retryable" | "overloaded"): boolean {
  return typeof cause === "object" && cause !== null && Reflect.get(cause, flag) === true;
}
