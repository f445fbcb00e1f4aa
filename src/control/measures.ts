import { z } from "@hono/zod-openapi";
import { ok } from "../result.ts";
import { DEFAULT_MAX_AGE_DAYS, DEFAULT_STALE_DAYS, MEASURE_IDS } from "../measures/catalogue.ts";
import { MAX_TOP } from "../measures/scrape.ts";
import { timeText } from "../request-log/words.ts";
import { defineOperation } from "./operation.ts";
import { invalid } from "./problem.ts";
import { queryTimeSchema, sentTimeSchema, wholeNumber } from "./schemas/common.ts";

/** `/measures`: how well keys are looked after, in sixteen figures. */

const DAY_MS = 86_400_000;
const MAX_RANGE_DAYS = 400;
const DEFAULT_TOP = 5;

function days(description: string, standard: number) {
  return wholeNumber(1, 3_650)
    .optional()
    .openapi({ type: "integer", minimum: 1, maximum: 3_650, default: standard, description });
}

const measureSchema = z
  .strictObject({
    id: z.enum(MEASURE_IDS),
    name: z.string().openapi({ example: "Authentication success rate" }),
    unit: z.string().openapi({ example: "ratio" }),
    target: z
      .union([z.strictObject({ atLeast: z.number() }), z.strictObject({ atMost: z.number() })])
      .nullable()
      .openapi({ description: "`null`: a figure to watch." }),
    value: z.number().nullable().openapi({ description: "`null`: there was nothing to measure; `why` says so." }),
    met: z.boolean().nullable(),
    why: z.string().nullable(),
    definition: z.string(),
    computed: z.string().openapi({ description: "From what." }),
    detail: z
      .record(z.string(), z.unknown())
      .openapi({ type: "object", additionalProperties: true, description: "Figures beside it; `top`: single keys." }),
  })
  .openapi("Measure");

export const readMeasures = defineOperation({
  method: "get",
  path: "/measures",
  scope: "usage:read",
  operationId: "readMeasures",
  tag: "Usage",
  summary: "Read the measures",
  description:
    "Sixteen figures of how well keys work and are looked after, each with its definition and target. From usage events, some seconds behind, the registry and the alerts.",
  query: z.strictObject({
    from: queryTimeSchema.optional().openapi({ description: "Absent: 24 hours before `to`." }),
    to: queryTimeSchema.optional().openapi({ description: "Absent: now." }),
    top: wholeNumber(0, MAX_TOP).optional().openapi({
      type: "integer",
      minimum: 0,
      maximum: MAX_TOP,
      default: DEFAULT_TOP,
      description: "Single keys to tell of beside a figure.",
    }),
    maxAgeDays: days("How old policy lets a key become.", DEFAULT_MAX_AGE_DAYS),
    staleDays: days("After so long without use a key is stale.", DEFAULT_STALE_DAYS),
  }),
  write: false,
  success: {
    status: 200,
    description: "All of them.",
    schema: z
      .strictObject({
        from: sentTimeSchema.openapi({ description: "What the ledger counted: edges are widened to whole buckets." }),
        to: sentTimeSchema,
        measures: z.array(measureSchema),
      })
      .openapi("Measures"),
  },
  problems: [],
  async handle({ caller, deps, now, query }) {
    const { top = DEFAULT_TOP, maxAgeDays = DEFAULT_MAX_AGE_DAYS, staleDays = DEFAULT_STALE_DAYS } = query;
    const to = query.to === undefined ? now : Date.parse(query.to);
    const from = query.from === undefined ? to - DAY_MS : Date.parse(query.from);
    if (from >= to) return invalid([{ pointer: "/from", detail: "Must be before `to`.", in: "query" }]);
    if (to - from > MAX_RANGE_DAYS * DAY_MS)
      return invalid([{ pointer: "/from", detail: `Reaches over more than ${MAX_RANGE_DAYS} days.`, in: "query" }]);
    const read = await deps.measures(caller.workspace, {
      from,
      to,
      top,
      maxAgeDays,
      staleDays,
      pricing: deps.config.pricing ?? null,
    });
    if (!read.ok) return read;
    const { measures, ...counted } = read.value;
    return ok({ status: 200, body: { from: timeText(counted.from), to: timeText(counted.to), measures } });
  },
});
