import { isUndecided } from "../usage/health.ts";
import type { UsageAnswer, UsageDimension } from "../usage/query.ts";

/** Sums over the rows of `GET /usage`, for tables and charts. Pure. */

export type UsageRow = UsageAnswer["series"][number];

export interface Summed {
  readonly group: string;
  readonly requests: number;
  readonly allowed: number;
  readonly refused: number;
  readonly cost: number;
  readonly estimatedUsd: number;
  readonly bytesOut: number;
}

/** One row for each value of a dimension, whatever the bucket; `""`: not known. Most requests first. */
export function sumBy(series: readonly UsageRow[], dimension: UsageDimension): readonly Summed[] {
  return sumUnder(series, (row) => textOf(row[dimension]));
}

export function sumUnder(series: readonly UsageRow[], groupOf: (row: UsageRow) => string | null): readonly Summed[] {
  const sums = new Map<string, { -readonly [K in keyof Summed]: Summed[K] }>();
  for (const row of series) {
    const group = groupOf(row);
    if (group === null) continue;
    let sum = sums.get(group);
    if (sum === undefined) {
      sum = { group, requests: 0, allowed: 0, refused: 0, cost: 0, estimatedUsd: 0, bytesOut: 0 };
      sums.set(group, sum);
    }
    sum.requests += row.requests;
    sum.allowed += row.allowed;
    sum.refused += row.refused;
    sum.cost += row.cost;
    sum.bytesOut += row.bytesOut;
    sum.estimatedUsd += Number(row.estimatedCostUsd);
  }
  return [...sums.values()].toSorted((a, b) => b.requests - a.requests || (a.group < b.group ? -1 : 1));
}

export function textOf(value: string | number | null | undefined): string {
  return value === null || value === undefined ? "" : String(value);
}

/** The value of each bucket, `otherwise` where nothing happened. `starts`: epoch ms. */
export function alongTime<T>(
  series: readonly UsageRow[],
  starts: readonly number[],
  read: (row: UsageRow) => number | null,
  otherwise: T,
): readonly (number | T)[] {
  const values = new Map<number, number>();
  for (const row of series) {
    const value = read(row);
    const at = Date.parse(row.start);
    if (value !== null) values.set(at, (values.get(at) ?? 0) + value);
  }
  return starts.map((start) => values.get(start) ?? otherwise);
}

/** Of all decisions, those that could be taken; `null`: none was asked for. */
export function authSuccess(byCode: readonly Summed[]): number | null {
  const all = byCode.reduce((sum, { requests }) => sum + requests, 0);
  if (all === 0) return null;
  const failed = byCode.reduce((sum, { group, requests }) => sum + (isUndecided(group) ? requests : 0), 0);
  return (all - failed) / all;
}

/** The part of an objective's allowance for failures that is used up: 1 is all of it. */
export function budgetUsed(success: number, objective: number): number {
  return (1 - success) / (1 - objective);
}
