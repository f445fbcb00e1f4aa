import { z } from "@hono/zod-openapi";
import { FINDING_KINDS } from "../../detection/finding.ts";
import { pageOf, severitySchema } from "./alert.ts";
import { sentTimeSchema, timeSchema } from "./common.ts";

/** Findings of the detectors as the control API shows them. */

export const findingKindSchema = z.enum(FINDING_KINDS).openapi({ example: "spike" });

const said = {
  kind: findingKindSchema,
  severity: severitySchema,
  subject: z.strictObject({ type: z.enum(["key", "network"]), id: z.string() }).openapi({
    description: "Id of a key, or a network.",
    example: { type: "key", id: "key_01jd8q3v5x9k2m4n6p8r0s2t4v" },
  }),
  owner: z.string().nullable().openapi({ description: "Of the key; `null` for a network.", example: "acme" }),
  summary: z.string().openapi({ description: "One sentence with the numbers that it stands on." }),
  evidence: z.record(z.string(), z.number()).openapi({ type: "object", additionalProperties: { type: "number" } }),
  place: z
    .strictObject({ country: z.string().nullable(), asn: z.int().nullable(), network: z.string().nullable() })
    .nullable(),
  since: sentTimeSchema.openapi({ description: "Of the rows that were judged, as is `until`." }),
  until: sentTimeSchema,
};

export const findingSchema = z
  .strictObject({
    id: z.string().openapi({ example: "det_42" }),
    ...said,
    firstSeenAt: sentTimeSchema,
    lastSeenAt: sentTimeSchema.openapi({ description: "When it was found again for the last time." }),
  })
  .openapi("Detection");

export const findingPageSchema = pageOf(findingSchema, "DetectionPage");

export const dryRunSchema = z
  .strictObject({
    from: timeSchema.optional().openapi({ description: "Absent: a week before `to`." }),
    to: timeSchema.optional().openapi({ description: "Absent: the last full hour." }),
    thresholds: z
      .record(z.string().max(40), z.unknown())
      .optional()
      .openapi({
        type: "object",
        additionalProperties: { type: "object" },
        description:
          "What differs from what holds for each key: by detector, the names of `Thresholds` in `src/detection/thresholds.ts`.",
        example: { spike: { ratio: 4 } },
      }),
    cursor: z.string().min(1).max(512).optional().openapi({ description: "`nextCursor` of the answer before." }),
  })
  .openapi("DetectionDryRun");

export const dryRunAnswerSchema = z
  .strictObject({
    data: z.array(z.strictObject(said)),
    from: sentTimeSchema,
    to: sentTimeSchema,
    keys: z.int().openapi({ description: "Keys that were gone through for this answer." }),
    knownSince: sentTimeSchema.nullable().openapi({ description: "From when on hours are there to judge." }),
    nextCursor: z.string().nullable(),
  })
  .openapi("DetectionDryRunAnswer");
