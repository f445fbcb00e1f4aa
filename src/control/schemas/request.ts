import { z } from "@hono/zod-openapi";
import { CHECKS } from "../../request-log/checks.ts";
import { sentTimeSchema } from "./common.ts";

/** Kept requests, as they are shown. */

const nullableText = z.string().nullable();
const nullableInt = z.int().nullable();

const SUMMARY = {
  requestId: z.string().openapi({ example: "req_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
  time: sentTimeSchema,
  keyId: nullableText.openapi({ description: "`null`: no key was known." }),
  hint: nullableText.openapi({ example: "lk_live_AbCd…wxyz" }),
  owner: nullableText,
  environment: z.enum(["live", "test"]).nullable(),
  method: z.string(),
  upstream: nullableText,
  route: nullableText.openapi({ description: "Template of the route, never the path.", example: "/reports/*" }),
  status: z.int().openapi({ example: 403 }),
  code: z.string().openapi({ description: "`allowed`, or a problem code.", example: "scope_insufficient" }),
  cost: z.int(),
  degraded: z.boolean().openapi({ description: "Let in by policy while the meter could not be asked." }),
  totalMs: z.int(),
  kept: z.enum(["refused", "sampled", "traced"]).openapi({
    description: "Why it is here. `traced`: its own `traceparent` says that it is recorded, and its key had room.",
  }),
};

const summarySchema = z.strictObject(SUMMARY).openapi("RequestSummary");

export const requestListSchema = z
  .strictObject({
    data: z.array(summarySchema),
    nextCursor: nullableText,
    notKept: z.int().openapi({
      description:
        "Refused requests past the bounds of their minute, in the time that was looked through. Not told by owner or status.",
    }),
    sampleRate: z.number().openapi({ description: "Share of the requests that were let in which are kept." }),
  })
  .openapi("RequestPage");

const limitSchema = z.strictObject({
  name: z.string(),
  limit: z.int(),
  remaining: z.int(),
  resetSeconds: z.int(),
  windowSeconds: z.int(),
});

const checkSchema = z.strictObject({
  check: z.enum(CHECKS),
  answer: z.enum(["passed", "refused", "not_needed", "not_reached"]),
  input: z
    .record(z.string(), z.unknown())
    .openapi({ type: "object", additionalProperties: true, description: "What it looked at. Never a secret." }),
  note: nullableText,
});

const TIMELINE = {
  ...SUMMARY,
  eventId: z.string(),
  workspace: z.string(),
  lineageId: nullableText,
  tokenId: nullableText,
  mintedTokenId: nullableText,
  traceId: nullableText.openapi({ description: "Of `traceparent`." }),
  timing: z.strictObject({
    totalMs: z.int(),
    authMs: z.int().openapi({ description: "Until it was decided." }),
    upstreamMs: nullableInt,
    otherMs: z.int().openapi({ description: "What neither deciding nor the upstream took." }),
  }),
  client: z.strictObject({
    address: nullableText.openapi({ description: "Whole, shortened or hashed, by policy." }),
    country: nullableText,
    asn: nullableInt,
    colo: nullableText,
    userAgent: nullableText,
  }),
  bytesIn: z.int(),
  bytesOut: z.int(),
  checks: z.array(checkSchema).openapi({ description: "In the order in which they are made." }),
  record: z
    .strictObject({
      from: z.enum(["isolate", "broker", "kv", "meter", "miss"]),
      ageMs: z.int().openapi({ description: "Since it was known to be the newest." }),
    })
    .nullable()
    .openapi({ description: "Where the key's record was read; `null`: it was not looked for." }),
  lease: z
    .strictObject({
      from: z.enum(["isolate", "remembered", "broker", "meter", "grace", "unreachable"]).nullable().openapi({
        description:
          "Whose word the decision rests on: the lease in hand, a refusal that is remembered, whoever was asked, grace, or nobody who answered.",
      }),
      by: z.enum(["broker", "meter"]).nullable(),
      granted: z.boolean().openapi({ description: "It was granted for this request." }),
      ageMs: nullableInt.openapi({ description: "Since then; `null`: there was none." }),
      leftMs: nullableInt.openapi({ description: "Below 0: since when it was over." }),
    })
    .nullable(),
  limits: z.array(limitSchema),
  key: z
    .strictObject({
      kind: z.string(),
      generation: z.int(),
      state: z.enum(["active", "disabled", "revoked"]),
      now: z.strictObject({ status: z.string(), revokedAt: nullableText, revokedReason: nullableText }).nullable(),
    })
    .nullable(),
  explanation: z
    .strictObject({
      why: z.string(),
      change: z.string().openapi({ description: "What would have to change for it to pass." }),
      operator: z.string().openapi({ description: "What whoever runs this deployment should look at." }),
    })
    .nullable()
    .openapi({ description: "Of a refusal." }),
};

const timelineSchema = z.strictObject(TIMELINE).openapi("RequestTimeline");

export const requestSchema = z
  .strictObject({
    ...TIMELINE,
    others: z.array(timelineSchema).openapi({
      description: "Further checks under the same id, as a batch has.",
    }),
  })
  .openapi("Request");
