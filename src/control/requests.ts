import { z } from "@hono/zod-openapi";
import type { LogSearch } from "../../durable-objects/request-log/api.ts";
import { decodeCursor, encodeCursor } from "../../durable-objects/key-registry/cursor.ts";
import { DEFAULT_LIST_LIMIT } from "../constants.ts";
import { err, ok } from "../result.ts";
import type { KeyNow } from "../request-log/explain.ts";
import { requestLogOf } from "../request-log/policy.ts";
import { summaryOf, timelineOf } from "../request-log/view.ts";
import { present } from "./issuance-rules.ts";
import { defineOperation, type RegistryCalls } from "./operation.ts";
import { fromRegistry, invalid } from "./problem.ts";
import { pageQuery, queryTimeSchema } from "./schemas/common.ts";
import { NAME_PATTERN } from "./schemas/names.ts";
import { requestListSchema, requestSchema } from "./schemas/request.ts";

/** `/requests`: what single requests were decided on, and why they were refused. */

const DAY_MS = 86_400_000;
const REQUEST_ID = /^req_[0-9a-z]{26}$/;

const ABOUT =
  "Kept are refused requests, within bounds, and a share of the others (`requestLog` of the configuration). Some seconds behind.";

const requestQuery = z.strictObject({
  key: z
    .string()
    .max(64)
    .optional()
    .openapi({ description: "Id of a key.", example: "key_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
  owner: z.string().regex(NAME_PATTERN, "Must be the name of an owner.").optional(),
  code: z
    .string()
    .regex(/^[a-z][a-z_]{0,39}$/, "Must be `allowed` or a problem code.")
    .optional()
    .openapi({ description: "`allowed`, or a problem code.", example: "scope_insufficient" }),
  status: z
    .string()
    .regex(/^\d{3}$/, "Must have three digits.")
    .optional()
    .openapi({ description: "HTTP status.", example: "403" }),
  from: queryTimeSchema.optional().openapi({ description: "Absent: a day before `to`." }),
  to: queryTimeSchema.optional().openapi({ description: "Absent: now." }),
  ...pageQuery,
});

export const listRequests = defineOperation({
  method: "get",
  path: "/requests",
  scope: "usage:read",
  operationId: "listRequests",
  tag: "Requests",
  summary: "Search kept requests",
  description: `Newest first. ${ABOUT} A page may have fewer entries than \`limit\` while \`nextCursor\` leads on: so much was looked through.`,
  query: requestQuery,
  write: false,
  success: { status: 200, description: "One page.", schema: requestListSchema },
  problems: [],
  async handle({ caller, deps, query, now }) {
    const { limit = DEFAULT_LIST_LIMIT, cursor = null, from, to, status, ...names } = query;
    const filters = { ...names, ...(status === undefined ? {} : { status: Number(status) }) };
    const until = to === undefined ? now + 1 : Date.parse(to);
    const since = from === undefined ? until - DAY_MS : Date.parse(from);
    if (since >= until) return invalid([{ pointer: "/from", detail: "Must be before `to`.", in: "query" }]);
    const asked = present<object>({ ...filters, from, to });
    const place = decodeCursor(cursor, asked, ["number", "string", "number"]);
    if (!place.ok) return err(fromRegistry(place.error, false));
    const [time, eventId, newest] = place.value ?? [];
    const search: LogSearch = {
      from: since,
      // As on the first page, where the client did not say: what came since is not on the pages that follow.
      to: to === undefined && newest !== undefined ? Number(newest) : until,
      filters,
      limit,
      before: place.value === null ? null : { time: Number(time), eventId: String(eventId) },
    };
    const page = await deps.requests.search(caller.workspace, search);
    if (!page.ok) return page;
    const { requests, left, next } = page.value;
    const nextCursor = next === null ? null : encodeCursor(asked, [next.time, next.eventId, search.to]);
    const sampleRate = requestLogOf(deps.config)?.sampleRate ?? 0;
    return ok({ status: 200, body: { data: requests.map(summaryOf), nextCursor, notKept: left, sampleRate } });
  },
});

export const readRequest = defineOperation({
  method: "get",
  path: "/requests/{id}",
  scope: "usage:read",
  operationId: "readRequest",
  tag: "Requests",
  summary: "Explain a request",
  description: `Each check in its order, what it was given and what it said; where record and lease came from and how old they were; times; and for a refusal what would have to change. ${ABOUT} 404: it was not kept, is past its time, or has not arrived yet.`,
  idPattern: REQUEST_ID,
  idExample: "req_01jd8q3v5x9k2m4n6p8r0s2t4v",
  write: false,
  success: { status: 200, description: "The request.", schema: requestSchema },
  problems: ["not_found"],
  async handle({ id, caller, deps, registry }) {
    const found = await deps.requests.find(caller.workspace, id);
    if (!found.ok) return found;
    const [first, ...others] = found.value;
    if (first === undefined) return err({ code: "not_found", detail: "Nothing is kept of this request." });
    const timelines = [first, ...others.slice(0, MAX_OTHERS)].map(async (kept) =>
      timelineOf(kept, kept.event.keyId === null ? null : await readKeyNow(registry, kept.event.keyId)),
    );
    const [body, ...told] = await Promise.all(timelines);
    return ok({ status: 200, body: { ...body, others: told } });
  },
});

/** Of a batch of checks, each with a key of its own that the registry is asked about. */
const MAX_OTHERS = 10;

/** The timeline is whole without it. */
async function readKeyNow(registry: RegistryCalls, keyId: string): Promise<KeyNow | null> {
  const found = await registry.read((keys) => keys.get(keyId));
  if (!found.ok) return null;
  const { status, revokedAt, revokedReason } = found.value;
  return { status, revokedAt, revokedReason };
}
