import { z } from "@hono/zod-openapi";
import { ALERT_KINDS, SEVERITIES } from "../../alerts/kinds.ts";
import type { AlertKind } from "../../alerts/kinds.ts";
import { ownerIdSchema, sentTimeSchema } from "./common.ts";

/** Alerts, silences and deliveries as the control API shows them. */

// The keys of the table are the kinds.
export const ALERT_KIND_NAMES = Object.keys(ALERT_KINDS) as [AlertKind, ...AlertKind[]];

export const severitySchema = z.enum(SEVERITIES).openapi({ example: "ticket" });
export const alertKindSchema = z.enum(ALERT_KIND_NAMES).openapi({ example: "spike" });
export const alertStateSchema = z.enum(["firing", "acknowledged", "silenced", "resolved"]).openapi({
  description: "`silenced`: a silence or a maintenance window holds; the alert goes on underneath.",
});
const nullableTime = sentTimeSchema.nullable();

const evidenceSchema = z
  .strictObject({
    path: z.string().openapi({ description: "Below this deployment.", example: "/_latchkey/keys/key_01jd" }),
    numbers: z.record(z.string(), z.number()).openapi({ type: "object", additionalProperties: { type: "number" } }),
  })
  .openapi("AlertEvidence");

const markSchema = z.strictObject({ at: sentTimeSchema, by: z.string().openapi({ example: "root" }) });

export const alertSchema = z
  .strictObject({
    id: z.string().openapi({ example: "alt_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
    kind: alertKindSchema,
    title: z.string(),
    severity: severitySchema,
    state: alertStateSchema,
    owner: z.string().nullable(),
    team: z.string().nullable(),
    startedAt: sentTimeSchema,
    lastAt: sentTimeSchema.openapi({ description: "When it was last reported, to a quarter of its kind's hold time." }),
    acknowledged: markSchema.nullable(),
    resolved: markSchema.nullable(),
    subjects: z
      .array(
        z.strictObject({
          subject: z.string().openapi({ example: "key_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
          since: sentTimeSchema,
          lastAt: sentTimeSchema,
          stage: z.int(),
          severity: severitySchema,
          summary: z.string(),
          evidence: evidenceSchema,
        }),
      )
      .openapi({ description: "At most 20." }),
    moreSubjects: z.int().openapi({ description: "About so many that are not named." }),
    silencedBy: z
      .strictObject({ id: z.string(), type: z.enum(["silence", "maintenance"]), endsAt: sentTimeSchema })
      .nullable(),
    told: z
      .array(z.strictObject({ destination: z.string(), at: sentTimeSchema, state: z.enum(["firing", "resolved"]) }))
      .openapi({ description: "Who has heard of it: a channel, and with a slash the owner." }),
    runbook: z.string().openapi({ example: "docs/operations.md#alert-spike" }),
  })
  .openapi("Alert");

export const alertWithHistorySchema = alertSchema
  .extend({
    history: z
      .array(
        z.strictObject({
          at: sentTimeSchema,
          event: z.enum(["began", "worse", "acknowledged", "resolved"]),
          by: z.string(),
          severity: severitySchema,
        }),
      )
      .openapi({ description: "Oldest first; the newest 100." }),
  })
  .openapi("AlertWithHistory");

const MAX_MATCHED = 100;

export const matcherSchema = z
  .strictObject({
    owners: z.array(ownerIdSchema).min(1).max(MAX_MATCHED).optional(),
    teams: z.array(ownerIdSchema).min(1).max(MAX_MATCHED).optional(),
    kinds: z.array(alertKindSchema).min(1).max(MAX_MATCHED).optional(),
    severities: z.array(severitySchema).min(1).max(SEVERITIES.length).optional(),
  })
  .openapi("AlertMatcher", { description: "All members that are there must hold. `{}`: every alert." });

export const quietSchema = z
  .strictObject({
    id: z.string().openapi({ example: "sil_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
    match: matcherSchema,
    startsAt: sentTimeSchema,
    endsAt: sentTimeSchema,
    reason: z.string(),
    createdBy: z.string(),
    createdAt: sentTimeSchema,
  })
  .openapi("AlertSilence", { description: "A silence, or a maintenance window." });

const messageItemSchema = z
  .strictObject({
    alertId: z.string(),
    need: z.enum(["new", "changed", "still", "acknowledged", "resolved"]),
    kind: alertKindSchema,
    title: z.string(),
    severity: severitySchema,
    owner: z.string().nullable(),
    team: z.string().nullable(),
    summary: z.string(),
    subjects: z.array(z.string()),
    moreSubjects: z.int(),
    startedAt: sentTimeSchema,
    endedAt: nullableTime,
    evidence: evidenceSchema,
    evidenceUrl: z.string(),
    alertUrl: z.string(),
    runbookUrl: z.string(),
  })
  .openapi("AlertMessageItem");

const count = z.int();

export const deliverySchema = z
  .strictObject({
    id: z.string().openapi({ example: "dlv_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
    channel: z.string(),
    state: z.enum(["pending", "delivered", "failed", "dropped"]).openapi({
      description:
        "`failed`: given up after three days, or the receiver wants no more (410). `dropped`: too many waited, it was over before it was sent, or there is nobody to send it to.",
    }),
    attempts: z.int(),
    createdAt: sentTimeSchema,
    nextAt: nullableTime,
    finishedAt: nullableTime,
    lastStatus: z.int().nullable().openapi({ description: "HTTP status of the last answer." }),
    lastError: z.string().nullable(),
    replayOf: z.string().nullable(),
    message: z
      .strictObject({
        id: z.string().openapi({ description: "`webhook-id`: the same for each attempt and each replay." }),
        workspace: z.string(),
        channel: z.string(),
        owner: z.string().nullable(),
        action: z.enum(["notify", "trigger", "acknowledge", "resolve"]),
        incident: z.string(),
        severity: severitySchema,
        at: sentTimeSchema,
        counts: z.strictObject({ new: count, changed: count, still: count, acknowledged: count, resolved: count }),
        items: z.array(messageItemSchema),
        more: z.int(),
      })
      .openapi("AlertMessage"),
  })
  .openapi("AlertDelivery");

export function pageOf<T extends z.ZodType>(schema: T, name: string) {
  return z.strictObject({ data: z.array(schema), nextCursor: z.string().nullable() }).openapi(name);
}
