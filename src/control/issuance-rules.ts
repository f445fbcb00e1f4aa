import type { z } from "@hono/zod-openapi";
import type { KeyRecord, NewKey } from "../../durable-objects/key-registry/api.ts";
import type { GatewayConfig } from "../config.ts";
import { MIN_TOKEN_SECRET_CHARACTERS } from "../constants.ts";
import { coversAdminScopes } from "../keys/admin-scopes.ts";
import { hintOf } from "../keys/hint.ts";
import { digestKey } from "../keys/digest.ts";
import { generateKey } from "../keys/generate.ts";
import { checkIssuance } from "../keys/issuance.ts";
import type { IssuanceFault } from "../keys/issuance.ts";
import type { Bindings, Environment, KeyHash, Policy } from "../keys/record.ts";
import { err, ok } from "../result.ts";
import type { Caller } from "./caller.ts";
import type { ControlEnv } from "./dependencies.ts";
import type { Outcome } from "./problem.ts";
import type { createKeySchema } from "./schemas/key.ts";

/** What issuing, importing, changing and rotating have in common. */

export type KeyInput = z.output<typeof createKeySchema>;

/** A policy as parsed: zod says `undefined` where a member is absent. */
type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

const DEFAULT_PREFIX = "lk";

/**
 * What one field alone does not show. Deadlines are left to the registry, which looks at them only where the change is made:
 * a repeat that comes after the expiry still gets its first answer.
 */
export function faultsOf(input: KeyInput, config: GatewayConfig): readonly IssuanceFault[] {
  const { kind, scopes, notBefore, expiresAt } = input;
  const shape = {
    kind,
    scopes,
    notBefore,
    expiresAt,
    bindings: present<Bindings>(input.bindings),
    policy: present<Policy>(input.policy),
  };
  return [...checkIssuance(shape, config.publishableScopes), ...checkPlan(input.plan, config)];
}

export function checkPlan(plan: string | null, config: GatewayConfig): readonly IssuanceFault[] {
  if (plan === null || Object.hasOwn(config.plans ?? {}, plan)) return [];
  return [{ pointer: "/plan", detail: "There is no plan of this name in the configuration." }];
}

/** A demand for HMAC signatures needs something to derive their secrets from. */
export function checkSigning(
  policy: { readonly signature?: { readonly algorithm: string } | null | undefined } | null | undefined,
  env: Pick<ControlEnv, "LATCHKEY_TOKEN_SECRET">,
): readonly IssuanceFault[] {
  if (policy?.signature?.algorithm !== "hmac-sha256") return [];
  if ((env.LATCHKEY_TOKEN_SECRET ?? "").length >= MIN_TOKEN_SECRET_CHARACTERS) return [];
  const detail = `This deployment has no LATCHKEY_TOKEN_SECRET of ${MIN_TOKEN_SECRET_CHARACTERS} characters or more, so it has no signing secrets. Set it, or use ed25519.`;
  return [{ pointer: "/policy/signature/algorithm", detail }];
}

/** The input as the registry takes it. Empty binding lists bind nothing and are dropped; an admin key is strict, said or not. */
export function toNewKey(input: KeyInput, secret: { readonly hash: KeyHash; readonly hint: string }): NewKey {
  const policy = present<Policy>(input.policy);
  return {
    ...secret,
    name: input.name,
    owner: input.owner,
    environment: input.environment,
    kind: input.kind,
    scopes: input.scopes,
    plan: input.plan,
    limits: input.limits,
    bindings: withoutEmptyLists(present<Bindings>(input.bindings)),
    policy: input.kind === "admin" ? { ...policy, strict: true } : policy,
    metadata: input.metadata,
    tags: input.tags,
    purpose: input.purpose,
    notBefore: input.notBefore,
    expiresAt: input.expiresAt,
  };
}

/** A new secret. The key itself goes into the one answer; the registry gets the rest. */
export function makeSecret(
  config: GatewayConfig,
  workspace: string,
  environment: Environment,
): { readonly key: string; readonly hash: KeyHash; readonly hint: string } {
  const workspaces = config.workspaces ?? {};
  const own = Object.hasOwn(workspaces, workspace) ? workspaces[workspace] : undefined;
  const prefix = own?.prefix ?? DEFAULT_PREFIX;
  const randomBytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const key = generateKey({ prefix, environment, randomBytes });
  return { key, hash: digestKey(key), hint: hintOf(key) };
}

/**
 * An admin key may only hand out, change, replace or stop admin keys that can do no more than itself. Otherwise whoever may
 * write keys could make, or rotate and so take over, one that may do everything.
 */
export function checkEscalation(caller: Caller, kind: KeyRecord["kind"], scopes: readonly string[]): Outcome<null> {
  if (kind !== "admin" || coversAdminScopes(caller.scopes, scopes)) return ok(null);
  return err({
    code: "scope_insufficient",
    detail: "An admin key cannot give, or take over, scopes that it does not hold.",
  });
}

export function withoutEmptyLists(bindings: Bindings): Bindings {
  return Object.fromEntries(Object.entries(bindings).filter(([, list]) => Array.isArray(list) && list.length > 0));
}

/** Leaves out members that are `undefined`, which is how an optional member that was not sent comes out of zod. */
export function present<T extends object>(value: Loose<T>): T {
  // Each member has its type in T once the undefined ones are gone; all members of T are optional where this is used.
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
