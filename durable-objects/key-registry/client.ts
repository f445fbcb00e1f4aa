import { REGISTRY_READ_TIMEOUT_MS, REGISTRY_WRITE_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { KeyRegistryApi } from "./api.ts";

/** How to ask a workspace's registry. The workspace comes from the caller's own rights, never from a request's body. */

/** The registry did not answer. */
export interface RegistryUnavailable {
  readonly reason: "overloaded" | "failed";
  /** For the log. */
  readonly cause: unknown;
  /** The call may have been carried out all the same: only its answer is missing. */
  readonly maybeDone: boolean;
}

export interface RegistryClient {
  read<T>(call: (registry: KeyRegistryApi) => Promise<T>): Promise<Result<T, RegistryUnavailable>>;
  /** Never repeated here: whoever sent the request repeats it, with the same `Idempotency-Key`. */
  write<T>(call: (registry: KeyRegistryApi) => Promise<T>, timeoutMs?: number): Promise<Result<T, RegistryUnavailable>>;
}

/** The registry itself, for callers that handle its failures: the usage consumer, the cron. */
export function registryOf(namespace: DurableObjectNamespace, workspace: string): KeyRegistryApi {
  // The stub has every method of the class; its mapped type turns `unknown` metadata into `never`.
  return namespace.getByName(workspace) as unknown as KeyRegistryApi;
}

export function connectRegistry(namespace: DurableObjectNamespace, workspace: string): RegistryClient {
  const ask = async <T>(
    call: (registry: KeyRegistryApi) => Promise<T>,
    timeoutMs: number,
  ): Promise<Result<T, RegistryUnavailable>> => {
    try {
      // A new stub each time: one whose call failed may stay broken.
      return ok(await within(call(registryOf(namespace, workspace)), timeoutMs, "the key registry"));
    } catch (cause) {
      // An overloaded object turned the call away at its door.
      const isOverloaded = hasFlag(cause, "overloaded");
      return err({ reason: isOverloaded ? "overloaded" : "failed", cause, maybeDone: !isOverloaded });
    }
  };
  return {
    async read(call) {
      const first = await ask(call, REGISTRY_READ_TIMEOUT_MS);
      const mayRetry = !first.ok && hasFlag(first.error.cause, "retryable") && first.error.reason !== "overloaded";
      return mayRetry ? await ask(call, REGISTRY_READ_TIMEOUT_MS) : first;
    },
    write: (call, timeoutMs = REGISTRY_WRITE_TIMEOUT_MS) => ask(call, timeoutMs),
  };
}

/** Set by the runtime on errors of Durable Object calls. */
function hasFlag(error: unknown, flag: "overloaded" | "retryable"): boolean {
  return error instanceof Error && flag in error && (error as unknown as Record<string, unknown>)[flag] === true;
}
