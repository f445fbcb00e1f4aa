import type { RegistryError } from "../../durable-objects/key-registry/api.ts";
import type { RegistryUnavailable } from "../../durable-objects/key-registry/client.ts";
import type { Problem } from "../http/problem.ts";
import { coversAdminScope } from "../keys/admin-scopes.ts";
import type { AdminScope } from "../keys/admin-scopes.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";

/** One fault of a request: an RFC 6901 pointer into the body, or into the query, path or headers where `in` says so. */
export interface FieldError {
  readonly pointer: string;
  readonly detail: string;
  readonly in?: "query" | "header";
}

/** Whatever a step of a call ends in: its value, or the refusal. */
export type Outcome<T> = Result<T, Problem>;

/** Shown where something is not there, and where it is not the caller's to know whether it is. */
export const NOT_FOUND: Problem = { code: "not_found", detail: "There is nothing of that name in this workspace." };

/** Any number of faults, so that a caller can put them right in one go. */
export function invalid(errors: readonly FieldError[]): { readonly ok: false; readonly error: Problem } {
  return err({ code: "request_invalid", detail: "The request has faults; see errors.", errors });
}

export function requireScope(held: readonly string[], needed: AdminScope): Outcome<null> {
  if (coversAdminScope(held, needed)) return ok(null);
  return err({ code: "scope_insufficient", detail: `This call needs the scope ${needed}.`, requiredScopes: [needed] });
}

/** What the registry refused, for the caller. A question has no body: its faults are in the query. */
export function fromRegistry(error: RegistryError, isWrite: boolean): Problem {
  if (error.code !== "request_invalid") return { code: error.code, detail: error.detail };
  const fault: FieldError = { pointer: error.pointer ?? "", detail: error.detail };
  const errors = [isWrite ? fault : { ...fault, in: "query" as const }];
  return { code: error.code, detail: "The request has faults; see errors.", errors };
}

/** The registry was not reached. The cause goes to the log, not to the caller. */
export function fromUnavailable(unavailable: RegistryUnavailable, isWrite: boolean): Problem {
  const detail =
    isWrite && unavailable.maybeDone
      ? "The change may or may not have been made. Send it again with the same Idempotency-Key to find out."
      : "Nothing was changed. Try again shortly.";
  return { code: "storage_unavailable", detail };
}
