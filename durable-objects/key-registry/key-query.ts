import { MAX_SEARCH_CHARACTERS } from "../../src/constants.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { KeyFilter, KeyRecord, Page, RegistryError } from "./api.ts";
import { MAX_QUERY_WORDS, SELECTIVE_ROWS } from "./bounds.ts";
import { clampLimit, decodeCursor, encodeCursor, toPage } from "./cursor.ts";
import type { Place } from "./cursor.ts";
import { toKeyRecord } from "./edge-record.ts";
import type { KeysTable } from "./keys-table.ts";
import type { StoredKey } from "./stored-key.ts";

/**
 * Lists of keys. Newest first, by `seq`; with `expiresBefore` soonest first, with `lastUsedBefore` longest unused first
 * (a key that was never used counts as used before any time). Keys made while someone pages through a list come
 * before its first page, so no page repeats or misses a key because of them.
 *
 * One filter *drives*: its index is walked, the others are looked up on the way. SQLite has no statistics here and would
 * guess, so the driver is chosen by counting, up to a bound, what each filter matches, and is named with INDEXED BY.
 * The worst case is two filters that each match most keys and together hardly any.
 */

/** A filter as the driver (`from`, `where`, `seq`) and as a condition on rows that another one found (`test`). */
interface Term {
  readonly from: string;
  readonly where: string;
  readonly seq: string;
  readonly test: string;
  readonly bindings: readonly SqlStorageValue[];
}

/** A filter that is a range, and so the order of the list: one cannot walk a range in another order. */
interface Range {
  readonly column: "expires_at" | "last_used_at";
  readonly index: string;
  readonly before: EpochMs;
}

export interface KeyQuery {
  readonly sql: string;
  readonly bindings: readonly SqlStorageValue[];
}

/** One page that is asked for. */
export interface PageAsked<P> {
  readonly filter: KeyFilter;
  readonly limit: number;
  /** Where the page before ended; `null` for the first. */
  readonly after: P | null;
  readonly now: EpochMs;
}

/** Rows of `keys`, one more than `limit`. */
export function planKeyList(sql: SqlStorage, { filter, limit, after: place, now }: PageAsked<Place>): KeyQuery {
  const ranges = rangesOf(filter);
  const range = ranges[0] ?? null;
  const terms = termsOf(filter);
  const driver = mostSelective(sql, terms, range !== null);
  const seq = driver?.seq ?? "k.seq";
  const conditions = terms
    .filter((term) => term !== driver)
    .map((term) => ({ sql: term.test, bindings: term.bindings }));
  // Without another driver the first range drives; every other range is only a condition.
  for (const other of driver === null ? ranges.slice(1) : ranges) {
    conditions.push({ sql: `+k.${other.column} < ?`, bindings: [other.before] });
  }
  if (filter.status === "active" || filter.status === "rotating" || filter.status === "disabled") {
    conditions.push({ sql: "+k.end_at > ?", bindings: [now] });
  }
  if (filter.createdAfter !== undefined) {
    const floor = lastSeqAt(sql, Date.parse(filter.createdAfter));
    // Every index but a range's ends with the row number, which this narrows.
    conditions.push({
      sql: driver === null && range !== null ? "+k.seq > ?" : `${seq} > CAST(? AS INTEGER)`,
      bindings: [floor],
    });
  }
  conditions.push(...placeConditions(range, seq, place));
  const from = driver?.from ?? (range === null ? "keys k" : `keys k INDEXED BY ${range.index}`);
  const first = driver ?? (range === null ? null : { where: `k.${range.column} < ?`, bindings: [range.before] });
  const where = [...(first === null ? [] : [first.where]), ...conditions.map((condition) => condition.sql)];
  const order = range === null ? `${seq} DESC` : `k.${range.column}, k.seq`;
  return {
    sql: `SELECT k.* FROM ${from} WHERE ${where.join(" AND ")} ORDER BY ${order} LIMIT ?`,
    bindings: [...(first?.bindings ?? []), ...conditions.flatMap((condition) => condition.bindings), limit + 1],
  };
}

function placeConditions(
  range: Range | null,
  seq: string,
  place: Place | null,
): { readonly sql: string; readonly bindings: readonly SqlStorageValue[] }[] {
  // FTS5 heeds a bound on its row number only when that is an integer; numbers are bound as floats.
  if (range === null)
    return [{ sql: `${seq} < CAST(? AS INTEGER)`, bindings: [place?.[0] ?? Number.MAX_SAFE_INTEGER] }];
  return place === null ? [] : [{ sql: `(k.${range.column}, k.seq) > (?, ?)`, bindings: [...place] }];
}

/** Lists keys; the caller has swept expired ones. */
export function listKeys(
  sql: SqlStorage,
  keys: KeysTable,
  { filter, limit, after: cursor, now }: PageAsked<string>,
): Result<Page<KeyRecord>, RegistryError> {
  const invalid = checkFilter(filter);
  if (invalid !== null) return err(invalid);
  const range = rangesOf(filter)[0];
  const place = decodeCursor(cursor, filter, range === undefined ? ["number"] : ["number", "number"]);
  if (!place.ok) return place;
  const rows = clampLimit(limit);
  const query = planKeyList(sql, { filter, limit: rows, after: place.value, now });
  return ok(
    toPage(
      keys.all(query.sql, ...query.bindings),
      rows,
      (key) => toKeyRecord(key, now),
      (key) => encodeCursor(filter, range === undefined ? [key.seq] : [placeInRange(key, range), key.seq]),
    ),
  );
}

function placeInRange(key: StoredKey, range: Range): number {
  return (range.column === "expires_at" ? key.expiresAt : key.lastUsedAt) ?? 0;
}

function checkFilter(filter: KeyFilter): RegistryError | null {
  for (const name of ["expiresBefore", "lastUsedBefore", "createdAfter"] as const) {
    const time = filter[name];
    if (time !== undefined && Number.isNaN(Date.parse(time))) {
      return { code: "request_invalid", detail: `${name} is not a time in RFC 3339.`, pointer: `/${name}` };
    }
  }
  if (filter.q !== undefined && wordsOf(filter.q).length === 0) {
    return { code: "request_invalid", detail: "q holds no letter or digit.", pointer: "/q" };
  }
  return null;
}

function rangesOf(filter: KeyFilter): Range[] {
  const ranges: Range[] = [];
  if (filter.expiresBefore !== undefined) {
    ranges.push({ column: "expires_at", index: "keys_by_expiry", before: Date.parse(filter.expiresBefore) });
  }
  if (filter.lastUsedBefore !== undefined) {
    ranges.push({ column: "last_used_at", index: "keys_by_last_use", before: Date.parse(filter.lastUsedBefore) });
  }
  return ranges;
}

function termsOf(filter: KeyFilter): Term[] {
  const terms: Term[] = [];
  if (filter.q !== undefined) terms.push(wordsTerm(filter.q));
  if (filter.tag !== undefined) terms.push(sideTerm("key_tags", "tag", filter.tag));
  if (filter.owner !== undefined) terms.push(columnTerm("owner", "keys_by_owner", filter.owner));
  if (filter.scope !== undefined) terms.push(sideTerm("key_scopes", "scope", filter.scope));
  if (filter.plan !== undefined) terms.push(columnTerm("plan", "keys_by_plan", filter.plan));
  if (filter.status !== undefined) terms.push(columnTerm("phase", "keys_by_phase", filter.status));
  if (filter.kind !== undefined) terms.push(columnTerm("kind", "keys_by_kind", filter.kind));
  if (filter.environment !== undefined) {
    terms.push(columnTerm("environment", "keys_by_environment", filter.environment));
  }
  return terms;
}

/** An index entry ends with the row number, so one value's entries are in order of creation. */
function columnTerm(column: string, index: string, value: string): Term {
  return {
    from: `keys k INDEXED BY ${index}`,
    where: `k.${column} = ?`,
    seq: "k.seq",
    test: `+k.${column} = ?`,
    bindings: [value],
  };
}

function sideTerm(table: string, column: string, value: string): Term {
  return {
    // CROSS JOIN: SQLite keeps the order of the tables.
    from: `${table} d CROSS JOIN keys k ON k.seq = d.seq`,
    where: `d.${column} = ?`,
    seq: "d.seq",
    test: `EXISTS (SELECT 1 FROM ${table} t WHERE t.${column} = ? AND t.seq = k.seq)`,
    bindings: [value],
  };
}

function wordsTerm(q: string): Term {
  return {
    from: "key_words CROSS JOIN keys k ON k.seq = key_words.rowid",
    where: "key_words MATCH ?",
    seq: "key_words.rowid",
    test: "k.seq IN (SELECT rowid FROM key_words WHERE key_words MATCH ?)",
    bindings: [
      wordsOf(q)
        .map((word) => `"${word}"*`)
        .join(" "),
    ],
  };
}

/** Cut as the tokenizer `unicode61` cuts, so that each word is one token. */
function wordsOf(q: string): string[] {
  return q
    .slice(0, MAX_SEARCH_CHARACTERS)
    .normalize("NFC")
    .split(/[^\p{L}\p{N}\p{Co}]+/u)
    .filter((word) => word !== "")
    .slice(0, MAX_QUERY_WORDS);
}

/** The filter with the fewest matches. Where a range gives the order, only one whose matches may be sorted; else `null`. */
function mostSelective(sql: SqlStorage, terms: readonly Term[], hasRange: boolean): Term | null {
  const [only] = terms;
  if (only === undefined) return null;
  if (terms.length === 1 && !hasRange) return only;
  let best = { term: only, rows: Infinity };
  for (const term of terms) {
    const rows = countUpTo(sql, term);
    if (rows < best.rows) best = { term, rows };
  }
  return hasRange && best.rows >= SELECTIVE_ROWS ? null : best.term;
}

function countUpTo(sql: SqlStorage, term: Term): number {
  const { from } = term;
  const alone = from.split(" CROSS JOIN ")[0] ?? from;
  return sql
    .exec<{ n: number }>(
      `SELECT count(*) AS n FROM (SELECT 1 FROM ${alone} WHERE ${term.where} LIMIT ?)`,
      ...term.bindings,
      SELECTIVE_ROWS,
    )
    .one().n;
}

/** The newest key made at `time` or before. Creation times rise with `seq`. */
function lastSeqAt(sql: SqlStorage, time: EpochMs): number {
  const row = sql
    .exec<{ seq: number }>(
      "SELECT seq FROM keys INDEXED BY keys_by_created WHERE created_at <= ? ORDER BY created_at DESC, seq DESC LIMIT 1",
      time,
    )
    .toArray()[0];
  return row?.seq ?? 0;
}
