import { MAX_KEYS_AT_ONCE } from "../../src/constants.ts";
import type { Limit } from "../../src/limits/limit.ts";
import type { WatchedFacts } from "./api.ts";
import { readJson } from "./edge-record.ts";

/** What the watch asks of keys: one query, however many. */

type Row = {
  readonly id: string;
  readonly environment: "live" | "test";
  readonly owner: string;
  readonly contacts: string | null;
  readonly plan: string | null;
  readonly tags: string;
  readonly limits: string;
};

export function watchedFacts(sql: SqlStorage, ids: readonly string[]): readonly WatchedFacts[] {
  if (ids.length > MAX_KEYS_AT_ONCE) throw new RangeError(`at most ${MAX_KEYS_AT_ONCE} keys`);
  const rows = sql.exec<Row>(
    `SELECT k.id, k.environment, k.owner, o.contacts, k.plan, k.tags, k.limits
     FROM keys k LEFT JOIN owners o ON o.id = k.owner WHERE k.id IN (SELECT value FROM json_each(?))`,
    JSON.stringify(ids),
  );
  return [...rows].map(({ contacts, tags, limits, ...row }) => ({
    ...row,
    team: (contacts === null ? null : readJson<{ readonly team?: string }>(contacts).team) ?? null,
    tags: readJson<readonly string[]>(tags),
    limits: readJson<readonly Limit[]>(limits),
  }));
}
