import { z } from "@hono/zod-openapi";
import type { OwnerRecord } from "../../durable-objects/key-registry/api.ts";
import { DEFAULT_LIST_LIMIT, REVOCATION_BOUND_SECONDS } from "../constants.ts";
import { ok } from "../result.ts";
import { entityTag } from "./idempotency.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import type { Answer, Call } from "./operation.ts";
import type { Outcome } from "./problem.ts";
import {
  metadataSchema,
  nameSchema,
  noMembersSchema,
  ownerIdSchema,
  pageQuery,
  sentTimeSchema,
} from "./schemas/common.ts";
import { limitSchema, limitsSchema } from "./schemas/limit.ts";
import { NAME_PATTERN } from "./schemas/names.ts";

/** `/owners`: who keys belong to, limits that all keys of an owner share, and the stop of all of them at once. */

const contactsSchema = z
  .strictObject({
    email: z.email().max(254).optional().openapi({ example: "api-team@acme.example" }),
    team: ownerIdSchema.optional().openapi({ description: "As routes of alerts name it.", example: "payments" }),
  })
  .openapi("OwnerContacts", { description: "Whom alerts about the owner's keys go to." });

const ownerSchema = z
  .strictObject({
    id: z.string().openapi({ example: "acme" }),
    workspace: z.string().openapi({ example: "default" }),
    name: z.string().nullable(),
    limits: z.array(limitSchema).openapi({ description: "Shared by all keys of the owner." }),
    metadata: z.record(z.string(), z.unknown()).openapi({ type: "object", additionalProperties: true }),
    createdAt: sentTimeSchema,
    updatedAt: sentTimeSchema,
    generation: z.int(),
    contacts: contactsSchema.optional(),
    disabledAt: sentTimeSchema
      .optional()
      .openapi({ description: "Since when the owner is disabled, and its keys with it. Absent: it is not." }),
    keys: z.strictObject({ active: z.int(), total: z.int() }),
  })
  .openapi("Owner");

const switchedOwnerSchema = ownerSchema
  .extend({
    delivery: z.enum(["delivered", "pending"]).openapi({
      description:
        "Whether the meters of all the owner's keys have heard of it. What is pending is tried until they have; the same call, sent again without an Idempotency-Key, changes nothing and says how it stands.",
    }),
  })
  .openapi("SwitchedOwner");

const ownerPageSchema = z
  .strictObject({ data: z.array(ownerSchema), nextCursor: z.string().nullable() })
  .openapi("OwnerPage");

const putOwnerSchema = z
  .strictObject({
    name: nameSchema.nullable().default(null),
    limits: limitsSchema.default([]).openapi({ description: "Shared by all keys of the owner." }),
    metadata: metadataSchema.default({}),
    contacts: contactsSchema.optional(),
  })
  .openapi("NewOwner", {
    example: { name: "Acme Ltd", limits: [{ name: "shared", limit: 1000, window: "minute", kind: "rate" }] },
  });

const ONE_OWNER = { path: "/owners/{id}", idPattern: NAME_PATTERN, idExample: "acme" } as const;

export const listOwners = defineOperation({
  method: "get",
  path: "/owners",
  scope: "keys:read",
  operationId: "listOwners",
  tag: "Owners",
  summary: "List owners",
  description: "An owner comes into being with its first key, or when it is put.",
  query: z.strictObject(pageQuery),
  write: false,
  success: { status: 200, description: "One page.", schema: ownerPageSchema },
  problems: [],
  async handle({ query, registry }) {
    const page = await registry.read((keys) =>
      keys.listOwners(query.limit ?? DEFAULT_LIST_LIMIT, query.cursor ?? null),
    );
    return page.ok ? ok({ status: 200, body: page.value }) : page;
  },
});

export const readOwner = defineOperation({
  ...ONE_OWNER,
  method: "get",
  scope: "keys:read",
  operationId: "readOwner",
  tag: "Owners",
  summary: "Read an owner",
  description: "With how many keys it has.",
  write: false,
  success: { status: 200, description: "The owner.", schema: ownerSchema, headers: ["ETag"] },
  problems: ["not_found"],
  async handle({ id, registry }) {
    const found = await registry.read((keys) => keys.getOwner(id));
    return found.ok ? ok(answerOwner(found.value)) : found;
  },
});

export const putOwner = defineOperation({
  ...ONE_OWNER,
  method: "put",
  scope: "owners:write",
  operationId: "putOwner",
  tag: "Owners",
  summary: "Make or replace an owner",
  description:
    "The whole owner: a member that is left out goes back to its default. Whether the owner is disabled stays as it is. Limits take hold within seconds.",
  body: putOwnerSchema,
  write: true,
  ifMatch: true,
  success: { status: 200, description: "The owner.", schema: ownerSchema, headers: ["ETag"] },
  problems: ["not_found", "conflict", "idempotency_conflict", "precondition_failed"],
  async handle({ body, context, id, registry }) {
    const written = await registry.write((keys) => keys.putOwner(id, body, context));
    return written.ok ? ok(answerOwner(written.value.value, replayHeader(written.value))) : written;
  },
});

const SWITCH = {
  ...ONE_OWNER,
  method: "post",
  scope: "owners:write",
  tag: "Owners",
  body: noMembersSchema,
  bodyRequired: false,
  write: true,
  ifMatch: true,
  success: { status: 200, description: "The owner.", schema: switchedOwnerSchema, headers: ["ETag"] },
  problems: ["not_found", "idempotency_conflict", "precondition_failed"],
} as const;

export const disableOwner = defineOperation({
  ...SWITCH,
  path: "/owners/{id}/disable",
  operationId: "disableOwner",
  summary: "Stop all keys of an owner, reversibly",
  description: `All of its keys, and the tokens that were minted from them, are refused with \`key_disabled\` until the owner is enabled again: within ${REVOCATION_BOUND_SECONDS} seconds of an answer whose \`delivery\` is \`delivered\`, strict keys at once. Meanwhile it gets no new keys: issuing, importing and rotating are 409. Each key keeps its own state underneath (\`ownStatus\`). An owner of admin keys can be stopped only by who holds every scope that they hold.`,
  handle: (call) => setDisabled(call, true),
});

export const enableOwner = defineOperation({
  ...SWITCH,
  path: "/owners/{id}/enable",
  operationId: "enableOwner",
  summary: "Let the keys of a disabled owner work again",
  description:
    "Each key is again what it was by itself: one that was disabled, expired or revoked stays so. An owner of admin keys can be enabled only by who holds every scope that they hold.",
  handle: (call) => setDisabled(call, false),
});

async function setDisabled(call: Call<unknown, unknown>, disabled: boolean): Promise<Outcome<Answer>> {
  const { caller, context, id, registry } = call;
  const written = await registry.write((keys) => keys.setOwnerDisabled(id, disabled, caller.scopes, context));
  if (!written.ok) return written;
  const { value, delivered } = written.value;
  const answer = answerOwner(value, replayHeader(written.value));
  return ok({ ...answer, body: { ...value, delivery: delivered ? "delivered" : "pending" } });
}

function answerOwner(owner: OwnerRecord, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, body: owner, headers: { ETag: entityTag(owner.generation), ...headers } };
}
