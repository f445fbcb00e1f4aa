import { z } from "@hono/zod-openapi";
import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import { environmentSchema, recordKindSchema, sentTimeSchema, statusSchema } from "./common.ts";
import { bindingsSchema, policySchema } from "./key.ts";
import { limitSchema } from "./limit.ts";

/** A key as it is answered. Not used to validate answers at run time; tests hold the two together. */

export const KEY_ID_EXAMPLE = "key_01jd8q3v5x9k2m4n6p8r0s2t4v";

export const revocationReasonSchema = z.enum(["leaked", "retired", "compromised", "policy", "other"]);

export const keyIdSchema = z.string().openapi({ example: KEY_ID_EXAMPLE });

/** Names the same members as the type that the registry answers with, or this file does not compile. */
const RECORD_MEMBERS = {
  id: keyIdSchema,
  lineageId: z.string().openapi({
    description: "Outlives each secret: counters belong to it.",
    example: "lin_01jd8q3v5x9k2m4n6p8r0s2t4v",
  }),
  workspace: z.string().openapi({ example: "default" }),
  name: z.string().openapi({ example: "Billing worker" }),
  owner: z.string().openapi({ example: "acme" }),
  environment: environmentSchema,
  kind: recordKindSchema,
  status: statusSchema,
  ownStatus: statusSchema.optional().openapi({
    description:
      "Only while the key is disabled because its owner is: what it is by itself, and will be again when the owner is enabled.",
  }),
  hint: z.string().openapi({ description: "What may be shown of the key.", example: "lk_live_AbCd…wxyz" }),
  scopes: z.array(z.string()).openapi({ example: ["charges:read", "charges:write"] }),
  plan: z.string().nullable().openapi({ example: "pro" }),
  limits: z.array(limitSchema),
  bindings: bindingsSchema,
  policy: policySchema,
  metadata: z.record(z.string(), z.unknown()).openapi({ type: "object", additionalProperties: true }),
  tags: z.array(z.string()),
  purpose: z.string().nullable(),
  createdAt: sentTimeSchema,
  createdBy: z.string().openapi({ description: "`root`, or the id of the admin key.", example: "root" }),
  updatedAt: sentTimeSchema,
  notBefore: sentTimeSchema.nullable(),
  expiresAt: sentTimeSchema.nullable(),
  notAfter: sentTimeSchema
    .nullable()
    .openapi({ description: "The end of a rotation's overlap, on the key that is being replaced." }),
  rotatedFrom: keyIdSchema.nullable(),
  revokedAt: sentTimeSchema.nullable(),
  revokedReason: revocationReasonSchema.nullable(),
  lastUsedAt: sentTimeSchema.nullable().openapi({
    description:
      "From usage events: the first use after an hour without any shows within seconds; for a key in constant use it is up to an hour behind.",
  }),
  tokensRevokedAt: sentTimeSchema
    .optional()
    .openapi({ description: "Tokens that were minted from this key up to here are dead. Absent: none are." }),
  generation: z.int().openapi({ description: "Rises with every change; also the ETag.", example: 1 }),
} satisfies Record<keyof KeyRecord, z.ZodType>;

export const keyRecordSchema = z.strictObject(RECORD_MEMBERS).openapi("Key");

const keyMember = {
  key: z.string().optional().openapi({
    description: "The key itself. Only here, only once: a replayed answer does not have it.",
    example: "lk_live_<32 random characters><6 of checksum>",
  }),
};

const signingSecretMember = {
  signingSecret: z.string().optional().openapi({
    description:
      "With `policy.signature` by `hmac-sha256`: what to sign requests with, 32 bytes in base64url. Derived from the deployment's secret and the key's id, and stored nowhere.",
    example: "<43 characters>",
  }),
};

export const patchedKeySchema = z.strictObject({ ...RECORD_MEMBERS, ...signingSecretMember }).openapi("PatchedKey");

export const issuedKeySchema = z
  .strictObject({ ...RECORD_MEMBERS, ...keyMember, ...signingSecretMember })
  .openapi("IssuedKey");

export const revokedKeySchema = z
  .strictObject({
    ...RECORD_MEMBERS,
    effectiveBy: sentTimeSchema.nullable().openapi({
      description:
        "From here on no request passes anywhere. `null` while `delivery` is pending: the bound counts from the delivery.",
    }),
    delivery: z.enum(["delivered", "pending"]).openapi({
      description: "Whether the key's meter has taken the revocation. Pending ones are tried again until it has.",
    }),
  })
  .openapi("RevokedKey");

export const keyPageSchema = z
  .strictObject({ data: z.array(keyRecordSchema), nextCursor: z.string().nullable() })
  .openapi("KeyPage");
