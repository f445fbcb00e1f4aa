import { z } from "@hono/zod-openapi";
import type { KeyRecord, Page } from "../../durable-objects/key-registry/api.ts";
import type { UsageQuery } from "../usage/query.ts";
import type { GatewayConfig } from "../config.ts";
import { DEFAULT_RETENTION } from "../usage/retention.ts";
import { monthIn } from "../usage/periods.ts";
import { makeStatement, type Statement, type StatementKey } from "../usage/statement.ts";
import { err, ok } from "../result.ts";
import { answerCsv, formatSchema, toCsv } from "./csv.ts";
import { defineOperation, type RegistryCalls } from "./operation.ts";
import { invalid, type Outcome } from "./problem.ts";
import { sentTimeSchema, timeZoneSchema } from "./schemas/common.ts";
import { NAME_PATTERN } from "./schemas/names.ts";

/** `/owners/{id}/statement`: what an owner used in a month, for an invoice. */

const PAGE_KEYS = 200;
/** An owner with more keys has more rows than one answer holds. */
const MOST_PAGES = 50;

const statementQuery = z.strictObject({
  month: z
    .string()
    .regex(/^20\d{2}-(0[1-9]|1[0-2])$/, "Must be a month such as 2026-11.")
    .optional()
    .openapi({ description: "Absent: the present one.", example: "2026-11" }),
  timeZone: timeZoneSchema.optional().openapi({ description: "Where the month begins and ends. Absent: UTC." }),
  format: formatSchema,
});

const amount = z
  .string()
  .nullable()
  .openapi({ description: "`null`: the deployment has no `pricing`.", example: "12.5" });

const FIGURES = { requests: z.int(), allowed: z.int(), refused: z.int(), units: z.int(), amount };

const statementSchema = z
  .strictObject({
    owner: z.string(),
    month: z.string().openapi({ example: "2026-11" }),
    timeZone: z.string().openapi({ example: "Europe/Berlin" }),
    from: sentTimeSchema,
    to: sentTimeSchema,
    state: z.enum(["open", "settling", "final"]).openapi({
      description:
        "`open`: the month goes on. `settling`: its last hours are not compared with the meters yet. `final`: nothing more is to come.",
    }),
    currency: z.string().nullable().openapi({ example: "EUR" }),
    lines: z.array(
      z.strictObject({
        key: z.string().nullable().openapi({ description: "`null`: no key was known." }),
        name: z.string().nullable(),
        hint: z.string().nullable(),
        environment: z.string().nullable().openapi({ description: "What test keys use is free." }),
        plan: z.string().nullable().openapi({ description: "The key's plan now." }),
        perUnit: amount,
        ...FIGURES,
      }),
    ),
    totals: z.strictObject({
      ...FIGURES,
      payable: z.string().nullable().openapi({ description: "Rounded to the currency's coin.", example: "12.50" }),
    }),
    reconciliation: z.strictObject({
      comparedUntil: sentTimeSchema.openapi({ description: "Every hour before this was compared with the meters." }),
      differenceUnits: z.int().openapi({ description: "Sum over hours and lineages of |meter - ledger|." }),
      unchecked: z.int().openapi({ description: "Comparisons that failed because a meter did not answer." }),
    }),
  })
  .openapi("Statement");

export const readStatement = defineOperation({
  path: "/owners/{id}/statement",
  idPattern: NAME_PATTERN,
  idExample: "acme",
  method: "get",
  scope: "usage:read",
  operationId: "readStatement",
  tag: "Usage",
  summary: "Read an owner's statement",
  description:
    "Units and amounts of one month, key by key, compared with what the meters counted. Months of UTC reach back 25 months; those of another time zone 90 days, and only where its days begin on the hour of UTC.",
  query: statementQuery,
  write: false,
  success: { status: 200, description: "The statement.", schema: statementSchema, csv: true },
  problems: ["not_found"],
  async handle({ caller, deps, id, now, query, registry }) {
    const timeZone = query.timeZone ?? "UTC";
    const owner = await registry.read((keys) => keys.getOwner(id));
    if (!owner.ok) return owner;
    const month = query.month ?? monthNow(now, timeZone);
    const { from, to } = monthIn(month, timeZone);
    if (from > now) return invalid([{ pointer: "/month", detail: "Lies in the future.", in: "query" }]);
    const keys = await keysOf(id, registry);
    if (!keys.ok) return keys;
    const range = { from, to: Math.min(to, now) };
    const usage = await deps.usage(caller.workspace, statementUsage(id, range, timeZone));
    if (!usage.ok) return usage;
    // Edges that are no longer known are widened: half an hour of another month is not for an invoice.
    const isWhole = Date.parse(usage.value.from) === from && (to > now || Date.parse(usage.value.to) === to);
    if (!isWhole || from < now - keptMs(deps.config)) {
      return invalid([{ pointer: "/month", detail: "Is no longer kept to its first and last hour.", in: "query" }]);
    }
    const lineages = usage.value.series.flatMap(({ lineage }) => (typeof lineage === "string" ? [lineage] : []));
    const reconciliation = await deps.comparison(caller.workspace, { lineageIds: [...new Set(lineages)], from, to });
    if (!reconciliation.ok) return reconciliation;
    const statement = makeStatement({
      owner: id,
      month,
      timeZone,
      from,
      to,
      now,
      usage: usage.value,
      keys: keys.value,
      pricing: deps.config.pricing ?? null,
      reconciliation: reconciliation.value,
    });
    if (query.format === "csv") return ok(answerCsv(statementCsv(statement), `statement-${id}-${month}.csv`));
    return ok({ status: 200, body: statement });
  },
});

function keptMs({ usage }: GatewayConfig): number {
  return (usage?.retention?.dayMonths ?? DEFAULT_RETENTION.dayMonths) * 31 * 86_400_000;
}

function monthNow(now: number, timeZone: string): string {
  const format = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit" });
  return format.format(now).slice(0, "2026-11".length);
}

function statementUsage(
  owner: string,
  range: { readonly from: number; readonly to: number },
  timeZone: string,
): UsageQuery {
  return {
    ...range,
    granularity: "month",
    // One period, also where its end is not yet there.
    periods: [range.from, range.to],
    timeZone,
    groupBy: ["key", "lineage", "environment"],
    filters: { owner: [owner] },
  };
}

async function keysOf(owner: string, registry: RegistryCalls): Promise<Outcome<ReadonlyMap<string, StatementKey>>> {
  const found = new Map<string, StatementKey>();
  let cursor: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const after: string | null = cursor;
    const read: Outcome<Page<KeyRecord>> = await registry.read((keys) => keys.list({ owner }, PAGE_KEYS, after));
    if (!read.ok) return read;
    for (const { id, name, hint, plan } of read.value.data) found.set(id, { name, hint, plan });
    cursor = read.value.nextCursor;
    if (cursor === null) return ok(found);
  }
  const detail = `An owner with more than ${MOST_PAGES * PAGE_KEYS} keys has no statement; read /usage by key.`;
  return err({ code: "request_invalid", detail });
}

const COLUMNS = [
  "month",
  "owner",
  "key",
  "name",
  "hint",
  "environment",
  "plan",
  "requests",
  "allowed",
  "refused",
  "units",
  "perUnit",
  "amount",
  "currency",
  "state",
] as const;

function statementCsv({ owner, month, currency, state, lines }: Statement): string {
  return toCsv(
    COLUMNS,
    lines.map((line) => ({ ...line, owner, month, currency, state })),
  );
}
