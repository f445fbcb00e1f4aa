import { addDistributions, addEventTo, type Distributions, noDistributions } from "./distributions.ts";
import type { UsageEvent } from "./event.ts";

/** How events become sums. Pure: the ledger writes what comes out of here, the tests compare with it. */

export const MINUTE_SECONDS = 60;
export const HOUR_SECONDS = 3_600;
export const DAY_SECONDS = 86_400;

export type Granularity = "minute" | "hour" | "day";

export const GRANULARITY_SECONDS: Readonly<Record<Granularity, number>> = {
  minute: MINUTE_SECONDS,
  hour: HOUR_SECONDS,
  day: DAY_SECONDS,
};

/** What a sum is kept by. Two events with the same dimensions and minute are one row. */
interface Dimensions {
  readonly keyId: string | null;
  readonly lineageId: string | null;
  readonly owner: string | null;
  readonly environment: string | null;
  readonly route: string | null;
  readonly status: number;
  readonly code: string;
  readonly country: string | null;
  readonly asn: number | null;
  readonly upstream: string | null;
}

/** Sums of a set of events. `latencyMs` is a sum, like the rest. */
export interface Sums {
  requests: number;
  allowed: number;
  refused: number;
  cost: number;
  bytesIn: number;
  bytesOut: number;
  latencyMs: number;
}

/** What is known of a set of events. */
export interface Tally {
  readonly sums: Sums;
  readonly distributions: Distributions;
}

export interface MinuteSum extends Tally {
  /** Start of the minute, epoch seconds. */
  readonly minute: number;
  /** Text of the dimensions: equal for equal dimensions, different for different ones. */
  readonly seriesKey: string;
  readonly dimensions: Dimensions;
}

export function emptyTally(): Tally {
  return { sums: emptySums(), distributions: noDistributions() };
}

export function addTally(into: Tally, other: Tally): void {
  addSums(into.sums, other.sums);
  addDistributions(into.distributions, other.distributions);
}

export function emptySums(): Sums {
  return { requests: 0, allowed: 0, refused: 0, cost: 0, bytesIn: 0, bytesOut: 0, latencyMs: 0 };
}

export function addSums(into: Sums, other: Readonly<Sums>): void {
  into.requests += other.requests;
  into.allowed += other.allowed;
  into.refused += other.refused;
  into.cost += other.cost;
  into.bytesIn += other.bytesIn;
  into.bytesOut += other.bytesOut;
  into.latencyMs += other.latencyMs;
}

/** Admitted by Latchkey. An upstream that failed afterwards does not make the request a refused one. */
export function isAllowed(code: string): boolean {
  return code === "allowed" || code === "upstream_unreachable" || code === "upstream_timeout";
}

/** The start, epoch seconds, of the bucket that holds `epochMs`. */
export function bucketOf(epochMs: number, seconds: number): number {
  const at = Math.floor(epochMs / 1_000);
  return at - (((at % seconds) + seconds) % seconds);
}

function dimensionsOf(event: UsageEvent): Dimensions {
  return {
    keyId: event.keyId,
    lineageId: event.lineageId,
    owner: event.owner,
    environment: event.environment,
    route: event.route,
    status: event.status,
    code: event.code,
    country: event.country,
    asn: event.asn,
    upstream: event.upstream,
  };
}

function seriesKeyOf(of: Dimensions): string {
  const { keyId, lineageId, owner, environment, route, status, code, country, asn, upstream } = of;
  return JSON.stringify([keyId, lineageId, owner, environment, route, status, code, country, asn, upstream]);
}

/** The dimensions that a `seriesKey` is the text of. Older versions knew no networks and no upstreams. */
export function dimensionsIn(seriesKey: string): Dimensions {
  // Written by `seriesKeyOf` alone, so its shape is known.
  const [keyId, lineageId, owner, environment, route, status, code, country, asn = null, upstream = null] = JSON.parse(
    seriesKey,
  ) as readonly [
    string | null,
    string | null,
    string | null,
    string | null,
    string | null,
    number,
    string,
    string | null,
    (number | null)?,
    (string | null)?,
  ];
  return { keyId, lineageId, owner, environment, route, status, code, country, asn, upstream };
}

/** Adds events to sums by minute and dimensions: rows written follow distinct groups, not events. */
export function sumByMinute(events: Iterable<UsageEvent>, into = new Map<string, MinuteSum>()): Map<string, MinuteSum> {
  for (const event of events) {
    const minute = bucketOf(event.time, MINUTE_SECONDS);
    const dimensions = dimensionsOf(event);
    const seriesKey = seriesKeyOf(dimensions);
    const groupKey = `${minute}${seriesKey}`;
    let group = into.get(groupKey);
    if (group === undefined) {
      group = { minute, seriesKey, dimensions, ...emptyTally() };
      into.set(groupKey, group);
    }
    addEvent(group.sums, event);
    addEventTo(group.distributions, event);
  }
  return into;
}

function addEvent(into: Sums, event: UsageEvent): void {
  into.requests += 1;
  if (isAllowed(event.code)) into.allowed += 1;
  else into.refused += 1;
  into.cost += event.cost;
  into.bytesIn += event.bytesIn;
  into.bytesOut += event.bytesOut;
  into.latencyMs += event.latencyMs;
}
