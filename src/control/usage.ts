import { z } from "@hono/zod-openapi";
import { ok } from "../result.ts";
import type { Quantiles } from "../usage/distributions.ts";
import { readUsageQuery, USAGE_DIMENSIONS, type UsageAnswer, type UsageQuery } from "../usage/query.ts";
import { answerCsv, formatSchema, toCsv } from "./csv.ts";
import { present } from "./issuance-rules.ts";
import { defineOperation } from "./operation.ts";
import { invalid } from "./problem.ts";
import { NAME_PATTERN } from "./schemas/names.ts";
import { queryTimeSchema, sentTimeSchema, timeZoneSchema } from "./schemas/common.ts";

/** `/usage`: what was asked of the API behind the gateway, by time and by whom. */

const MAX_FILTER_VALUES = 50;
const MAX_FILTER_CHARACTERS = 1_024;

/** A filter may be given several times: any of the values will do. */
function filter(description: string, value: z.ZodString = z.string().max(MAX_FILTER_CHARACTERS)) {
  return z
    .union([value, z.array(value).max(MAX_FILTER_VALUES)])
    .optional()
    .openapi({
      param: { explode: true },
      type: "array",
      items: { type: "string" },
      maxItems: MAX_FILTER_VALUES,
      description,
    });
}

const groupBySchema = z
  .union([z.string().max(128), z.array(z.string().max(128)).max(USAGE_DIMENSIONS.length)])
  .transform((names) => [names].flat().join(","))
  .refine(
    (names) =>
      names.split(",").every((name) => name === "" || (USAGE_DIMENSIONS as readonly string[]).includes(name.trim())),
    `Must be among ${USAGE_DIMENSIONS.join(", ")}.`,
  )
  .optional()
  .openapi({
    type: "string",
    description: `Any of ${USAGE_DIMENSIONS.join(", ")}, separated by commas.`,
    example: "key,route",
  });

const granularitySchema = z.enum(["minute", "hour", "day", "month"]);

const usageQuery = z.strictObject({
  from: queryTimeSchema.optional().openapi({
    description:
      "Absent: an hour of minutes, a day of hours, 30 days or a year (60 days in another time zone than UTC) before `to`.",
  }),
  to: queryTimeSchema.optional().openapi({ description: "Absent: now." }),
  granularity: granularitySchema.optional().openapi({ default: "hour" }),
  timeZone: timeZoneSchema
    .optional()
    .openapi({ description: "Whose days and months are meant. Minutes and hours are those of UTC. Absent: UTC." }),
  groupBy: groupBySchema,
  key: filter("Id of a key."),
  owner: filter("Name of an owner.", z.string().regex(NAME_PATTERN, "Must be the name of an owner.")),
  route: filter("Template of a route, such as `/reports/*`."),
  status: filter("HTTP status.", z.string().regex(/^\d{3}$/, "Must have three digits.")),
  code: filter("`allowed`, or a problem code."),
  country: filter("ISO 3166-1 alpha-2."),
  environment: filter("`live` or `test`."),
  lineage: filter("Id of a lineage: a key and those that replaced it."),
  asn: filter("Number of an autonomous system.", z.string().regex(/^\d{1,10}$/, "Must be a number.")),
  upstream: filter("Name of an upstream."),
  distributions: z
    .enum(["true", "false"])
    .optional()
    .openapi({ description: "With quantiles of times and the number of different addresses, in each row." }),
  format: formatSchema,
});

const quantilesSchema = z
  .strictObject({ p50: z.number(), p95: z.number(), p99: z.number() })
  .nullable()
  .optional()
  .openapi({ description: "With `distributions=true`. Off by at most 2 %. `null`: nothing was measured." });

const FIGURES = {
  requests: z.int(),
  allowed: z.int(),
  refused: z.int(),
  cost: z.int(),
  bytesIn: z.int(),
  bytesOut: z.int(),
  averageLatencyMs: z.number().nullable().optional(),
  estimatedCostUsd: z
    .string()
    .regex(/^\d+\.\d{9}$/)
    .optional()
    .openapi({
      description:
        "What the platform charges for these requests, US dollars, without what a plan includes: an estimate from measured prices of a busy key's and of a quiet key's requests.",
      example: "0.004120000",
    }),
  latencyMs: quantilesSchema,
  authMs: quantilesSchema,
  upstreamMs: quantilesSchema,
  distinctAddresses: z
    .int()
    .optional()
    .openapi({ description: "With `distributions=true`. Exact up to 48, then with a standard error of 4.6 %." }),
};

const group = z
  .union([z.string(), z.int(), z.null()])
  .optional()
  .openapi({ description: "With the `groupBy` of this name." });

const usageSchema = z
  .strictObject({
    from: sentTimeSchema.openapi({ description: "What was counted: edges are widened to whole buckets." }),
    to: sentTimeSchema,
    granularity: granularitySchema,
    timeZone: z.string().optional().openapi({ description: "Where one was asked for." }),
    series: z.array(
      z.strictObject({
        start: sentTimeSchema.openapi({ description: "Start of the bucket." }),
        key: group,
        owner: group,
        route: group,
        status: group,
        code: group,
        country: group,
        environment: group,
        lineage: group,
        asn: group,
        upstream: group,
        ...FIGURES,
      }),
    ),
    totals: z.strictObject(FIGURES),
  })
  .openapi("Usage");

export const readUsage = defineOperation({
  method: "get",
  path: "/usage",
  scope: "usage:read",
  operationId: "readUsage",
  tag: "Usage",
  summary: "Read usage",
  description:
    "From usage events, some seconds behind. Buckets are aligned to UTC, or days and months to `timeZone`; those in which nothing happened are left out. Minutes are kept for 48 hours, hours for 90 days, days for 25 months, where the deployment says nothing else. Days of another time zone are made of hours, and known as long as these; where its days begin in the middle of an hour of UTC, as long as minutes.",
  query: usageQuery,
  write: false,
  success: {
    status: 200,
    description: "A row for each bucket and group, and the totals.",
    schema: usageSchema,
    csv: true,
  },
  problems: [],
  async handle({ caller, deps, now, query: { format, ...query } }) {
    const parameters = new URLSearchParams();
    for (const [name, values] of Object.entries(present<Record<string, string | string[]>>(query))) {
      for (const value of [values].flat()) parameters.append(name, value);
    }
    const asked = readUsageQuery(parameters, now);
    if (!asked.ok) {
      const { parameter, detail } = asked.error;
      return invalid([{ pointer: `/${parameter}`, detail: `The parameter ${detail}.`, in: "query" }]);
    }
    const report = await deps.usage(caller.workspace, asked.value);
    if (!report.ok) return report;
    if (format === "csv") return ok(answerCsv(usageCsv(report.value, asked.value), "usage.csv"));
    return ok({ status: 200, body: report.value });
  },
});

const SUMS = ["requests", "allowed", "refused", "cost", "bytesIn", "bytesOut"] as const;
const TIMES = ["latencyMs", "authMs", "upstreamMs"] as const;
const SHARES = ["p50", "p95", "p99"] as const;

/** A row for each of `series`; the totals are left to the spreadsheet. */
function usageCsv({ series }: UsageAnswer, { groupBy, distributions = false }: UsageQuery): string {
  const spread = distributions
    ? [...TIMES.flatMap((time) => SHARES.map((share) => `${time}_${share}`)), "distinctAddresses"]
    : [];
  const columns = ["start", ...groupBy, ...SUMS, "averageLatencyMs", "estimatedCostUsd", ...spread];
  return toCsv(
    columns,
    series.map(({ latencyMs, authMs, upstreamMs, ...row }) => ({
      ...row,
      ...inColumns("latencyMs", latencyMs),
      ...inColumns("authMs", authMs),
      ...inColumns("upstreamMs", upstreamMs),
    })),
  );
}

function inColumns(time: (typeof TIMES)[number], of: Quantiles | null | undefined) {
  return Object.fromEntries(SHARES.map((share) => [`${time}_${share}`, of?.[share] ?? null]));
}
