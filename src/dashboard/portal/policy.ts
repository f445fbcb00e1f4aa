import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import type { GatewayConfig } from "../../config.ts";
import type { Environment } from "../../keys/record.ts";
import type { Outcome } from "../../control/problem.ts";

/** What an owner may do by itself. Pure. */

export interface SelfService {
  readonly rotate: boolean;
  readonly issue: {
    readonly scopes: readonly string[];
    readonly environments: readonly Environment[];
    readonly plan: string | null;
    readonly maxKeys: number;
    readonly maxTtlDays: number;
  } | null;
}

const DEFAULT_MAX_KEYS = 10;
const DEFAULT_MAX_TTL_DAYS = 90;

export function selfServiceOf({ selfService = {} }: Pick<GatewayConfig, "selfService">): SelfService {
  const { rotate = true, issue = false } = selfService;
  if (issue === false) return { rotate, issue: null };
  const { scopes, environments = ["live", "test"], plan, maxKeys, maxTtlDays } = issue;
  return {
    rotate,
    issue: {
      scopes,
      environments,
      plan: plan ?? null,
      maxKeys: maxKeys ?? DEFAULT_MAX_KEYS,
      maxTtlDays: maxTtlDays ?? DEFAULT_MAX_TTL_DAYS,
    },
  };
}

/** Keys that open the API, which is the owner's business. Admin keys open Latchkey, and workloads have nothing to show. */
export function isOwnersBusiness({ kind }: Pick<KeyRecord, "kind">): boolean {
  return kind === "secret" || kind === "publishable";
}

export function mayRotate(key: KeyRecord, policy: SelfService): boolean {
  return policy.rotate && isOwnersBusiness(key) && key.status === "active";
}

export interface Wanted {
  readonly name: string;
  readonly environment: string;
  readonly scopes: readonly string[];
  readonly days: number;
}

/** Whether the policy lets an owner with these keys have another one like this. */
export function checkWanted(wanted: Wanted, keys: readonly KeyRecord[], { issue }: SelfService): Outcome<null> {
  if (issue === null) return refuse("Keys are issued by whoever runs this API. Ask them for one.");
  const held = keys.filter(({ status }) => status !== "revoked" && status !== "expired");
  if (held.length >= issue.maxKeys)
    return refuse(`You may have ${issue.maxKeys} keys at once. End one that is not needed first.`);
  if (!issue.environments.some((environment) => environment === wanted.environment))
    return refuse("There are no keys for that environment.");
  if (wanted.scopes.length === 0) return refuse("Choose at least one thing that the key may do.");
  if (!wanted.scopes.every((scope) => issue.scopes.includes(scope)))
    return refuse("That is more than you may give to a key.");
  if (!(Number.isInteger(wanted.days) && wanted.days >= 1 && wanted.days <= issue.maxTtlDays))
    return refuse(`A key may live for 1 to ${issue.maxTtlDays} days.`);
  return { ok: true, value: null };
}

function refuse(detail: string): Outcome<null> {
  return { ok: false, error: { code: "scope_insufficient", detail } };
}
