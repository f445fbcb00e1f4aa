import type { Packed } from "../../src/usage/packed-sums.ts";
import { PACKED_WIDTH, seriesAt } from "../../src/usage/packed-sums.ts";
import type { UsageDimension, UsageFilters, UsagePoint } from "../../src/usage/query.ts";
import { USAGE_DIMENSIONS } from "../../src/usage/query.ts";

/** Which group of a query each series belongs to. */

const COLUMNS: Readonly<Record<UsageDimension, string>> = {
  key: "key_id",
  owner: "owner",
  route: "route",
  status: "status",
  code: "code",
  country: "country",
  environment: "environment",
  lineage: "lineage_id",
  asn: "asn",
  upstream: "upstream",
};

/** Groups are numbered from 0 on. */
export interface SeriesGroups {
  /** Looks up the series that were not met yet, and gives the groups of those that match. */
  readonly learn: (packed: Packed) => readonly number[];
  /** `null`: the filters leave it out. */
  readonly groupOf: (series: number) => number | null;
  /** In the order of `groupBy`. */
  readonly valuesOf: (group: number) => UsagePoint["group"];
}

type GroupRow = Record<string, string | number | null>;

export function seriesGroups(sql: SqlStorage, groupBy: readonly UsageDimension[], filters: UsageFilters): SeriesGroups {
  const bySeries = new Map<number, number | null>();
  const byName = new Map<string, number>();
  const values: UsagePoint["group"][] = [];
  const names = groupBy.map((_dimension, index) => `g${index}`);
  const columns = ["id", ...groupBy.map((dimension, index) => `${COLUMNS[dimension]} AS g${index}`)].join(", ");
  const { conditions, bound } = filterSql(filters);
  // Names of columns come from the constants above; whatever a caller sends is a bound parameter.
  const query = `SELECT ${columns} FROM series
    WHERE ${["id IN (SELECT value FROM json_each(?))", ...conditions].join(" AND ")}`;
  return {
    learn: (packed) => {
      const unknown: number[] = [];
      for (let at = 0; at < packed.length; at += PACKED_WIDTH) {
        const series = seriesAt(packed, at);
        if (bySeries.has(series)) continue;
        bySeries.set(series, null);
        unknown.push(series);
      }
      if (unknown.length === 0) return [];
      const met = new Set<number>();
      for (const row of sql.exec<GroupRow>(query, JSON.stringify(unknown), ...bound)) {
        const group = names.map((column) => row[column] ?? null);
        const name = JSON.stringify(group);
        let number = byName.get(name);
        if (number === undefined) {
          number = values.push(group) - 1;
          byName.set(name, number);
        }
        bySeries.set(Number(row["id"]), number);
        met.add(number);
      }
      return [...met];
    },
    groupOf: (series) => bySeries.get(series) ?? null,
    valuesOf: (group) => values[group] ?? [],
  };
}

/** One bound parameter for each dimension, however many values: a statement has at most 100. */
function filterSql(filters: UsageFilters): {
  readonly conditions: readonly string[];
  readonly bound: readonly string[];
} {
  const conditions: string[] = [];
  const bound: string[] = [];
  for (const dimension of USAGE_DIMENSIONS) {
    const wanted = filters[dimension];
    if (wanted === undefined) continue;
    // `status` and `asn` are numbers in their columns, text in the filter; `""` stands for "not known".
    conditions.push(`CAST(COALESCE(${COLUMNS[dimension]}, '') AS TEXT) IN (SELECT value FROM json_each(?))`);
    bound.push(JSON.stringify(wanted));
  }
  return { conditions, bound };
}
