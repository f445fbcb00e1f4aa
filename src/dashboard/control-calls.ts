import type {
  AuditEntry,
  AuditFilter,
  KeyFilter,
  KeyRecord,
  OwnerRecord,
  Page,
  RegistryStatus,
} from "../../durable-objects/key-registry/api.ts";
import { listAudit, verifyAudit } from "../control/audit.ts";
import type { Caller } from "../control/caller.ts";
import { disableKey, enableKey, revokeKey, rotateKey } from "../control/key-lifecycle.ts";
import { createKey, listKeys, readKey } from "../control/keys.ts";
import type { Operation } from "../control/operation.ts";
import { CONTROL_BASE } from "../control/operations.ts";
import { disableOwner, enableOwner, listOwners, readOwner } from "../control/owners.ts";
import { requireScope } from "../control/problem.ts";
import type { Outcome } from "../control/problem.ts";
import { readUsage } from "../control/usage.ts";
import { logError } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import type { UsageAnswer } from "../usage/query.ts";
import type { DashboardDependencies } from "./dependencies.ts";

/**
 * The control API, called from within: the same operations, so that scopes, validation, audit entries and idempotency are the same.
 * There is no other way from a page to what is stored.
 */

export interface OperationInput {
  readonly id?: string;
  readonly query?: Readonly<Record<string, string | number | undefined>> | undefined;
  readonly body?: object;
  /** Of a form: sent again, it changes nothing and shows no secret. */
  readonly idempotencyKey?: string;
}

/** A key as issuing and rotating answer with it: `key` is there once, and never for a repeat. */
export type IssuedKey = KeyRecord & { readonly key?: string; readonly signingSecret?: string };
export type RevokedKey = KeyRecord & {
  readonly effectiveBy: string | null;
  readonly delivery: "delivered" | "pending";
};
export interface AuditVerification {
  readonly valid: boolean;
  readonly entries: number;
  readonly head: string;
  readonly firstBadSequence: number | null;
}

type Filter<T> = { readonly [K in keyof T]?: string | undefined };
interface Paging {
  readonly limit?: number;
  readonly cursor?: string | undefined;
}

/** What one visitor may ask, in one request. */
export class ControlCalls {
  readonly caller: Caller;
  readonly #request: Request;
  readonly #deps: DashboardDependencies;

  constructor(caller: Caller, request: Request, deps: DashboardDependencies) {
    this.caller = caller;
    this.#request = request;
    this.#deps = deps;
  }

  /** `T`: what the operation says that it answers. */
  async run<T>(
    operation: Operation,
    { id = "", query = {}, body, idempotencyKey }: OperationInput = {},
  ): Promise<Outcome<T>> {
    const url = new URL(CONTROL_BASE + operation.path.replace("{id}", encodeURIComponent(id)), this.#request.url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    const headers = new Headers();
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (idempotencyKey !== undefined) headers.set("Idempotency-Key", idempotencyKey);
    const method = operation.method.toUpperCase();
    const request = new Request(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answered = await operation.run(request, this.caller, id, this.#deps.control);
    // The body is what the operation's schema says, which tests hold against its answers.
    return answered.ok ? ok(answered.value.body as T) : answered;
  }

  listKeys(filter: Filter<KeyFilter> & Paging = {}): Promise<Outcome<Page<KeyRecord>>> {
    return this.run(listKeys, { query: { ...filter } });
  }

  readKey(id: string): Promise<Outcome<KeyRecord>> {
    return this.run(readKey, { id });
  }

  createKey(body: object, idempotencyKey: string): Promise<Outcome<IssuedKey>> {
    return this.run(createKey, { body, idempotencyKey });
  }

  rotateKey(id: string, body: object, idempotencyKey: string): Promise<Outcome<IssuedKey>> {
    return this.run(rotateKey, { id, body, idempotencyKey });
  }

  revokeKey(id: string, body: object): Promise<Outcome<RevokedKey>> {
    return this.run(revokeKey, { id, body });
  }

  setKeyDisabled(id: string, disabled: boolean): Promise<Outcome<KeyRecord>> {
    return this.run(disabled ? disableKey : enableKey, { id });
  }

  listOwners(paging: Paging = {}): Promise<Outcome<Page<OwnerRecord>>> {
    return this.run(listOwners, { query: { ...paging } });
  }

  readOwner(id: string): Promise<Outcome<OwnerRecord>> {
    return this.run(readOwner, { id });
  }

  setOwnerDisabled(id: string, disabled: boolean): Promise<Outcome<OwnerRecord>> {
    return this.run(disabled ? disableOwner : enableOwner, { id });
  }

  listAudit(filter: Filter<AuditFilter> & Paging = {}): Promise<Outcome<Page<AuditEntry>>> {
    return this.run(listAudit, { query: { ...filter } });
  }

  verifyAudit(): Promise<Outcome<AuditVerification>> {
    return this.run(verifyAudit);
  }

  /** Parameters of `GET /usage`. */
  readUsage(query: Readonly<Record<string, string | undefined>>): Promise<Outcome<UsageAnswer>> {
    return this.run(readUsage, { query });
  }

  async registryStatus(): Promise<Outcome<RegistryStatus>> {
    const allowed = requireScope(this.caller.scopes, "keys:read");
    if (!allowed.ok) return allowed;
    try {
      return ok(await this.#deps.registryStatus(this.caller.workspace));
    } catch (error) {
      logError(error, { part: "pages", reason: "the registry's status cannot be read" });
      return err({ code: "storage_unavailable", detail: "The registry cannot be read right now. Try again shortly." });
    }
  }
}
