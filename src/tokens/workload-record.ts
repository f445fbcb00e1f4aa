import type { NewWorkload } from "../../durable-objects/key-registry/api.ts";
import { MAX_NAME_CHARACTERS } from "../constants.ts";
import { digestKey } from "../keys/digest.ts";
import type { CompiledRule } from "./trust.ts";

/** The record of an identity, as its rule wants it. */

/**
 * Stands where a key's text would. With its line break it can be no credential (`keys/format.ts` takes visible ASCII alone), so
 * that nobody can present what this hash is of.
 */
const NOT_A_KEY = "latchkey workload\n";

/** @param subject `sub` of a verified token. */
export function describeWorkload(compiled: CompiledRule, issuer: string, subject: string): NewWorkload {
  const { rule, workspace, maxIdentities } = compiled;
  const perSubject = (rule.identity ?? "subject") === "subject";
  // What cannot change with a record is part of who it is: a rule that moves to another owner makes new identities.
  const who = [workspace, rule.name, rule.environment, rule.owner, issuer, perSubject ? subject : null];
  return {
    hash: digestKey(NOT_A_KEY + JSON.stringify(who)),
    rule: rule.name,
    maxIdentities,
    name: shorten(perSubject ? subject : rule.name),
    owner: rule.owner,
    environment: rule.environment,
    scopes: rule.scopes,
    plan: rule.plan ?? null,
    limits: rule.limits ?? [],
    policy: rule.strict === true ? { strict: true } : {},
    metadata: { workload: { rule: rule.name, issuer, ...(perSubject ? { subject } : {}) } },
  };
}

function shorten(text: string): string {
  return text.length <= MAX_NAME_CHARACTERS ? text : `${text.slice(0, MAX_NAME_CHARACTERS - 1).toWellFormed()}…`;
}
