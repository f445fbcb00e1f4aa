import { remindersOf } from "../../src/alerts/reminders.ts";
import type { ReminderKey, ReminderRules } from "../../src/alerts/reminders.ts";
import type { ReminderPage } from "./api.ts";
import { REMINDER_SCAN_ROWS } from "./bounds.ts";
import { readJson } from "./edge-record.ts";

/** Keys that somebody is to be reminded of. */

type Row = {
  readonly id: string;
  readonly hint: string;
  readonly owner: string;
  readonly contacts: string | null;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly not_after: number | null;
  readonly rotated_at: number | null;
  readonly last_used_at: number;
};

/** Looks through a piece of all keys, in order of creation: so many rows in memory, however many there are. */
export function pageOfReminders(sql: SqlStorage, rules: ReminderRules, after: number): ReminderPage {
  const last = sql.exec<{ seq: number | null }>("SELECT max(seq) AS seq FROM keys").one().seq ?? 0;
  const rows = sql.exec<Row>(
    `SELECT k.id, k.hint, k.owner, o.contacts, k.created_at, k.expires_at, k.not_after, k.rotated_at, k.last_used_at
     FROM keys k LEFT JOIN owners o ON o.id = k.owner
     WHERE k.seq > ?1 AND k.seq <= ?2 AND k.state = 'active' AND k.owner_disabled = 0 AND k.kind <> 'workload'
       AND k.end_at > ?3 ORDER BY k.seq`,
    after,
    after + REMINDER_SCAN_ROWS,
    rules.now,
  );
  const conditions = [...rows].flatMap((row) => remindersOf(toKey(row), rules));
  const next = after + REMINDER_SCAN_ROWS;
  return { conditions, next: next >= last ? null : next };
}

function toKey(row: Row): ReminderKey {
  const contacts = row.contacts === null ? null : readJson<{ readonly team?: string }>(row.contacts);
  return {
    id: row.id,
    hint: row.hint,
    owner: row.owner,
    team: contacts?.team ?? null,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    notAfter: row.not_after,
    rotatedAt: row.rotated_at,
    lastUsedAt: row.last_used_at,
  };
}
