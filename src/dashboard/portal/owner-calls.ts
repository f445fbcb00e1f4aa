import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import type { Caller } from "../../control/caller.ts";
import { NOT_FOUND, type Outcome } from "../../control/problem.ts";
import { MAX_LIST_LIMIT } from "../../constants.ts";
import { coversAdminScopes } from "../../keys/admin-scopes.ts";
import type { LimitView } from "../../limits/limit.ts";
import { err, ok } from "../../result.ts";
import type { UsageAnswer } from "../../usage/query.ts";
import { ControlCalls, type IssuedKey } from "../control-calls.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import type { PortalSession } from "./link.ts";
import { checkWanted, isOwnersBusiness, mayRotate, selfServiceOf, type SelfService, type Wanted } from "./policy.ts";

/**
 * What an owner may ask. The control API's calls are kept inside: each way out of here names the session's own owner, or looks at a
 * key and finds that it is the owner's before anything is done with it.
 */

const DAY_MS = 86_400_000;

export class OwnerCalls {
  readonly owner: string;
  readonly policy: SelfService;
  readonly #calls: ControlCalls;
  /** For the one question about who made the link. */
  readonly #makers: ControlCalls;
  readonly #deps: DashboardDependencies;

  constructor({ owner, workspace, scopes }: PortalSession, request: Request, deps: DashboardDependencies) {
    const { control } = deps;
    const about = { address: control.clientIp(request), requestId: control.requestId(request) };
    const actor = { kind: "owner", id: owner, ...about } as const;
    this.owner = owner;
    this.policy = selfServiceOf(control.config);
    this.#deps = deps;
    this.#calls = new ControlCalls({ actor, workspace, scopes }, request, deps);
    this.#makers = new ControlCalls({ actor, workspace, scopes: ["keys:read"] }, request, deps);
  }

  /** For the rate of calls. */
  get caller(): Caller {
    return this.#calls.caller;
  }

  /** Whether an admin key still stands that made the owner's link. For the session, not for the owner. */
  async isMakerStanding(id: string): Promise<boolean> {
    const maker = await this.#makers.readKey(id);
    if (!maker.ok) return false;
    const { kind, status, scopes } = maker.value;
    // What it has lost since, it lends no more.
    const covers = coversAdminScopes(scopes, this.#calls.caller.scopes);
    return kind === "admin" && (status === "active" || status === "rotating") && covers;
  }

  async keys(): Promise<Outcome<readonly KeyRecord[]>> {
    const page = await this.#calls.listKeys({ owner: this.owner, limit: MAX_LIST_LIMIT });
    if (!page.ok) return page;
    return ok(page.value.data.filter((key) => this.#isOwn(key)));
  }

  /** As if it were not there, where it is somebody else's. */
  async key(id: string): Promise<Outcome<KeyRecord>> {
    const found = await this.#calls.readKey(id);
    if (!found.ok) return found;
    return this.#isOwn(found.value) ? found : err(NOT_FOUND);
  }

  #isOwn(key: KeyRecord): boolean {
    return key.owner === this.owner && isOwnersBusiness(key);
  }

  /** Of all of the owner's keys. */
  usage(query: Readonly<Record<string, string | undefined>>): Promise<Outcome<UsageAnswer>> {
    return this.#calls.readUsage({ ...query, owner: this.owner });
  }

  async usageOf(key: KeyRecord, query: Readonly<Record<string, string | undefined>>): Promise<Outcome<UsageAnswer>> {
    return await this.usage({ ...query, key: key.id });
  }

  async limitsOf({ id, lineageId, workspace }: KeyRecord): Promise<Outcome<readonly LimitView[]>> {
    return await this.#deps.limitsOfKey({ keyId: id, lineageId, workspace });
  }

  async rotate(id: string, overlapSeconds: number, idempotencyKey: string): Promise<Outcome<IssuedKey>> {
    const own = await this.key(id);
    if (!own.ok) return own;
    // A form that is sent again finds the key rotated already: the answer to a repeat is the registry's to give.
    if (own.value.status !== "rotating") {
      if (!mayRotate(own.value, this.policy)) return err(NOT_HERE);
      const keys = await this.keys();
      if (!keys.ok) return keys;
      const { lineageId } = own.value;
      if (keys.value.some((key) => key.lineageId === lineageId && key.status === "rotating")) return err(UNDER_WAY);
    }
    return await this.#calls.rotateKey(id, { overlapSeconds }, idempotencyKey);
  }

  async issue(wanted: Wanted, openedAt: number, idempotencyKey: string): Promise<Outcome<IssuedKey>> {
    const keys = await this.keys();
    if (!keys.ok) return keys;
    const allowed = checkWanted(wanted, keys.value, this.policy);
    if (!allowed.ok) return allowed;
    const { name, environment, scopes, days } = wanted;
    const expiresAt = new Date(openedAt + days * DAY_MS).toISOString();
    const { plan = null } = this.policy.issue ?? {};
    const body = { name, owner: this.owner, environment, kind: "secret", scopes, plan, expiresAt };
    return await this.#calls.createKey(body, idempotencyKey);
  }
}

const NOT_HERE = {
  code: "scope_insufficient",
  detail: "This key cannot be replaced here. Ask whoever runs this API.",
} as const;

/** Or one key could become any number of keys that work. */
const UNDER_WAY = {
  code: "conflict",
  detail: "This key was replaced already, and the one before it still works. Wait until it has ended.",
} as const;
