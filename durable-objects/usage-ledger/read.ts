import { MAX_USAGE_ROWS } from "../../src/constants.ts";
import type { Result } from "../../src/result.ts";
import { ok } from "../../src/result.ts";
import { halfColdOf } from "../../src/usage/cost-estimate.ts";
import type {
  UsageDimension,
  UsageFilters,
  UsagePart,
  UsagePoint,
  UsageQuery,
  UsageQueryError,
} from "../../src/usage/query.ts";
import { USAGE_DIMENSIONS, mergePoints, tooManyPoints } from "../../src/usage/query.ts";
import type { Granularity } from "../../src/usage/rollup.ts";
import { GRANULARITY_SECONDS, HOUR_SECONDS } from "../../src/usage/rollup.ts";
import type { LedgerMarks, Segment } from "../../src/usage/segments.ts";
import { planSegments } from "../../src/usage/segments.ts";
import type { LineageHourCost } from "./api.ts";

const COLUMNS: Readonly<Record<UsageDimension, string>> = {
  key: "s.key_id",
  owner: "s.owner",
  route: "s.route",
  status: "s.status",
  code: "s.code",
  country: "s.country",
  environment: "s.environment",
  lineage: "s.lineage_id",
};

const TABLES: Readonly<Record<Granularity, string>> = { minute: "usage_minute", hour: "usage_hour", day: "usage_day" };

/** Sums by bucket and group, each part of the range from the coarsest table that holds exactly it. */
export function readUsage(sql: SqlStorage, query: UsageQuery, marks: LedgerMarks): Result<UsagePart, UsageQueryError> {
  const plan = planSegments(query, marks);
  if (!plan.ok) return plan;
  const from = plan.value.at(0)?.from;
  const to = plan.value.at(-1)?.to;
  if (from === undefined || to === undefined) return ok({ from: query.from, to: query.to, points: [] });
  const lists: (readonly UsagePoint[])[] = [];
  for (const segment of plan.value) {
    const points = readSegment(sql, segment, query);
    if (points.length > MAX_USAGE_ROWS) return tooManyPoints();
    lists.push(points);
  }
  const points = mergePoints(lists);
  return points.ok ? ok({ from: from * 1_000, to: to * 1_000, points: points.value }) : points;
}

type PointRow = Record<string, string | number | null>;

function readSegment(sql: SqlStorage, segment: Segment, query: UsageQuery): readonly UsagePoint[] {
  const seconds = GRANULARITY_SECONDS[query.granularity];
  const names = query.groupBy.map((_dimension, index) => `g${index}`);
  const groups = query.groupBy.map((dimension, index) => `${COLUMNS[dimension]} AS g${index}`);
  const { conditions, values } = filterSql(query.filters);
  const halfCold = halfColdOf(segment.table);
  // Names of tables and columns come from the constants above; whatever a caller sends is a bound parameter.
  const cursor = sql.exec<PointRow>(
    `SELECT ${["r.bucket - r.bucket % ? AS start", ...groups].join(", ")},
       SUM(r.requests) AS requests, SUM(r.allowed) AS allowed, SUM(r.refused) AS refused, SUM(r.cost) AS cost,
       SUM(r.bytes_in) AS bytesIn, SUM(r.bytes_out) AS bytesOut, SUM(r.latency_ms) AS latencyMs,
       SUM(CAST(r.requests * ? / (r.requests + ?) AS INTEGER)) AS coldRequests
     FROM ${TABLES[segment.table]} r JOIN series s ON s.id = r.series
     WHERE ${["r.bucket >= ?", "r.bucket < ?", ...conditions].join(" AND ")}
     GROUP BY ${["start", ...names].join(", ")}
     LIMIT ?`,
    seconds,
    // As `coldRequestsOf` does. A bound number is a REAL here, hence the CAST, which cuts off as `Math.floor` does.
    halfCold,
    halfCold,
    segment.from,
    segment.to,
    ...values,
    MAX_USAGE_ROWS + 1,
  );
  return Array.from(cursor, (row) => ({
    start: Number(row["start"]),
    group: names.map((name) => row[name] ?? null),
    sums: {
      requests: Number(row["requests"]),
      allowed: Number(row["allowed"]),
      refused: Number(row["refused"]),
      cost: Number(row["cost"]),
      bytesIn: Number(row["bytesIn"]),
      bytesOut: Number(row["bytesOut"]),
      latencyMs: Number(row["latencyMs"]),
    },
    coldRequests: Number(row["coldRequests"]),
  }));
}

/** One bound parameter for each dimension, however many values: a statement has at most 100. */
function filterSql(filters: UsageFilters): {
  readonly conditions: readonly string[];
  readonly values: readonly string[];
} {
  const conditions: string[] = [];
  const values: string[] = [];
  for (const dimension of USAGE_DIMENSIONS) {
    const wanted = filters[dimension];
    if (wanted === undefined) continue;
    // `status` is a number in its column, text in the filter; `""` stands for "not known".
    conditions.push(`CAST(COALESCE(${COLUMNS[dimension]}, '') AS TEXT) IN (SELECT value FROM json_each(?))`);
    values.push(JSON.stringify(wanted));
  }
  return { conditions, values };
}

/** Cost by lineage and hour for the hours that overlap `[from, to)`, epoch ms; only where there is a cost. */
export function readCostByLineageHour(
  sql: SqlStorage,
  range: { readonly lineageIds: readonly string[]; readonly from: number; readonly to: number },
  marks: LedgerMarks,
): readonly LineageHourCost[] {
  const hourMs = HOUR_SECONDS * 1_000;
  const from = Math.floor(range.from / hourMs) * HOUR_SECONDS;
  const to = Math.ceil(range.to / hourMs) * HOUR_SECONDS;
  const wanted = JSON.stringify(range.lineageIds);
  const costs: LineageHourCost[] = [];
  // Whole hours: each is in the hour table once it is summed, and in the minute table only until then.
  for (const [table, start, end] of hourTables(from, to, marks)) {
    const rows = sql.exec<{ lineageId: string; hour: number; cost: number }>(
      `SELECT s.lineage_id AS lineageId, r.bucket - r.bucket % ? AS hour, SUM(r.cost) AS cost
       FROM ${table} r JOIN series s ON s.id = r.series
       WHERE r.bucket >= ? AND r.bucket < ? AND s.lineage_id IN (SELECT value FROM json_each(?))
       GROUP BY lineageId, hour HAVING SUM(r.cost) > 0`,
      HOUR_SECONDS,
      start,
      end,
      wanted,
    );
    for (const row of rows) costs.push({ lineageId: row.lineageId, hour: row.hour * 1_000, cost: row.cost });
  }
  return costs;
}

/** Lineages with an event in the hours that overlap `[from, to)`, epoch ms, after `cursor`, in order of their ids. */
export function readLineagesUsed(
  sql: SqlStorage,
  range: { readonly from: number; readonly to: number; readonly cursor: string; readonly limit: number },
  marks: LedgerMarks,
): readonly string[] {
  const hourMs = HOUR_SECONDS * 1_000;
  const found = new Set<string>();
  for (const [table, start, end] of hourTables(
    Math.floor(range.from / hourMs) * HOUR_SECONDS,
    Math.ceil(range.to / hourMs) * HOUR_SECONDS,
    marks,
  )) {
    const rows = sql.exec<{ lineageId: string }>(
      `SELECT DISTINCT s.lineage_id AS lineageId FROM ${table} r JOIN series s ON s.id = r.series
       WHERE r.bucket >= ? AND r.bucket < ? AND s.lineage_id > ? ORDER BY lineageId LIMIT ?`,
      start,
      end,
      range.cursor,
      range.limit,
    );
    for (const row of rows) found.add(row.lineageId);
  }
  return [...found].toSorted().slice(0, range.limit);
}

function hourTables(
  from: number,
  to: number,
  marks: LedgerMarks,
): readonly (readonly [table: string, from: number, to: number])[] {
  return [
    ["usage_hour", from, Math.min(to, marks.hourMark)],
    ["usage_minute", Math.max(from, marks.hourMark), to],
  ];
}
