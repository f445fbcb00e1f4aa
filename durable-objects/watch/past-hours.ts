import type { DryRunPage, DryRunQuery } from "./api.ts";
import type { WatchPolicy } from "../../src/detection/policy.ts";
import { withDayEnds } from "../../src/detection/day-ends.ts";
import { change } from "../../src/detection/policy.ts";
import type { Finding } from "../../src/detection/finding.ts";
import { HOUR_SECONDS, type KeyHour } from "../../src/detection/rows.ts";
import { decodeState } from "../../src/detection/state.ts";
import { joinFindings, judgeHour, newWatch, noteHour, type Watch } from "../../src/detection/watch.ts";
import { type KeyFactsBook, NOTHING, ruled } from "./key-facts.ts";
import { packKeyHours, unpackKeyHours } from "./packed-hours.ts";
import type { WatchedKeys } from "./watched-keys.ts";

/** Hours that were judged, and what was known of each key at the start of some weeks: what a dry run goes over again. */

const KEYS_PER_ROW = 2_000;
const WEEK_SECONDS = 7 * 24 * HOUR_SECONDS;
/** The epoch began on a Thursday. */
const MONDAY_SECONDS = 4 * 24 * HOUR_SECONDS;
/** A dry run of the last week begins with the past that was known before it: up to a week more. */
const KEPT_WEEKS = 3;
/** So many go over two weeks, and up to a week before, in about a second. */
const KEYS_PER_PAGE = 50;

/** @param part of the hour: slices of keys come one after the other. */
export function keepHours(
  sql: SqlStorage,
  hour: number,
  rows: readonly (readonly [keyId: string, row: KeyHour])[],
): void {
  const used = rows.filter(([, { requests }]) => requests > 0);
  for (let from = 0; from < used.length; from += KEYS_PER_ROW) {
    sql.exec(
      `INSERT INTO key_hours (hour, part, rows)
       VALUES (?1, (SELECT COALESCE(MAX(part), 0) + 1 FROM key_hours WHERE hour = ?1), ?2)`,
      hour,
      packKeyHours(used.slice(from, from + KEYS_PER_ROW)),
    );
  }
}

/** What is known of all keys now is what was known before this hour. Once a week. */
export function keepSnapshot(sql: SqlStorage, hour: number): void {
  if ((hour - MONDAY_SECONDS) % WEEK_SECONDS !== 0) return;
  sql.exec(`INSERT OR REPLACE INTO snapshot (key_id, hour, state) SELECT key_id, ?, state FROM watched_key`, hour);
}

export function sweepPast(sql: SqlStorage, hour: number): void {
  sql.exec(`DELETE FROM snapshot WHERE hour < ?`, hour - KEPT_WEEKS * WEEK_SECONDS);
  sql.exec(`DELETE FROM key_hours WHERE hour < ?`, hour - KEPT_WEEKS * WEEK_SECONDS);
}

interface Memory {
  readonly sql: SqlStorage;
  readonly keys: WatchedKeys;
  readonly facts: KeyFactsBook;
  readonly policy: WatchPolicy;
}

export function dryRunOver(
  { sql, keys, facts: known, policy }: Memory,
  { from, to, changes, cursor }: DryRunQuery,
): DryRunPage {
  const begin = from / 1_000;
  const { since } = sql.exec<{ since: number | null }>(`SELECT MIN(hour) AS since FROM key_hours`).one();
  const ids = keys.usedSince(0, cursor, KEYS_PER_PAGE + 1);
  const page = ids.slice(0, KEYS_PER_PAGE);
  const pasts = new Map(page.map((keyId) => [keyId, pastOf(sql, keyId, begin)]));
  const first = Math.min(begin, ...Array.from(pasts.values(), ({ hour }) => hour));
  const rows = rowsOf(sql, new Set(page), first, to / 1_000);
  const findings = page.flatMap((keyId) => {
    const stored = known.of(keyId) ?? NOTHING;
    const { facts, thresholds, off } = ruled(keyId, stored, policy);
    const { watch, hour } = pasts.get(keyId) ?? { watch: newWatch(), hour: 0 };
    const found: Finding[] = [];
    const own = (rows.get(keyId) ?? []).filter((row) => row.hour >= hour);
    for (const row of withDayEnds(own)) {
      const wanted = change(thresholds, changes);
      const said = [...judgeHour(watch, facts, row, wanted), ...noteHour(watch, facts, row, wanted)];
      if (row.hour >= begin && row.hour < to / 1_000) found.push(...said.filter(({ kind }) => !off.has(kind)));
    }
    return joinFindings(found).map((finding) => ({ ...finding, owner: stored.owner }));
  });
  return {
    findings,
    keys: page.length,
    knownSince: since === null ? null : since * 1_000,
    nextCursor: ids.length > page.length ? (page.at(-1) ?? null) : null,
  };
}

interface Past {
  readonly watch: Watch;
  /** From when on hours are to be added, epoch seconds. */
  readonly hour: number;
}

function pastOf(sql: SqlStorage, keyId: string, before: number): Past {
  const [row] = sql
    .exec<{ hour: number; state: ArrayBuffer }>(
      `SELECT hour, state FROM snapshot WHERE key_id = ? AND hour <= ? ORDER BY hour DESC LIMIT 1`,
      keyId,
      before,
    )
    .toArray();
  const state = row === undefined ? null : decodeState(new Uint8Array(row.state));
  return row === undefined || state === null
    ? { watch: newWatch(), hour: 0 }
    : { watch: { ...newWatch(), ...state }, hour: row.hour };
}

function rowsOf(
  sql: SqlStorage,
  wanted: ReadonlySet<string>,
  from: number,
  to: number,
): ReadonlyMap<string, readonly KeyHour[]> {
  const found = new Map<string, KeyHour[]>();
  for (const { rows } of sql.exec<{ rows: string }>(
    `SELECT rows FROM key_hours WHERE hour >= ? AND hour < ? ORDER BY hour, part`,
    from,
    to,
  )) {
    for (const [keyId, row] of unpackKeyHours(rows)) {
      if (!wanted.has(keyId)) continue;
      const own = found.get(keyId);
      if (own === undefined) found.set(keyId, [row]);
      else own.push(row);
    }
  }
  return found;
}
