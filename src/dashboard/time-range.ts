/** The time that a page looks at, as it stands in its address: `?range=24h`, or `?from=…&to=…`. Pure. */

export type Granularity = "minute" | "hour" | "day";

export interface TimeRange {
  /** Epoch ms, `[from, to)`. */
  readonly from: number;
  readonly to: number;
  /** `24h`; `null` for a range that names its ends. */
  readonly preset: string | null;
  readonly granularity: Granularity;
  /** In words: "Last 24 hours". */
  readonly title: string;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export const PRESETS: readonly (readonly [name: string, ms: number, title: string])[] = [
  ["15m", 15 * MINUTE_MS, "Last 15 minutes"],
  ["1h", HOUR_MS, "Last hour"],
  ["6h", 6 * HOUR_MS, "Last 6 hours"],
  ["24h", DAY_MS, "Last 24 hours"],
  ["7d", 7 * DAY_MS, "Last 7 days"],
  ["30d", 30 * DAY_MS, "Last 30 days"],
  ["90d", 90 * DAY_MS, "Last 90 days"],
];

/** The ledger keeps days for 25 months. */
const MAX_RANGE_MS = 800 * DAY_MS;

/** Whatever the address says: what cannot be read is the default. `now`: epoch ms. */
export function readTimeRange(parameters: URLSearchParams, now: number, otherwise = "24h"): TimeRange {
  const from = readTime(parameters.get("from"));
  const to = readTime(parameters.get("to")) ?? now;
  if (from !== null && from < to && to - from <= MAX_RANGE_MS) {
    return { from, to, preset: null, granularity: granularityOf(to - from), title: "Chosen range" };
  }
  const wanted = parameters.get("range") ?? otherwise;
  const preset = PRESETS.find(([name]) => name === wanted) ?? PRESETS.find(([name]) => name === otherwise);
  const [name, ms, title] = preset ?? ["24h", DAY_MS, "Last 24 hours"];
  return { from: now - ms, to: now, preset: name, granularity: granularityOf(ms), title };
}

/** At most some 360 points, and no finer than the ledger still has it: minutes are kept for two days. */
export function granularityOf(ms: number): Granularity {
  if (ms <= 6 * HOUR_MS) return "minute";
  return ms <= 8 * DAY_MS ? "hour" : "day";
}

/** For addresses of other pages that are to look at the same time. */
export function rangeParameters({ preset, from, to }: TimeRange): Readonly<Record<string, string>> {
  return preset === null ? { from: new Date(from).toISOString(), to: new Date(to).toISOString() } : { range: preset };
}

/** For `GET /usage`. */
export function usageRange({ from, to, granularity }: TimeRange): Readonly<Record<string, string>> {
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), granularity };
}

const STEP_MS: Readonly<Record<Granularity, number>> = { minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS };

/** Starts of all buckets of the range, those in which nothing happened too: a chart must show them as nothing. */
export function bucketStarts({
  from,
  to,
  granularity,
}: Pick<TimeRange, "from" | "to" | "granularity">): readonly number[] {
  const step = STEP_MS[granularity];
  const starts: number[] = [];
  for (let at = Math.floor(from / step) * step; at < to; at += step) starts.push(at);
  return starts;
}

/** RFC 3339, or what `<input type=datetime-local>` sends, which is UTC here and says so. */
function readTime(text: string | null): number | null {
  if (text === null || !/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})?$/.test(text))
    return null;
  const time = Date.parse(/(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? text : `${text}Z`);
  return Number.isFinite(time) ? time : null;
}
