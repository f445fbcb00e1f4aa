import type { Policy } from "../keys/record.ts";
import { z } from "@hono/zod-openapi";
import type { KeyFilter, KeyPatch } from "../../durable-objects/key-registry/api.ts";
import { DEFAULT_LIST_LIMIT, MAX_SEARCH_CHARACTERS, MAX_TAG_CHARACTERS } from "../constants.ts";
import type { KeyKind } from "../keys/record.ts";
import { ok } from "../result.ts";
import { checkEscalation, checkPlan, checkSigning, faultsOf, makeSecret, present, toNewKey } from "./issuance-rules.ts";
import { lostRace, readForChange } from "./key-change.ts";
import { answerIssued, answerRecord, answerWritten, shownSigningSecret } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import { invalid } from "./problem.ts";
import {
  environmentSchema,
  recordKindSchema,
  ownerIdSchema,
  pageQuery,
  planSchema,
  plainText,
  scopeSchema,
  statusSchema,
  queryTimeSchema,
} from "./schemas/common.ts";
import {
  issuedKeySchema,
  KEY_ID_EXAMPLE,
  keyPageSchema,
  keyRecordSchema,
  patchedKeySchema,
} from "./schemas/key-record.ts";
import { createKeySchema, patchKeySchema } from "./schemas/key.ts";
import { KEY_ID_PATTERN } from "./schemas/names.ts";

/** `/keys`: issue, find, read, change. */

const ONE_KEY = { idPattern: KEY_ID_PATTERN, idExample: KEY_ID_EXAMPLE } as const;

export const createKey = defineOperation({
  method: "post",
  path: "/keys",
  scope: "keys:write",
  operationId: "createKey",
  tag: "Keys",
  summary: "Issue a key",
  description:
    "The answer shows the key once, and with `policy.signature` by `hmac-sha256` the secret to sign with. A secret key needs at least one scope; a publishable key needs an origin binding and takes publishable scopes only; an admin key takes scopes of the control API, is always strict, and cannot be given a scope that its issuer does not hold.",
  body: createKeySchema,
  write: true,
  success: {
    status: 201,
    description: "The record and, this once, the key.",
    schema: issuedKeySchema,
    headers: ["ETag", "Location"],
  },
  problems: ["conflict", "idempotency_conflict"],
  async handle({ body, caller, context, deps, registry }) {
    const faults = [...faultsOf(body, deps.config), ...checkSigning(body.policy, deps.env)];
    if (faults.length > 0) return invalid(faults);
    const allowed = checkEscalation(caller, body.kind, body.scopes);
    if (!allowed.ok) return allowed;
    const { key, ...secret } = makeSecret(deps.config, caller.workspace, body.environment);
    const written = await registry.write((keys) => keys.create(toNewKey(body, secret), context));
    return written.ok ? ok(await answerIssued(written.value, key, deps)) : written;
  },
});

const listQuery = z.strictObject({
  owner: ownerIdSchema.optional(),
  environment: environmentSchema.optional(),
  status: statusSchema.optional(),
  kind: recordKindSchema.optional(),
  scope: scopeSchema.optional(),
  tag: z.string().min(1).max(MAX_TAG_CHARACTERS).optional(),
  plan: planSchema.optional(),
  expiresBefore: queryTimeSchema.optional().openapi({ description: "Soonest first." }),
  lastUsedBefore: queryTimeSchema
    .optional()
    .openapi({ description: "Longest unused first; keys that were never used are among them." }),
  createdAfter: queryTimeSchema.optional(),
  q: plainText(MAX_SEARCH_CHARACTERS).optional().openapi({
    description: "Words looked for at the start of words of name, owner and purpose, or in the id or hint.",
  }),
  ...pageQuery,
});

export const listKeys = defineOperation({
  method: "get",
  path: "/keys",
  scope: "keys:read",
  operationId: "listKeys",
  tag: "Keys",
  summary: "List keys",
  description: "Newest first, unless a filter says otherwise. Filters combine: a key must meet all of them.",
  query: listQuery,
  write: false,
  success: { status: 200, description: "One page.", schema: keyPageSchema },
  problems: [],
  async handle({ query, registry }) {
    const { limit = DEFAULT_LIST_LIMIT, cursor = null, ...filter } = query;
    const page = await registry.read((keys) => keys.list(present<KeyFilter>(filter), limit, cursor));
    return page.ok ? ok({ status: 200, body: page.value }) : page;
  },
});

export const readKey = defineOperation({
  method: "get",
  path: "/keys/{id}",
  scope: "keys:read",
  operationId: "readKey",
  tag: "Keys",
  summary: "Read a key's record",
  description: "Never the key itself, nor its hash.",
  ...ONE_KEY,
  write: false,
  success: { status: 200, description: "The record.", schema: keyRecordSchema, headers: ["ETag"] },
  problems: ["not_found"],
  async handle({ id, registry }) {
    const found = await registry.read((keys) => keys.get(id));
    return found.ok ? ok(answerRecord(found.value)) : found;
  },
});

type PatchBody = z.output<typeof patchKeySchema>;

export const patchKey = defineOperation({
  method: "patch",
  path: "/keys/{id}",
  scope: "keys:write",
  operationId: "patchKey",
  tag: "Keys",
  summary: "Change a key",
  description:
    "A JSON merge patch (RFC 7396) of everything but the key's identity: owner, environment and kind stay. Send `If-Match` to refuse the change when someone else's came first. What results must be a key that could be issued. Admin keys can be changed only by who holds every scope that they hold and would hold.",
  ...ONE_KEY,
  body: patchKeySchema,
  mergePatch: true,
  write: true,
  ifMatch: true,
  success: { status: 200, description: "The record after the change.", schema: patchedKeySchema, headers: ["ETag"] },
  problems: ["not_found", "conflict", "idempotency_conflict", "precondition_failed"],
  async handle(call) {
    const { body, caller, deps, id, registry } = call;
    const faults = [...checkPlan(body.plan ?? null, deps.config), ...checkSigning(body.policy, deps.env)];
    if (faults.length > 0) return invalid(faults);
    const current = await readForChange(call);
    if (!current.ok) return current;
    const { record, context } = current.value;
    const allowed = checkEscalation(caller, record.kind, body.scopes ?? []);
    if (!allowed.ok) return allowed;
    const written = await registry.write((keys) => keys.patch(id, toPatch(body, record.kind), context));
    if (!written.ok) return lostRace(written, call);
    const answer = answerWritten(written.value);
    // Whoever turns the demand on, or says it again, is shown what to sign with; a replay is not, as at issuance.
    const asked = body.policy?.signature !== undefined && !written.value.replayed;
    const shown = asked ? await shownSigningSecret(written.value.value, deps) : {};
    return ok({ ...answer, body: { ...written.value.value, ...shown } });
  },
});

/** `null` takes a member away; for lists, that leaves an empty one. */
function toPatch({ tags, limits, bindings, policy, ...rest }: PatchBody, kind: KeyKind): KeyPatch {
  return present<KeyPatch>({
    ...present(rest),
    tags: tags === null ? [] : tags,
    limits: limits === null ? [] : limits,
    bindings: bindings === null || bindings === undefined ? bindings : emptyToNull(bindings),
    policy: kind === "admin" ? keepStrict(policy) : policy,
  });
}

/** An empty list of bindings binds nothing, and is stored as nothing. */
function emptyToNull(bindings: object): Readonly<Record<string, unknown>> {
  const entries = Object.entries(bindings).filter(([, list]) => list !== undefined);
  return Object.fromEntries(
    entries.map(([name, list]) => [name, Array.isArray(list) && list.length === 0 ? null : list]),
  );
}

const NO_POLICY: Readonly<Record<keyof Policy, null>> = {
  strict: null,
  onMeterUnavailable: null,
  graceSeconds: null,
  leaseTtlSeconds: null,
  exchangeOnly: null,
  tokenTtlSeconds: null,
  requireDpop: null,
  signature: null,
};

/** An admin key stays strict when its policy is taken away; one that asks for `strict: false` is refused by the registry. */
function keepStrict(policy: PatchBody["policy"]): KeyPatch["policy"] {
  if (policy === undefined) return undefined;
  if (policy === null) return { ...NO_POLICY, strict: true };
  return { ...policy, strict: policy.strict ?? true };
}
