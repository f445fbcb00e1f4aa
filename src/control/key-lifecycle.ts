import { z } from "@hono/zod-openapi";
import type { KeyRecord, Written } from "../../durable-objects/key-registry/api.ts";
import {
  DEFAULT_OVERLAP_SECONDS,
  LEASE_TTL_MS,
  MAX_NOTE_CHARACTERS,
  MAX_OVERLAP_SECONDS,
  REVOCATION_BOUND_SECONDS,
} from "../constants.ts";
import { ok } from "../result.ts";
import { entityTag } from "./idempotency.ts";
import { makeSecret } from "./issuance-rules.ts";
import { lostRace, readForChange } from "./key-change.ts";
import { answerIssued, answerWritten, replayHeader } from "./key-answer.ts";
import { noteOfLeak } from "../measures/leak-note.ts";
import { defineOperation } from "./operation.ts";
import type { Answer, Call } from "./operation.ts";
import type { Outcome } from "./problem.ts";
import { noMembersSchema, plainText, timeSchema } from "./schemas/common.ts";
import {
  issuedKeySchema,
  KEY_ID_EXAMPLE,
  keyRecordSchema,
  revocationReasonSchema,
  revokedKeySchema,
} from "./schemas/key-record.ts";
import { KEY_ID_PATTERN } from "./schemas/names.ts";

/** What happens to a key after it was issued: rotate, revoke, disable, enable. */

const CHANGE = {
  method: "post",
  idPattern: KEY_ID_PATTERN,
  idExample: KEY_ID_EXAMPLE,
  bodyRequired: false,
  write: true,
  ifMatch: true,
  problems: ["not_found", "conflict", "idempotency_conflict", "precondition_failed"],
} as const;

const rotateSchema = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(MAX_OVERLAP_SECONDS)
      .default(DEFAULT_OVERLAP_SECONDS)
      .openapi({ description: "How long the old key goes on working. 0 ends it at once." }),
    expiresAt: timeSchema.nullable().optional().openapi({
      description: "Of the new key. Absent: the old one's lifetime anew, from now; null: none.",
    }),
  })
  .openapi("Rotation", { example: { overlapSeconds: 3600 } });

export const rotateKey = defineOperation({
  ...CHANGE,
  path: "/keys/{id}/rotate",
  scope: "keys:write",
  operationId: "rotateKey",
  tag: "Keys",
  summary: "Replace a key",
  description:
    "Makes a new key of the same lineage: limits go on counting where they are. The old key's `notAfter` becomes the end of the overlap; its answers carry `Deprecation` and `Sunset` until then. An admin key can be rotated only by who holds every scope that it holds.",
  body: rotateSchema,
  success: {
    status: 201,
    description: "The new key's record and, this once, the key.",
    schema: issuedKeySchema,
    headers: ["ETag", "Location"],
  },
  async handle(call) {
    const { body, caller, deps, id, registry } = call;
    const current = await readForChange(call);
    if (!current.ok) return current;
    const { record, context } = current.value;
    const { key, ...secret } = makeSecret(deps.config, caller.workspace, record.environment);
    const rotation = { ...secret, overlapSeconds: body.overlapSeconds, expiresAt: body.expiresAt };
    const written = await registry.write((keys) => keys.rotate(id, rotation, context));
    return written.ok ? ok(await answerIssued(written.value, key, deps)) : lostRace(written, call);
  },
});

const revokeSchema = z
  .strictObject({
    reason: revocationReasonSchema,
    note: plainText(MAX_NOTE_CHARACTERS).nullable().optional().openapi({ description: "For the audit trail." }),
    leakedAt: timeSchema.optional().openapi({
      description:
        "When it leaked, where that is known: the measures M15 and M16 count from there. Stands in the audit trail.",
    }),
  })
  .openapi("Revocation", { example: { reason: "leaked", note: "Seen in a public repository" } });

export const revokeKey = defineOperation({
  ...CHANGE,
  path: "/keys/{id}/revoke",
  scope: "keys:revoke",
  operationId: "revokeKey",
  tag: "Keys",
  summary: "Revoke a key for good",
  description: `Stops the key everywhere within ${REVOCATION_BOUND_SECONDS} seconds, a strict key at once. There is no way back. Any admin key with \`keys:revoke\` may revoke any key: containment must not wait for someone with more scopes.`,
  body: revokeSchema,
  bodyRequired: true,
  success: {
    status: 200,
    description: "The record, and by when no request passes.",
    schema: revokedKeySchema,
    headers: ["ETag"],
  },
  async handle({ body, context, id, registry, deps }) {
    const note = noteOfLeak(body.leakedAt, body.note ?? null);
    const written = await registry.write((keys) => keys.revoke(id, body.reason, note, context));
    return written.ok ? ok(answerRevoked(written.value, deps.now())) : written;
  },
});

export const disableKey = defineOperation({
  ...CHANGE,
  path: "/keys/{id}/disable",
  scope: "keys:write",
  operationId: "disableKey",
  tag: "Keys",
  summary: "Stop a key, reversibly",
  description:
    "Refused with `key_disabled` until enabled again. Takes hold as fast as a revocation. An admin key can be stopped only by who holds every scope that it holds.",
  body: noMembersSchema,
  success: { status: 200, description: "The record.", schema: keyRecordSchema, headers: ["ETag"] },
  handle: (call) => setDisabled(call, true),
});

export const enableKey = defineOperation({
  ...CHANGE,
  path: "/keys/{id}/enable",
  scope: "keys:write",
  operationId: "enableKey",
  tag: "Keys",
  summary: "Let a disabled key work again",
  description: "A revoked key stays revoked. An admin key can be enabled only by who holds every scope that it holds.",
  body: noMembersSchema,
  success: { status: 200, description: "The record.", schema: keyRecordSchema, headers: ["ETag"] },
  handle: (call) => setDisabled(call, false),
});

export const revokeKeyTokens = defineOperation({
  ...CHANGE,
  path: "/keys/{id}/revoke-tokens",
  scope: "keys:revoke",
  operationId: "revokeKeyTokens",
  tag: "Keys",
  summary: "Revoke every token of a key",
  description: `Tokens that were minted from the key until now stop everywhere within ${REVOCATION_BOUND_SECONDS} seconds, those of a strict key at once. The key itself goes on, and new tokens can be minted from it. One token alone is revoked at \`/_latchkey/oauth/revoke\`.`,
  body: noMembersSchema,
  success: { status: 200, description: "The record.", schema: keyRecordSchema, headers: ["ETag"] },
  async handle({ context, id, registry }) {
    const written = await registry.write((keys) => keys.revokeTokens(id, { token: null, root: null }, context));
    return written.ok ? ok(answerWritten(written.value)) : written;
  },
});

type KeyCall = Call<unknown, unknown>;

async function setDisabled(call: KeyCall, disabled: boolean): Promise<Outcome<Answer>> {
  const current = await readForChange(call);
  if (!current.ok) return current;
  const { context } = current.value;
  const written = await call.registry.write((keys) => keys.setDisabled(call.id, disabled, context));
  return written.ok ? ok(answerWritten(written.value)) : lostRace(written, call);
}

/**
 * The bound counts from the revocation, and leases from before the meter took it: when that was slow, the last lease may have
 * been given up to now. Without delivery there is no bound to name yet: the outbox goes on trying.
 */
function answerRevoked(written: Written<KeyRecord>, now: number): Answer {
  const record = written.value;
  const headers = { ETag: entityTag(record.generation), ...replayHeader(written) };
  const delivery = written.delivered ? "delivered" : "pending";
  return {
    status: 200,
    body: { ...record, effectiveBy: written.delivered ? effectiveBy(written, now) : null, delivery },
    headers,
  };
}

function effectiveBy({ value, replayed }: Written<KeyRecord>, now: number): string | null {
  if (value.revokedAt === null) return null;
  // Without leases it stopped when its meter heard of it, which was before this answer.
  if (value.policy.strict === true) return replayed ? value.revokedAt : new Date(now).toISOString();
  const bound = Date.parse(value.revokedAt) + REVOCATION_BOUND_SECONDS * 1_000;
  return new Date(replayed ? bound : Math.max(bound, now + LEASE_TTL_MS)).toISOString();
}
