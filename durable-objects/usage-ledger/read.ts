import { MAX_USAGE_ROWS } from "../../src/constants.ts";
import type { Result } from "../../src/result.ts";
import { ok } from "../../src/result.ts";
import { coldRequestsOf, halfColdOf } from "../../src/usage/cost-estimate.ts";
import { addDistributions, noDistributions, unpackDistributions } from "../../src/usage/distributions.ts";
import {
  PACKED_WIDTH,
  addPackedAt,
  parseSeriesDistributions,
  requestsAt,
  seriesAt,
} from "../../src/usage/packed-sums.ts";
import type { UsageFilters, UsagePart, UsagePoint, UsageQuery, UsageQueryError } from "../../src/usage/query.ts";
import { mergePoints, tooManyPoints } from "../../src/usage/query.ts";
import { GRANULARITY_SECONDS, HOUR_SECONDS, emptySums } from "../../src/usage/rollup.ts";
import type { LedgerMarks, PlannedSegment } from "../../src/usage/segments.ts";
import { planSegments } from "../../src/usage/segments.ts";
import type { LineageHourCost } from "./api.ts";
import { seriesGroups } from "./groups.ts";
import { readParts } from "./packs.ts";
import { placesOfKey } from "./series.ts";

/** Sums by bucket and group, each part of the range from the coarsest rows that hold exactly it. */
export function readUsage(sql: SqlStorage, query: UsageQuery, marks: LedgerMarks): Result<UsagePart, UsageQueryError> {
  const plan = planSegments(query, marks);
  if (!plan.ok) return plan;
  const from = plan.value.at(0)?.from;
  const to = plan.value.at(-1)?.to;
  if (from === undefined || to === undefined) return ok({ from: query.from, to: query.to, points: [] });
  const summed = sumSegments(sql, plan.value, query, MAX_USAGE_ROWS);
  const points = summed === null ? tooManyPoints() : mergePoints([summed]);
  return points.ok ? ok({ from: from * 1_000, to: to * 1_000, points: points.value }) : points;
}

type Point = { -readonly [K in keyof UsagePoint]: UsagePoint[K] };

/** In no order. `null`: more than `most` points. */
function sumSegments(
  sql: SqlStorage,
  segments: readonly PlannedSegment[],
  query: Pick<UsageQuery, "granularity" | "groupBy" | "filters" | "distributions">,
  most: number,
): readonly UsagePoint[] | null {
  // Months are periods all of them.
  const seconds = query.granularity === "month" ? 0 : GRANULARITY_SECONDS[query.granularity];
  const groups = seriesGroups(sql, query.groupBy, query.filters);
  const { distributions: spread = false } = query;
  const reading = { places: placesIn(query.filters), distributions: spread };
  const points: Point[] = [];
  /** By start, then by number of the group. */
  const byStart = new Map<number, Map<number, Point>>();
  for (const segment of segments) {
    const halfCold = halfColdOf(segment.table);
    for (const { bucket, packed, distributions } of readParts(sql, segment, reading)) {
      groups.learn(packed);
      const start = segment.start ?? bucket - (bucket % seconds);
      let ofStart = byStart.get(start);
      if (ofStart === undefined) byStart.set(start, (ofStart = new Map<number, Point>()));
      for (let at = 0; at < packed.length; at += PACKED_WIDTH) {
        const group = groups.groupOf(seriesAt(packed, at));
        if (group === null) continue;
        let point = ofStart.get(group);
        if (point === undefined) {
          if (points.length === most) return null;
          const own = spread ? { distributions: noDistributions() } : {};
          point = { start, group: groups.valuesOf(group), sums: emptySums(), coldRequests: 0, ...own };
          ofStart.set(group, point);
          points.push(point);
        }
        addPackedAt(point.sums, packed, at);
        point.coldRequests += coldRequestsOf(requestsAt(packed, at), halfCold);
      }
      for (const [series, of] of parseSeriesDistributions(distributions)) {
        const into = ofStart.get(groups.groupOf(series) ?? -1)?.distributions;
        if (into !== undefined) addDistributions(into, unpackDistributions(of));
      }
    }
  }
  return points;
}

/** Where the keys that are asked for have their sums; with no such filter, anywhere. */
function placesIn({ key }: UsageFilters) {
  return key?.map((keyId) => placesOfKey(keyId === "" ? null : keyId));
}

/** Cost by lineage and hour for the hours that overlap `[from, to)`, epoch ms; only where there is a cost. */
export function readCostByLineageHour(
  sql: SqlStorage,
  range: { readonly lineageIds: readonly string[]; readonly from: number; readonly to: number },
  marks: LedgerMarks,
): readonly LineageHourCost[] {
  const query = { granularity: "hour", groupBy: ["lineage"], filters: { lineage: range.lineageIds } } as const;
  const points = sumSegments(sql, wholeHours(range, marks), query, Infinity) ?? [];
  return points
    .filter(({ sums }) => sums.cost > 0)
    .map(({ start, group, sums }) => ({ lineageId: String(group[0]), hour: start * 1_000, cost: sums.cost }));
}

/** Lineages with an event in the hours that overlap `[from, to)`, epoch ms, after `cursor`, in order of their ids. */
export function readLineagesUsed(
  sql: SqlStorage,
  range: { readonly from: number; readonly to: number; readonly cursor: string; readonly limit: number },
  marks: LedgerMarks,
): readonly string[] {
  const groups = seriesGroups(sql, ["lineage"], {});
  const found = new Set<string>();
  for (const segment of wholeHours(range, marks)) {
    for (const { packed } of readParts(sql, segment)) {
      for (const group of groups.learn(packed)) {
        const [lineageId] = groups.valuesOf(group);
        if (typeof lineageId === "string" && lineageId > range.cursor) found.add(lineageId);
      }
    }
  }
  return [...found].toSorted().slice(0, range.limit);
}

/** Each hour is in the hours' rows once it is summed, and in the minutes' only until then. */
function wholeHours(
  range: { readonly from: number; readonly to: number },
  marks: LedgerMarks,
): readonly PlannedSegment[] {
  const hourMs = HOUR_SECONDS * 1_000;
  const from = Math.floor(range.from / hourMs) * HOUR_SECONDS;
  const to = Math.ceil(range.to / hourMs) * HOUR_SECONDS;
  return [
    { table: "hour", from, to: Math.min(to, marks.hourMark), start: null },
    { table: "minute", from: Math.max(from, marks.hourMark), to, start: null },
  ];
}
