import {
  noDistributions,
  packDistributions,
  type PackedDistributions,
  unpackDistributions,
  weightOf,
} from "../../src/usage/distributions.ts";
import { addTally } from "../../src/usage/rollup.ts";
import type { MinuteSum, Tally } from "../../src/usage/rollup.ts";
import type { LedgerMarks } from "../../src/usage/segments.ts";
import type { Health } from "../../src/usage/health.ts";
import { storeBatchIds } from "./batch-ids.ts";
import { addHealth, packHealth, type PackedHealth, unpackHealth } from "./health.ts";
import type { KnownSeries } from "./series.ts";
import { readState, writeState } from "./state.ts";
import { writeSums } from "./sums.ts";
import { addTotal, writeTotals } from "./totals.ts";
import type { Total } from "./totals.ts";
import { storeUses } from "./uses.ts";
import type { LastUses, Move } from "./uses.ts";

/**
 * What was ingested lately, one row for each ingest, before it is folded into the other tables. A key that is used once a second is
 * in sixty ingests a minute; its sums change a row once.
 *
 * Rows are not deleted, which would cost as much as to write them, but written over. A row counts while its `round` is the
 * present one; a fold begins the next round. Those that count lie in slots 1, 2, 3, … without a gap.
 */
export interface Entry {
  readonly batchIds: readonly string[];
  readonly groups: readonly MinuteSum[];
  readonly totals: readonly Total[];
  /** By minute. */
  readonly health: readonly Health[];
  /** Keys whose last use moved. */
  readonly uses: readonly Move[];
}

/** An ingest folds what is older than this, if it is enough to be worth it; … */
const FOLD_AFTER_MS = 60_000;
const FOLD_ENTRIES = 32;
/** … whatever is older than this; … */
const FOLD_ANYWAY_MS = 3_600_000;
/** … and what is more than this: a fold holds all of it in memory, some 1,000 bytes each, and nothing else happens meanwhile. */
const FOLD_GROUPS = 25_000;
/** A row holds 2 MB, and a character is at most 3 bytes. */
const CHARACTERS_PER_ROW = 500_000;

/**
 * What stands in a row, as JSON: [minute, seriesKey, requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs, distributions],
 * totals and health. Older versions wrote no distributions, and no health.
 */
interface StoredEntry {
  readonly g: readonly StoredGroup[];
  readonly t: readonly Total[];
  readonly h?: readonly PackedHealth[];
}

type StoredGroup = readonly [
  number,
  string,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  PackedDistributions?,
];

/** What the journal holds. */
export interface JournalLength {
  /** How many slots count: a copy of what is stored. `null`: to be looked up. */
  slots: number | null;
  /** Groups that were put in since the object woke up, or since the last fold. */
  groups: number;
}

/** To be called in a transaction. Gives the rows written. */
export function keepEntry(
  sql: SqlStorage,
  { batchIds, groups, totals, health, uses }: Entry,
  now: number,
  length: JournalLength,
): number {
  const round = readState(sql, "journal_round");
  let slots = length.slots ?? countSlots(sql, round);
  let rowsWritten = 0;
  for (const [index, g] of inRows(groups).entries()) {
    const isFirst = index === 0;
    const entry: StoredEntry = isFirst ? { g, t: totals, h: health.map(packHealth) } : { g, t: [] };
    slots += 1;
    rowsWritten += sql.exec(
      `INSERT INTO journal_slot (slot, round, at, batch_ids, uses, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT (slot) DO UPDATE SET round = ?2, at = ?3, batch_ids = ?4, uses = ?5, entry = ?6`,
      slots,
      round,
      now,
      isFirst ? batchIds.join(" ") : "",
      JSON.stringify(isFirst ? uses : []),
      JSON.stringify(entry),
    ).rowsWritten;
  }
  length.slots = slots;
  length.groups += groups.length;
  return rowsWritten;
}

/** One row nearly always; one also where there is nothing. */
function inRows(groups: readonly MinuteSum[]): readonly StoredEntry["g"][] {
  const rows: StoredGroup[][] = [[]];
  let characters = 0;
  for (const group of groups) {
    // At most: a text of JSON within JSON has its quotes escaped, a sum has 16 digits, a bin and its count some 6 each.
    characters += 2 * group.seriesKey.length + 172 + 6 * weightOf(group.distributions);
    if (characters > CHARACTERS_PER_ROW) {
      rows.push([]);
      characters = 0;
    }
    rows.at(-1)?.push(pack(group));
  }
  return rows;
}

function countSlots(sql: SqlStorage, round: number): number {
  return sql.exec<{ slots: number }>(`SELECT COUNT(*) AS slots FROM journal_slot WHERE round = ?`, round).one().slots;
}

/** Ids of batches that are in the journal. */
export function unfoldedBatchIds(sql: SqlStorage): readonly string[] {
  return sql
    .exec<{ ids: string }>(`SELECT batch_ids AS ids FROM journal_slot WHERE round = ?`, readState(sql, "journal_round"))
    .toArray()
    .flatMap(({ ids }) => idsIn(ids));
}

function idsIn(text: string): readonly string[] {
  return text === "" ? [] : text.split(" ");
}

/** Uses that are in the journal. */
export function unfoldedUses(sql: SqlStorage): readonly Move[] {
  return sql
    .exec<{ uses: string }>(`SELECT uses FROM journal_slot WHERE round = ?`, readState(sql, "journal_round"))
    .toArray()
    .flatMap(({ uses }) => movesIn(uses));
}

/** Health that is in the journal. */
export function unfoldedHealth(sql: SqlStorage): readonly Health[] {
  return sql
    .exec<{ health: string | null }>(
      `SELECT entry ->> '$.h' AS health FROM journal_slot WHERE round = ?`,
      readState(sql, "journal_round"),
    )
    .toArray()
    .flatMap(({ health }) => (health === null ? [] : healthIn(JSON.parse(health) as StoredEntry["h"])));
}

function healthIn(packed: StoredEntry["h"] = []): readonly Health[] {
  return packed.map(unpackHealth);
}

function movesIn(text: string): readonly Move[] {
  // Written by `keepEntry`, so its shape is known.
  return JSON.parse(text) as readonly Move[];
}

export function isFoldDue(sql: SqlStorage, now: number, length: JournalLength): boolean {
  if (length.groups >= FOLD_GROUPS) return true;
  const round = readState(sql, "journal_round");
  const [first] = sql.exec<{ at: number }>(`SELECT at FROM journal_slot WHERE slot = 1 AND round = ?`, round).toArray();
  if (first === undefined) return false;
  // A clock that stepped back must not put it off for ever.
  const age = Math.abs(now - first.at);
  if (age < FOLD_AFTER_MS || age >= FOLD_ANYWAY_MS) return age >= FOLD_ANYWAY_MS;
  return (
    sql.exec(`SELECT 1 FROM journal_slot WHERE slot = ? AND round = ?`, FOLD_ENTRIES, round).toArray().length === 1
  );
}

/** What the ledger has in memory of what it stores, as far as a fold uses it. */
export interface FoldMemory {
  readonly series: KnownSeries;
  readonly journal: JournalLength;
  readonly uses: LastUses;
}

/**
 * Puts the journal into the other tables, and empties it. To be called in a transaction, and before `rollUp`: the marks must be
 * those of before it. A second call finds nothing to do. Gives the rows written.
 */
export function fold(
  sql: SqlStorage,
  at: { readonly marks: LedgerMarks; readonly now: number },
  memory: FoldMemory,
): number {
  const round = readState(sql, "journal_round");
  const groups = new Map<string, Group>();
  const totals = new Map<string, Total>();
  const moves: Move[] = [];
  const batchIds: string[] = [];
  const health: Health[] = [];
  let slots = 0;
  for (const { ids, uses, entry } of sql.exec<{ ids: string; uses: string; entry: string }>(
    `SELECT batch_ids AS ids, uses, entry FROM journal_slot WHERE round = ? ORDER BY slot`,
    round,
  )) {
    slots += 1;
    for (const id of idsIn(ids)) batchIds.push(id);
    for (const move of movesIn(uses)) moves.push(move);
    // Written by `keepEntry`, so its shape is known.
    const stored = JSON.parse(entry) as StoredEntry;
    for (const group of stored.g) addGroup(groups, unpack(group));
    for (const total of stored.t) addTotal(totals, total);
    for (const minute of healthIn(stored.h)) health.push(minute);
  }
  memory.journal.slots = 0;
  memory.journal.groups = 0;
  if (slots === 0) return 0;
  return (
    writeSums(sql, [...groups.values()], at, memory.series) +
    writeTotals(sql, totals.values()) +
    addHealth(sql, health, at.now) +
    storeBatchIds(sql, batchIds) +
    storeUses(sql, moves, memory.uses) +
    writeState(sql, "journal_round", round + 1)
  );
}

type Group = Omit<MinuteSum, "dimensions">;

function addGroup(groups: Map<string, Group>, added: Group): void {
  const name = `${added.minute}${added.seriesKey}`;
  const group = groups.get(name);
  if (group === undefined) groups.set(name, added);
  else addTally(group, added);
}

function pack({ minute, seriesKey, sums, distributions }: Group): StoredGroup {
  const { requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs } = sums;
  const packed = packDistributions(distributions);
  return [minute, seriesKey, requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs, packed];
}

function unpack([minute, seriesKey, ...of]: StoredGroup): Group {
  const [requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs, packed] = of;
  const tally: Tally = {
    sums: { requests, allowed, refused, cost, bytesIn, bytesOut, latencyMs },
    distributions: packed === undefined ? noDistributions() : unpackDistributions(packed),
  };
  return { minute, seriesKey, ...tally };
}
