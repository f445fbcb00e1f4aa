import type { ShownAlert } from "../../durable-objects/alert-center/api.ts";
import type {
  AuditEntry,
  AuditFilter,
  KeyFilter,
  KeyRecord,
  OwnerRecord,
  Page,
  RegistryStatus,
} from "../../durable-objects/key-registry/api.ts";
import type { FindingFilter } from "../../durable-objects/watch/api.ts";
import type { Severity } from "../alerts/kinds.ts";
import { addSilence, endSilence, listSilences } from "../control/alert-silences.ts";
import { acknowledgeAlert, listAlerts, readAlert, resolveAlert } from "../control/alerts.ts";
import { listAudit, verifyAudit } from "../control/audit.ts";
import { listDetections, type ShownFinding } from "../control/detections.ts";
import type { Caller } from "../control/caller.ts";
import { disableKey, enableKey, revokeKey, rotateKey } from "../control/key-lifecycle.ts";
import { createKey, listKeys, patchKey, readKey } from "../control/keys.ts";
import { readMeasures } from "../control/measures.ts";
import type { Answer, Operation } from "../control/operation.ts";
import { CONTROL_BASE } from "../control/operations.ts";
import { disableOwner, enableOwner, listOwners, putOwner, readOwner } from "../control/owners.ts";
import { openPortal } from "../control/portal.ts";
import { requireScope } from "../control/problem.ts";
import type { Outcome } from "../control/problem.ts";
import { listRequests, readRequest } from "../control/requests.ts";
import { readUsage } from "../control/usage.ts";
import type { Measure } from "../measures/compute.ts";
import { logError } from "../platform/log.ts";
import type { summaryOf, timelineOf } from "../request-log/view.ts";
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
  /** The entity tag of what was looked at. */
  readonly ifMatch?: string;
}

/** A key as issuing and rotating answer with it: `key` is there once, and never for a repeat. */
export type IssuedKey = KeyRecord & { readonly key?: string; readonly signingSecret?: string };
export type RevokedKey = KeyRecord & {
  readonly effectiveBy: string | null;
  readonly delivery: "delivered" | "pending";
};
/** An alert as the API shows it. */
export interface AlertView extends Pick<
  ShownAlert,
  "id" | "kind" | "severity" | "state" | "owner" | "team" | "moreSubjects"
> {
  readonly title: string;
  readonly startedAt: string;
  readonly lastAt: string;
  readonly subjects: readonly {
    readonly subject: string;
    readonly lastAt: string;
    readonly severity: Severity;
    readonly summary: string;
    readonly evidence: { readonly path: string; readonly numbers: Readonly<Record<string, number>> };
  }[];
  readonly told: readonly { readonly destination: string; readonly at: string; readonly state: string }[];
  readonly runbook: string;
}
/** A finding as the API shows it. */
export type FindingView = ShownFinding;
export interface AlertEvent {
  readonly at: string;
  readonly event: string;
  readonly by: string;
}
export interface AlertSilence {
  readonly id: string;
  readonly match: unknown;
  readonly endsAt: string;
  readonly reason: string;
  readonly createdBy: string;
}
export type RequestTimeline = ReturnType<typeof timelineOf>;
export interface RequestPage extends Page<ReturnType<typeof summaryOf>> {
  /** Refused ones past the bounds. */
  readonly notKept: number;
  readonly sampleRate: number;
}
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
  async run<T>(operation: Operation, input: OperationInput = {}): Promise<Outcome<T>> {
    const answered = await this.#ask(operation, input);
    // The body is what the operation's schema says, which tests hold against its answers.
    return answered.ok ? ok(answered.value.body as T) : answered;
  }

  async #ask(
    operation: Operation,
    { id = "", query = {}, body, idempotencyKey, ifMatch }: OperationInput,
  ): Promise<Outcome<Answer>> {
    const url = new URL(CONTROL_BASE + operation.path.replace("{id}", encodeURIComponent(id)), this.#request.url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    const headers = new Headers();
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (idempotencyKey !== undefined) headers.set("Idempotency-Key", idempotencyKey);
    if (ifMatch !== undefined) headers.set("If-Match", ifMatch);
    const method = operation.method.toUpperCase();
    const request = new Request(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return await operation.run(request, this.caller, id, this.#deps.control);
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

  patchKey(id: string, body: object, ifMatch: string): Promise<Outcome<KeyRecord>> {
    return this.run(patchKey, { id, body, ifMatch });
  }

  putOwner(id: string, body: object, ifMatch: string): Promise<Outcome<OwnerRecord>> {
    return this.run(putOwner, { id, body, ifMatch });
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

  openPortal(id: string): Promise<Outcome<{ readonly url: string; readonly expiresAt: string }>> {
    return this.run(openPortal, { id });
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

  /** The same as a file. */
  async download(query: Readonly<Record<string, string | undefined>>): Promise<Outcome<string>> {
    const answered = await this.#ask(readUsage, { query: { ...query, format: "csv" } });
    return answered.ok ? ok(answered.value.csv ?? "") : answered;
  }

  listAlerts(
    filter: Readonly<Record<"state" | "severity" | "kind" | "owner", string | undefined>> & Paging,
  ): Promise<Outcome<Page<AlertView>>> {
    return this.run(listAlerts, { query: { ...filter } });
  }

  readAlert(id: string): Promise<Outcome<AlertView & { readonly history: readonly AlertEvent[] }>> {
    return this.run(readAlert, { id });
  }

  turnAlert(id: string, to: "acknowledge" | "resolve"): Promise<Outcome<AlertView>> {
    return this.run(to === "acknowledge" ? acknowledgeAlert : resolveAlert, { id });
  }

  listDetections(filter: Filter<FindingFilter> & Paging): Promise<Outcome<Page<FindingView>>> {
    return this.run(listDetections, { query: { ...filter } });
  }

  readMeasures(
    query: Readonly<Record<"from" | "to" | "top", string>>,
  ): Promise<Outcome<{ readonly measures: readonly Measure[] }>> {
    return this.run(readMeasures, { query });
  }

  listSilences(paging: Paging): Promise<Outcome<Page<AlertSilence>>> {
    return this.run(listSilences, { query: { ...paging } });
  }

  addSilence(body: object, idempotencyKey: string): Promise<Outcome<AlertSilence>> {
    return this.run(addSilence, { body, idempotencyKey });
  }

  endSilence(id: string): Promise<Outcome<AlertSilence>> {
    return this.run(endSilence, { id });
  }

  listRequests(query: Readonly<Record<string, string | number | undefined>>): Promise<Outcome<RequestPage>> {
    return this.run(listRequests, { query });
  }

  readRequest(id: string): Promise<Outcome<RequestTimeline>> {
    return this.run(readRequest, { id });
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
