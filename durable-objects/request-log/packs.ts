import type { KeptRequest, LeftOut } from "../../src/request-log/kept-request.ts";
import type { LogPlace, LogSearch, RequestBatch, RequestFilters } from "./api.ts";

/**
 * Rows of the log: one for the requests of one minute that came in one call. A row's place begins with the minute, so that what happened
 * at a time is found without an index; within the minute rows have the order in which they came. To be called in a transaction.
 */

export const MINUTE_MS = 60_000;
/** Rows of one minute. A consumer that calls ten times a second would need 600. */
const PLACES_PER_MINUTE = 100_000;
/** A row holds 2 MB. */
const REQUESTS_PER_ROW = 500;
/** Rows that one search looks at before it says where to go on: some 40 ms of the object's time. */
const MAX_ROWS_READ = 10_000;
/** A request's id is of its start; it is decided within seconds, clocks apart. */
const MAX_DECISION_MS = MINUTE_MS;

/** The first place of a minute. */
export function firstPlace(time: number): number {
  return Math.floor(time / MINUTE_MS) * PLACES_PER_MINUTE;
}

function minuteOf(place: number): number {
  return Math.floor(place / PLACES_PER_MINUTE) * MINUTE_MS;
}

interface Minute {
  readonly batchIds: Set<string>;
  readonly kept: KeptRequest[];
  readonly left: LeftOut[];
}

/** Gives the rows written. */
export function storePacks(sql: SqlStorage, batches: readonly RequestBatch[]): number {
  let rowsWritten = 0;
  for (const [first, minute] of byMinute(batches)) {
    for (let from = 0; from === 0 || from < minute.kept.length; from += REQUESTS_PER_ROW) {
      const kept = minute.kept.slice(from, from + REQUESTS_PER_ROW);
      const left = from === 0 ? minute.left : [];
      rowsWritten += sql.exec(
        `INSERT INTO pack (place, batch_ids, facets, left_out, requests)
         VALUES ((SELECT COALESCE(MAX(place) + 1, ?1) FROM pack WHERE place >= ?1 AND place < ?2), ?3, ?4, ?5, ?6)`,
        first,
        first + PLACES_PER_MINUTE,
        [...minute.batchIds].join(" "),
        facetsOf(kept, left),
        JSON.stringify(left),
        JSON.stringify(kept),
      ).rowsWritten;
    }
  }
  return rowsWritten;
}

function byMinute(batches: readonly RequestBatch[]): ReadonlyMap<number, Minute> {
  const minutes = new Map<number, Minute>();
  for (const { batchId, kept, left } of batches) {
    const of = (time: number): Minute => {
      const first = firstPlace(time);
      const known = minutes.get(first) ?? { batchIds: new Set(), kept: [], left: [] };
      known.batchIds.add(batchId);
      minutes.set(first, known);
      return known;
    };
    for (const request of kept) of(request.event.time).kept.push(request);
    for (const entry of left) of(entry.time).left.push(entry);
  }
  return minutes;
}

/** Whether rows of this time have this batch. */
export function isStored(
  sql: SqlStorage,
  batchId: string,
  times: { readonly from: number; readonly to: number },
): boolean {
  return (
    sql
      .exec(
        `SELECT 1 FROM pack WHERE place >= ? AND place < ? AND instr(batch_ids, ?) > 0 LIMIT 1`,
        firstPlace(times.from),
        firstPlace(times.to) + PLACES_PER_MINUTE,
        batchId,
      )
      .toArray().length > 0
  );
}

/** What is in a row, each between spaces: a row that has not what is asked for is not parsed. */
function facetsOf(kept: readonly KeptRequest[], left: readonly LeftOut[]): string {
  const facets = new Set<string>();
  for (const { event } of kept) {
    facets
      .add(`k:${event.keyId ?? ""}`)
      .add(`o:${event.owner ?? ""}`)
      .add(`c:${event.code}`)
      .add(`s:${event.status}`);
  }
  for (const { keyId, code } of left) facets.add(`k:${keyId ?? ""}`).add(`c:${code}`);
  return ` ${[...facets].join(" ")} `;
}

export function findRequest(sql: SqlStorage, requestId: string, startedAt: number): readonly KeptRequest[] {
  const found: KeptRequest[] = [];
  const rows = sql.exec<{ requests: string }>(
    `SELECT requests FROM pack WHERE place >= ? AND place < ? AND instr(requests, ?) > 0`,
    firstPlace(startedAt - MAX_DECISION_MS),
    firstPlace(startedAt + MAX_DECISION_MS) + PLACES_PER_MINUTE,
    requestId,
  );
  for (const row of rows) found.push(...parse(row.requests).filter(({ event }) => event.requestId === requestId));
  return found.toSorted((a, b) => (a.event.id < b.event.id ? -1 : 1));
}

export interface Found {
  readonly requests: readonly KeptRequest[];
  readonly left: number;
  readonly next: LogPlace | null;
}

/**
 * Minute by minute, newest first: what is within a minute is sorted when all of its rows are read. It stops when there is enough, or
 * when it has read enough; at the end of a minute in either case.
 */
export function searchPacks(sql: SqlStorage, search: LogSearch): Found {
  const { filters, limit, before } = search;
  const to = before === null ? search.to : Math.min(search.to, before.time + 1);
  const isWanted = wantedBy(search, to);
  const facets = askedFacets(filters);
  const matches = facets.map((_facet, index) => `instr(facets, ?${index + 3}) > 0`).join(" AND ");
  const rows = sql.exec<{ place: number; left: string | null; requests: string | null }>(
    `SELECT place, CASE WHEN met THEN left_out END AS left, CASE WHEN met THEN requests END AS requests
     FROM (SELECT *, ${matches === "" ? "1" : matches} AS met FROM pack WHERE place >= ?1 AND place < ?2 ORDER BY place DESC)`,
    firstPlace(search.from),
    firstPlace(to - 1) + PLACES_PER_MINUTE,
    ...facets,
  );
  const requests: KeptRequest[] = [];
  let ofMinute: KeptRequest[] = [];
  let left = 0;
  let read = 0;
  let minute = Infinity;
  const settle = (): void => {
    requests.push(...ofMinute.toSorted(newestFirst));
    ofMinute = [];
  };
  for (const row of rows) {
    if (minuteOf(row.place) < minute) {
      settle();
      // The minute that was settled is whole; this one is not begun.
      if (requests.length > limit || read >= MAX_ROWS_READ) break;
      minute = minuteOf(row.place);
    }
    read += 1;
    if (row.left === null || row.requests === null) continue;
    for (const entry of parseLeft(row.left)) {
      if (entry.time >= search.from && entry.time < to && isLeftWanted(entry, filters)) left += entry.count;
    }
    ofMinute.push(...parse(row.requests).filter(isWanted));
  }
  settle();
  const page = requests.slice(0, limit);
  const last = page.at(-1);
  if (requests.length > limit && last !== undefined)
    return { requests: page, left, next: { time: last.event.time, eventId: last.event.id } };
  // Nothing has an id that is less than this one's, so that the minute which was settled last is over.
  const isCut = read >= MAX_ROWS_READ && minute > search.from;
  return { requests: page, left, next: isCut ? { time: minute, eventId: "" } : null };
}

function newestFirst({ event: a }: KeptRequest, { event: b }: KeptRequest): number {
  return b.time - a.time || (a.id < b.id ? 1 : -1);
}

function wantedBy({ from, before, filters }: LogSearch, to: number): (request: KeptRequest) => boolean {
  const { key, owner, code, status } = filters;
  return ({ event }) =>
    event.time >= from &&
    event.time < to &&
    (before === null || event.time < before.time || event.id < before.eventId) &&
    (key === undefined || event.keyId === key) &&
    (owner === undefined || event.owner === owner) &&
    (code === undefined || event.code === code) &&
    (status === undefined || event.status === status);
}

/** Of what was left out neither owner nor status is known: where these are asked for, nothing can be said. */
function isLeftWanted({ keyId, code: of }: LeftOut, { key, owner, code, status }: RequestFilters): boolean {
  if (owner !== undefined || status !== undefined) return false;
  return (key === undefined || keyId === key) && (code === undefined || of === code);
}

function askedFacets({ key, owner, code, status }: RequestFilters): readonly string[] {
  return [
    ...(key === undefined ? [] : [` k:${key} `]),
    ...(owner === undefined ? [] : [` o:${owner} `]),
    ...(code === undefined ? [] : [` c:${code} `]),
    ...(status === undefined ? [] : [` s:${status} `]),
  ];
}

function parse(requests: string): readonly KeptRequest[] {
  // Written by `storePacks` alone.
  return JSON.parse(requests) as readonly KeptRequest[];
}

function parseLeft(left: string): readonly LeftOut[] {
  // Written by `storePacks` alone.
  return left === "[]" ? [] : (JSON.parse(left) as readonly LeftOut[]);
}
