import { z } from "@hono/zod-openapi";
import type { AuditFilter } from "../../durable-objects/key-registry/api.ts";
import { DEFAULT_LIST_LIMIT } from "../constants.ts";
import { ok } from "../result.ts";
import { present } from "./issuance-rules.ts";
import { defineOperation } from "./operation.ts";
import { pageQuery, queryTimeSchema, sentTimeSchema } from "./schemas/common.ts";

/** `/audit`: who did what to which key, when, from where. */

const nullableText = z.string().nullable();

const auditEntrySchema = z
  .strictObject({
    id: z.string().openapi({ example: "aud_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
    sequence: z.int().openapi({ description: "Without gaps, from 1.", example: 1 }),
    time: sentTimeSchema,
    action: z.string().openapi({ example: "key.revoke" }),
    actor: z.strictObject({
      kind: z.enum(["root", "admin_key", "person", "owner", "holder", "system"]),
      id: z.string().openapi({ example: "root" }),
      address: nullableText,
      requestId: nullableText,
    }),
    subject: z.strictObject({ kind: z.enum(["key", "owner", "workspace", "alert"]), id: z.string() }),
    before: z.unknown().openapi({ description: "The record before; null where there was none. Never a secret." }),
    after: z.unknown(),
    note: nullableText,
    previousHash: z.string(),
    hash: z.string().openapi({
      description: "SHA-256 over this entry and the one before: a changed or missing entry breaks the chain.",
    }),
  })
  .openapi("AuditEntry");

const auditPageSchema = z
  .strictObject({ data: z.array(auditEntrySchema), nextCursor: nullableText })
  .openapi("AuditPage");

const name = z.string().min(1).max(128);

export const listAudit = defineOperation({
  method: "get",
  path: "/audit",
  scope: "audit:read",
  operationId: "listAudit",
  tag: "Audit",
  summary: "Read the audit trail",
  description: "Newest first.",
  query: z.strictObject({
    subject: name.optional().openapi({ description: "Id of a key or an owner." }),
    actor: name.optional().openapi({ description: "`root`, or the id of an admin key." }),
    action: name.optional().openapi({ example: "key.revoke" }),
    from: queryTimeSchema.optional(),
    to: queryTimeSchema.optional(),
    ...pageQuery,
  }),
  write: false,
  success: { status: 200, description: "One page.", schema: auditPageSchema },
  problems: [],
  async handle({ query, registry }) {
    const { limit = DEFAULT_LIST_LIMIT, cursor = null, ...filter } = query;
    const page = await registry.read((keys) => keys.listAudit(present<AuditFilter>(filter), limit, cursor));
    return page.ok ? ok({ status: 200, body: page.value }) : page;
  },
});

export const verifyAudit = defineOperation({
  method: "get",
  path: "/audit/verify",
  scope: "audit:read",
  operationId: "verifyAudit",
  tag: "Audit",
  summary: "Recompute the hash chain",
  description: "Reads every entry and compares. Keep `head` somewhere else to notice a trail that was cut short.",
  write: false,
  success: {
    status: 200,
    description: "What was found.",
    schema: z
      .strictObject({
        valid: z.boolean(),
        entries: z.int(),
        head: z.string().openapi({ description: "Hash of the newest entry." }),
        firstBadSequence: z.int().nullable(),
      })
      .openapi("AuditVerification"),
  },
  problems: [],
  async handle({ registry }) {
    const verified = await registry.read(async (keys) => ok(await keys.verifyAudit()));
    return verified.ok ? ok({ status: 200, body: verified.value }) : verified;
  },
});
