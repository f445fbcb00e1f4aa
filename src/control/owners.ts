import { z } from "@hono/zod-openapi";
import type { OwnerRecord } from "../../durable-objects/key-registry/api.ts";
import { DEFAULT_LIST_LIMIT } from "../constants.ts";
import { ok } from "../result.ts";
import { entityTag } from "./idempotency.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import type { Answer } from "./operation.ts";
import { metadataSchema, nameSchema, pageQuery, sentTimeSchema } from "./schemas/common.ts";
import { limitSchema, limitsSchema } from "./schemas/limit.ts";
import { NAME_PATTERN } from "./schemas/names.ts";

/** `/owners`: who keys belong to, and limits that all keys of an owner share. */

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
    keys: z.strictObject({ active: z.int(), total: z.int() }),
  })
  .openapi("Owner");

const ownerPageSchema = z
  .strictObject({ data: z.array(ownerSchema), nextCursor: z.string().nullable() })
  .openapi("OwnerPage");

const putOwnerSchema = z
  .strictObject({
    name: nameSchema.nullable().default(null),
    limits: limitsSchema.default([]).openapi({ description: "Shared by all keys of the owner." }),
    metadata: metadataSchema.default({}),
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
  description: "The whole owner: a member that is left out goes back to its default. Limits take hold within seconds.",
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

function answerOwner(owner: OwnerRecord, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, body: owner, headers: { ETag: entityTag(owner.generation), ...headers } };
}
