import { canonicalJson } from "../../src/canonical-json.ts";
import { isKeyHash } from "../../src/keys/digest.ts";
import { checkIssuance } from "../../src/keys/issuance.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { KeyPatch, KeyRecord, NewKey, NewWorkload, RegistryError } from "./api.ts";
import { fail } from "./change.ts";
import type { Change } from "./change.ts";
import { toKeyRecord } from "./edge-record.ts";
import type { KeysTable } from "./keys-table.ts";
import { addNewKey, checkOwner } from "./new-key.ts";
import type { StoredKey } from "./stored-key.ts";

/**
 * Identities of workloads: keys without a secret, made and kept by their trust rule. An operator stops, starts and revokes them
 * like any key; what they may do is the rule's to say.
 */

/** What must hold before a hash is claimed; `null` when it does. */
export function checkWorkload(input: NewWorkload): Result<never, RegistryError> | null {
  if (!isKeyHash(input.hash)) return fail("request_invalid", "The hash is not a SHA-256 in base64url.", "/hash");
  const problem = checkIssuance(toNewKey(input))[0];
  return problem === undefined ? null : fail("request_invalid", problem.detail, problem.pointer);
}

export function isKnownWorkload(input: NewWorkload, keys: KeysTable): boolean {
  return keys.byHash(input.hash) !== null;
}

/**
 * The identity's record: made when it is new, brought to what the rule says when that has changed, otherwise left alone. One that
 * was revoked stays as it was then. A disabled owner gets no new ones: a rule would go on making records of those who are stopped.
 */
export function ensureWorkload(change: Change, input: NewWorkload): Result<KeyRecord, RegistryError> {
  const known = change.parts.keys.byHash(input.hash);
  if (known === null) return addWorkload(change, input);
  if (known.kind !== "workload") return fail("conflict", `This hash is of a key, ${known.id}.`, "/hash");
  const { name, scopes, plan, limits, policy } = input;
  const next: StoredKey = { ...known, name, scopes, plan, limits, policy, metadata: input.metadata };
  if (known.state === "revoked" || canonicalJson(next) === canonicalJson(known)) {
    return ok(toKeyRecord(change.keepKey(known), change.now));
  }
  const changed = change.replaceKey(known, next, "key.update", `as the trust rule ${input.rule} says now`);
  return ok(toKeyRecord(changed, change.now));
}

function addWorkload(change: Change, input: NewWorkload): Result<KeyRecord, RegistryError> {
  const stopped = checkOwner(input, change.parts.owners);
  if (stopped !== null) return stopped;
  const { sql } = change.parts;
  const row = sql.exec<{ keys: number }>("SELECT keys FROM workload_counts WHERE rule = ?", input.rule).toArray()[0];
  if ((row?.keys ?? 0) >= input.maxIdentities) {
    return fail(
      "conflict",
      `The trust rule ${input.rule} has ${input.maxIdentities} identities, and may have no more.`,
    );
  }
  sql.exec(
    "INSERT INTO workload_counts (rule, keys) VALUES (?, 1) ON CONFLICT (rule) DO UPDATE SET keys = keys + 1",
    input.rule,
  );
  return ok(addNewKey(change, toNewKey(input), "key.create"));
}

function toNewKey({ rule, maxIdentities: _bound, ...input }: NewWorkload): NewKey {
  return {
    ...input,
    kind: "workload",
    hint: `workload:${rule}`,
    bindings: {},
    tags: [`trust:${rule}`],
    purpose: null,
    notBefore: null,
    expiresAt: null,
  };
}

/** What the rule says is not patched; what only operators know is. */
const OF_THE_RULE = ["name", "scopes", "plan", "limits", "policy", "metadata"] as const satisfies (keyof KeyPatch)[];

/** `null`: the patch may go on. */
export function refuseWorkloadPatch(key: StoredKey, patch: KeyPatch): Result<never, RegistryError> | null {
  const field = key.kind === "workload" ? OF_THE_RULE.find((name) => patch[name] !== undefined) : undefined;
  if (field === undefined) return null;
  const detail = "A workload has this from its trust rule: change the rule in the configuration.";
  return fail("request_invalid", detail, `/${field}`);
}
