import type { Granularity, MinuteSum, Tally } from "../../src/usage/rollup.ts";
import { DAY_SECONDS, HOUR_SECONDS, addTally } from "../../src/usage/rollup.ts";
import { tallyOf } from "../../src/usage/packed-sums.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import type { Addition } from "./packs.ts";
import { addToBucket } from "./packs.ts";
import type { KnownSeries, Series } from "./series.ts";
import { resolveSeries } from "./series.ts";

/**
 * Sums of events as rows: those of their minute, and one more for an hour or day that is summed already. To be called in a
 * transaction. Gives the rows written.
 */
export function writeSums(
  sql: SqlStorage,
  groups: readonly Omit<MinuteSum, "dimensions">[],
  { marks, now }: { readonly marks: LedgerMarks; readonly now: number },
  known: KnownSeries,
): number {
  const { found, rowsWritten: ofSeries } = resolveSeries(
    sql,
    groups.map(({ seriesKey }) => seriesKey),
    known,
    now,
  );
  const additions: Readonly<Record<Granularity, Additions>> = { minute: new Map(), hour: new Map(), day: new Map() };
  for (const group of groups) {
    const series = found.get(group.seriesKey);
    if (series === undefined) throw new RangeError("a series has no number");
    const hour = group.minute - (group.minute % HOUR_SECONDS);
    const day = group.minute - (group.minute % DAY_SECONDS);
    // Past its retention a minute is only kept as long as its hour is not summed; likewise the hour.
    if (group.minute >= marks.minuteHorizon || hour >= marks.hourMark)
      collect(additions.minute, group.minute, series, group);
    // Late: the hour is summed already, so that it must be told too; likewise the day.
    if (hour < marks.hourMark && (hour >= marks.hourHorizon || day >= marks.dayMark))
      collect(additions.hour, hour, series, group);
    if (day < marks.dayMark && day >= marks.dayHorizon) collect(additions.day, day, series, group);
  }
  let rowsWritten = ofSeries;
  for (const grain of ["minute", "hour", "day"] as const) {
    for (const [bucket, addition] of additions[grain]) rowsWritten += addToBucket(sql, grain, bucket, addition);
  }
  return rowsWritten;
}

/** By start of the bucket. */
type Additions = Map<number, Addition & { readonly places: Map<number, number> }>;

function collect(into: Additions, bucket: number, { id, place }: Series, tally: Tally): void {
  let addition = into.get(bucket);
  if (addition === undefined) {
    addition = { tallies: new Map(), places: new Map() };
    into.set(bucket, addition);
  }
  addTally(tallyOf(addition.tallies, id), tally);
  addition.places.set(id, place);
}
