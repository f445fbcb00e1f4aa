import { MAX_USAGE_ROWS } from "../constants.ts";
import type { Result } from "../result.ts";
import { err, ok } from "../result.ts";
import { estimateUsd } from "./cost-estimate.ts";
import {
  addDistributions,
  copyOf,
  type DistributionFigures,
  type Distributions,
  figuresIn,
  noDistributions,
} from "./distributions.ts";
import { cutIntoPeriods, isTimeZone } from "./periods.ts";
import type { Granularity, Sums } from "./rollup.ts";
import { GRANULARITY_SECONDS, addSums, emptySums } from "./rollup.ts";

/** What may be asked of the ledger (`GET /usage`), and the shape of its answer. Pure. */

/** Names as the contract has them; the same for `groupBy` and for filters. */
export const USAGE_DIMENSIONS = [
  "key",
  "owner",
  "route",
  "status",
  "code",
  "country",
  "environment",
  "lineage",
  "asn",
  "upstream",
] as const;
export type UsageDimension = (typeof USAGE_DIMENSIONS)[number];

/** For each dimension the values that are wanted; `""` stands for "not known". Absent: all. */
export type UsageFilters = Readonly<Partial<Record<UsageDimension, readonly string[]>>>;

export type UsageGranularity = Granularity | "month";

export interface UsageQuery {
  /** Epoch ms, `[from, to)`. Whole minutes are counted: `from` is rounded down, `to` up. */
  readonly from: number;
  readonly to: number;
  readonly granularity: UsageGranularity;
  /** Where buckets begin that are no buckets of UTC: moments in order, `from` first and `to` last. Epoch ms. */
  readonly periods?: readonly number[];
  /** For the answer alone. */
  readonly timeZone?: string;
  readonly groupBy: readonly UsageDimension[];
  readonly filters: UsageFilters;
  /** Whether to tell how times and addresses are spread: some ten times as much to read. Default: not. */
  readonly distributions?: boolean;
}

export interface UsageQueryError {
  readonly code: "request_invalid";
  /** Name of the query parameter at fault. */
  readonly parameter: string;
  readonly detail: string;
}

/** One point as the ledger gives it: start in epoch seconds, values in the order of `groupBy`. */
export interface UsagePoint {
  readonly start: number;
  readonly group: readonly (string | number | null)[];
  readonly sums: Sums;
  /** Of the requests, those that are priced as the first of a quiet key: see `cost-estimate.ts`. */
  readonly coldRequests: number;
  /** Where they were asked for. */
  readonly distributions?: Distributions;
}

/** The sums of a bucket, or of all of them. */
interface UsageFigures extends Partial<DistributionFigures> {
  readonly requests: number;
  readonly allowed: number;
  readonly refused: number;
  readonly cost: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly averageLatencyMs: number | null;
  /** What these requests cost on the platform, US dollars: see `cost-estimate.ts`. */
  readonly estimatedCostUsd: string;
}

/** What one shard has. `from` and `to` (epoch ms) are what was really counted. */
export interface UsagePart {
  readonly from: number;
  readonly to: number;
  readonly points: readonly UsagePoint[];
}

/** The answer of `GET /usage`. Buckets without a request are left out; `series` is in order of `start`, then of the groups. */
export interface UsageAnswer {
  /** What was counted: the range that was asked for, widened to whole minutes (further back: hours, days). */
  readonly from: string;
  readonly to: string;
  readonly granularity: UsageGranularity;
  /** Whose days and months these are. Absent: those of UTC. */
  readonly timeZone?: string;
  readonly series: readonly (UsageFigures & { readonly start: string } & Readonly<
      Partial<Record<UsageDimension, string | number | null>>
    >)[];
  readonly totals: UsageFigures;
}

const MAX_FILTER_VALUES = 50;
const MAX_FILTER_CHARACTERS = 1_024;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DEFAULT_RANGE_MS: Readonly<Record<UsageGranularity, number>> = {
  minute: HOUR_MS,
  hour: DAY_MS,
  day: 30 * DAY_MS,
  month: 365 * DAY_MS,
};
/** They are made of hours, which are not kept for a year. */
const ZONED_MONTHS_RANGE_MS = 60 * DAY_MS;
/** Days of the longest retention. */
const MAX_PERIODS = 4_000;
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

/**
 * Reads the query string of `GET /usage`. Without `granularity`: hours; without `to`: until now; without `from`: an hour of
 * minutes, a day of hours, 30 days or a year. `groupBy` may be repeated or separated by commas; filters may be repeated.
 *
 * @param now epoch ms.
 */
export function readUsageQuery(params: URLSearchParams, now: number): Result<UsageQuery, UsageQueryError> {
  const granularity = params.get("granularity") ?? "hour";
  if (!isGranularity(granularity)) return refuse("granularity", "must be minute, hour, day or month");
  const to = readTime(params.get("to"), now);
  if (to === null) return refuse("to", "must be an RFC 3339 time");
  const timeZone = params.get("timeZone") ?? "UTC";
  const range = granularity === "month" && timeZone !== "UTC" ? ZONED_MONTHS_RANGE_MS : DEFAULT_RANGE_MS[granularity];
  const from = readTime(params.get("from"), Math.max(0, to - range));
  if (from === null) return refuse("from", "must be an RFC 3339 time");
  if (from >= to) return refuse("from", "must be before to");
  const periods = readPeriods({ from, to }, granularity, timeZone);
  if (!periods.ok) return periods;
  const groupBy = readGroups(params);
  if (!groupBy.ok) return groupBy;
  const filters = readFilters(params);
  if (!filters.ok) return filters;
  const distributions = params.get("distributions") ?? "false";
  if (distributions !== "true" && distributions !== "false") return refuse("distributions", "must be true or false");
  return ok({
    from,
    to,
    granularity,
    ...periods.value,
    groupBy: groupBy.value,
    filters: filters.value,
    distributions: distributions === "true",
  });
}

/** Days of UTC are the ledger's own. */
function readPeriods(
  range: { readonly from: number; readonly to: number },
  granularity: UsageGranularity,
  timeZone: string,
): Result<Pick<UsageQuery, "periods" | "timeZone">, UsageQueryError> {
  if (!isTimeZone(timeZone)) return refuse("timeZone", "must be the name of a time zone, such as Europe/Berlin");
  const isUtc = timeZone === "UTC";
  const named = isUtc ? {} : { timeZone };
  if (granularity === "month" || (granularity === "day" && !isUtc)) {
    const periods = cutIntoPeriods(range, granularity, timeZone, MAX_PERIODS);
    return periods === null ? refuse("from", `reaches over more than ${MAX_PERIODS} days`) : ok({ periods, ...named });
  }
  return isUtc ? ok({}) : refuse("timeZone", "is for days and months: minutes and hours are those of UTC");
}

function isGranularity(text: string): text is UsageGranularity {
  return text === "month" || Object.hasOwn(GRANULARITY_SECONDS, text);
}

function readGroups(params: URLSearchParams): Result<readonly UsageDimension[], UsageQueryError> {
  const groups = new Set<UsageDimension>();
  for (const name of params.getAll("groupBy").flatMap((text) => text.split(","))) {
    const wanted = name.trim();
    if (wanted === "") continue;
    if (!isDimension(wanted)) return refuse("groupBy", `must be among ${USAGE_DIMENSIONS.join(", ")}`);
    groups.add(wanted);
  }
  return ok([...groups]);
}

function readFilters(params: URLSearchParams): Result<UsageFilters, UsageQueryError> {
  const filters: Partial<Record<UsageDimension, readonly string[]>> = {};
  for (const dimension of USAGE_DIMENSIONS) {
    const values = params.getAll(dimension);
    if (values.length === 0) continue;
    if (values.length > MAX_FILTER_VALUES) return refuse(dimension, `takes at most ${MAX_FILTER_VALUES} values`);
    if (values.some((value) => value.length > MAX_FILTER_CHARACTERS)) return refuse(dimension, "is too long");
    if (dimension === "status" && values.some((value) => !/^\d{3}$/.test(value)))
      return refuse(dimension, "must have three digits");
    filters[dimension] = values;
  }
  return ok(filters);
}

function isDimension(name: string): name is UsageDimension {
  return (USAGE_DIMENSIONS as readonly string[]).includes(name);
}

function readTime(text: string | null, otherwise: number): number | null {
  if (text === null || text === "") return otherwise;
  // An unescaped "+" of an offset arrives as a space.
  const repaired = text.replace(" ", "+");
  if (!RFC3339.test(repaired)) return null;
  const time = Date.parse(repaired);
  return Number.isFinite(time) && time >= 0 ? time : null;
}

/** An error that names the query parameter. */
export function refuse(parameter: string, detail: string): Result<never, UsageQueryError> {
  return err({ code: "request_invalid", parameter, detail });
}

/** One list out of several, points of the same bucket and group added up, in order of time. Too many is an error. */
export function mergePoints(lists: Iterable<readonly UsagePoint[]>): Result<readonly UsagePoint[], UsageQueryError> {
  const merged = new Map<string, { -readonly [K in keyof UsagePoint]: UsagePoint[K] }>();
  for (const points of lists) {
    for (const point of points) {
      const name = JSON.stringify([point.start, point.group]);
      const known = merged.get(name);
      if (known === undefined) {
        const { distributions: of } = point;
        const own = of === undefined ? {} : { distributions: copyOf(of) };
        merged.set(name, { ...point, sums: { ...point.sums }, ...own });
        if (merged.size > MAX_USAGE_ROWS) return tooManyPoints();
      } else {
        addSums(known.sums, point.sums);
        known.coldRequests += point.coldRequests;
        if (known.distributions !== undefined && point.distributions !== undefined)
          addDistributions(known.distributions, point.distributions);
      }
    }
  }
  return ok([...merged.values()].toSorted((a, b) => a.start - b.start || compareGroups(a.group, b.group)));
}

export function tooManyPoints(): Result<never, UsageQueryError> {
  return refuse(
    "groupBy",
    `more than ${MAX_USAGE_ROWS} points; take a shorter range, a coarser granularity, a filter or fewer groups`,
  );
}

function compareGroups(a: UsagePoint["group"], b: UsagePoint["group"]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index] ?? null;
    if (left === right) continue;
    if (left === null) return -1;
    if (right === null) return 1;
    return left < right ? -1 : 1;
  }
  return 0;
}

/** The contract's form of what the shards gave. */
export function toUsageAnswer(
  query: Pick<UsageQuery, "groupBy" | "granularity" | "timeZone" | "distributions">,
  part: UsagePart,
): UsageAnswer {
  const totals = emptySums();
  const overall = query.distributions === true ? noDistributions() : undefined;
  let coldRequests = 0;
  const series = part.points.map((point) => {
    addSums(totals, point.sums);
    coldRequests += point.coldRequests;
    if (overall !== undefined && point.distributions !== undefined) addDistributions(overall, point.distributions);
    const group = Object.fromEntries(query.groupBy.map((name, index) => [name, point.group[index] ?? null]));
    return {
      start: new Date(point.start * 1_000).toISOString(),
      ...group,
      ...figuresOf(point),
    };
  });
  return {
    from: new Date(part.from).toISOString(),
    to: new Date(part.to).toISOString(),
    granularity: query.granularity,
    ...(query.timeZone === undefined ? {} : { timeZone: query.timeZone }),
    series,
    totals: figuresOf({ sums: totals, coldRequests, distributions: overall }),
  };
}

function figuresOf({
  sums,
  coldRequests,
  distributions,
}: Pick<UsagePoint, "sums" | "coldRequests"> & { readonly distributions?: Distributions | undefined }): UsageFigures {
  const { latencyMs, ...rest } = sums;
  return {
    ...rest,
    averageLatencyMs: sums.requests === 0 ? null : Math.round((latencyMs / sums.requests) * 10) / 10,
    estimatedCostUsd: estimateUsd(sums.requests, coldRequests),
    ...(distributions === undefined ? {} : figuresIn(distributions)),
  };
}
