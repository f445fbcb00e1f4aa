import { packDistributions, type PackedDistributions, unpackDistributions } from "./distributions.ts";
import type { Sums, Tally } from "./rollup.ts";
import { addTally, emptySums, emptyTally } from "./rollup.ts";

/**
 * Sums of many series in one text: the ledger keeps a row for a few hundred series of a minute (an hour, a day), because a written
 * row costs the same whatever stands in it. Pure.
 */

/** By number of the series. */
export type SeriesTallies = Map<number, Tally>;

/** One after the other: series, requests, allowed, cost, bytesIn, bytesOut, latencyMs. The refused are the rest of the requests. */
export type Packed = readonly number[];
export const PACKED_WIDTH = 7;

export function packSums(tallies: SeriesTallies): string {
  const packed: number[] = [];
  for (const [series, { sums: of }] of tallies) {
    packed.push(series, of.requests, of.allowed, of.cost, of.bytesIn, of.bytesOut, of.latencyMs);
  }
  return JSON.stringify(packed);
}

export function parsePacked(text: string): Packed {
  // Written by `packSums`, so its shape is known.
  return JSON.parse(text) as Packed;
}

/** The number of the series that stands at `at`, a multiple of `PACKED_WIDTH`. */
export function seriesAt(packed: Packed, at: number): number {
  return packed[at] ?? 0;
}

export function requestsAt(packed: Packed, at: number): number {
  return packed[at + 1] ?? 0;
}

/** Adds the sums that stand at `at`. */
export function addPackedAt(into: Sums, packed: Packed, at: number): void {
  const requests = requestsAt(packed, at);
  const allowed = packed[at + 2] ?? 0;
  into.requests += requests;
  into.allowed += allowed;
  into.refused += requests - allowed;
  into.cost += packed[at + 3] ?? 0;
  into.bytesIn += packed[at + 4] ?? 0;
  into.bytesOut += packed[at + 5] ?? 0;
  into.latencyMs += packed[at + 6] ?? 0;
}

/** Beside the sums, in a text of their own: most questions are about sums. */
type PackedSeries = readonly [series: number, distributions: PackedDistributions];

export function packSeriesDistributions(tallies: SeriesTallies): string {
  return JSON.stringify(
    Array.from(tallies, ([series, { distributions }]): PackedSeries => [series, packDistributions(distributions)]),
  );
}

/** Adds all of them, each to its series. */
export function addPacked(into: SeriesTallies, packed: Packed, distributions: string): void {
  for (let at = 0; at < packed.length; at += PACKED_WIDTH)
    addPackedAt(tallyOf(into, seriesAt(packed, at)).sums, packed, at);
  for (const [series, of] of parseSeriesDistributions(distributions)) {
    addTally(tallyOf(into, series), { sums: emptySums(), distributions: unpackDistributions(of) });
  }
}

export function parseSeriesDistributions(text: string): readonly PackedSeries[] {
  // Written by `packSeriesDistributions`, so its shape is known.
  return JSON.parse(text) as readonly PackedSeries[];
}

/** That of one series, from nothing where it is new. */
export function tallyOf(tallies: SeriesTallies, series: number): Tally {
  let found = tallies.get(series);
  if (found === undefined) {
    found = emptyTally();
    tallies.set(series, found);
  }
  return found;
}
