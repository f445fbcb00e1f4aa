import { countRest, expiresAt, isOpen } from "../../src/alerts/alert.ts";
import type { Alert } from "../../src/alerts/alert.ts";
import type { AlertKind } from "../../src/alerts/kinds.ts";
import { quietOf } from "../../src/alerts/silence.ts";
import type { Quiet } from "../../src/alerts/silence.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { Page, RegistryError } from "../key-registry/api.ts";
import { clampLimit, decodeCursor, encodeCursor, toPage } from "../key-registry/cursor.ts";
import { readJson } from "../key-registry/edge-record.ts";
import type { AlertFilter, AlertState, HistoryEntry, ShownAlert } from "./api.ts";
import { MAX_HISTORY, MAX_RESOLVED_ALERTS, SWEEP_ROWS } from "./bounds.ts";

/** Alerts: all that are open in memory too, which is a copy of the table. */

type Row = { readonly body: string };

export class AlertsTable {
  readonly #sql: SqlStorage;
  readonly #open = new Map<string, Alert>();
  /** Those that are not resolved, by owner and kind. */
  readonly #active = new Map<string, Alert>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    for (const { body } of sql.exec<Row>("SELECT body FROM alerts INDEXED BY alerts_open WHERE open = 1")) {
      this.#remember(readJson<Alert>(body));
    }
  }

  open(): readonly Alert[] {
    return [...this.#open.values()];
  }

  active(owner: string | null, kind: AlertKind): Alert | null {
    return this.#active.get(keyOf(owner, kind)) ?? null;
  }

  activeCount(): number {
    return this.#active.size;
  }

  byId(id: string): Alert | null {
    const row = this.#sql.exec<Row>("SELECT body FROM alerts WHERE id = ?", id).toArray()[0];
    return row === undefined ? null : readJson<Alert>(row.body);
  }

  /** When the last one of the kind was resolved for the owner; 0: never, as far as is known. */
  lastResolvedAt(owner: string | null, kind: AlertKind): EpochMs {
    return (
      this.#sql
        .exec<{ at: number | null }>(
          "SELECT max(resolved_at) AS at FROM alerts INDEXED BY alerts_by_key WHERE owner = ? AND kind = ?",
          owner ?? "",
          kind,
        )
        .one().at ?? 0
    );
  }

  save(alert: Alert): void {
    this.#sql.exec(
      `INSERT INTO alerts (id, owner, kind, severity, phase, open, resolved_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, phase = excluded.phase, open = excluded.open,
         resolved_at = excluded.resolved_at, body = excluded.body`,
      alert.id,
      alert.owner ?? "",
      alert.kind,
      alert.severity,
      alert.phase,
      isOpen(alert) ? 1 : 0,
      alert.resolved?.at ?? null,
      JSON.stringify(alert),
    );
    this.#remember(alert);
  }

  note(alert: Alert, event: HistoryEntry["event"], by: string, at: EpochMs): void {
    this.#sql.exec(
      "INSERT INTO history (alert_id, at, event, actor, severity) VALUES (?, ?, ?, ?, ?)",
      alert.id,
      at,
      event,
      by,
      alert.severity,
    );
    this.#sql.exec(
      `DELETE FROM history WHERE alert_id = ?1 AND seq <=
         (SELECT seq FROM history WHERE alert_id = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)`,
      alert.id,
      MAX_HISTORY,
    );
  }

  /** Oldest first. */
  history(id: string): readonly HistoryEntry[] {
    return this.#sql
      .exec<{ at: number; event: string; actor: string; severity: string }>(
        "SELECT at, event, actor, severity FROM history WHERE alert_id = ? ORDER BY seq",
        id,
      )
      .toArray()
      .map(({ at, event, actor, severity }) => ({
        at,
        by: actor,
        // Written by `note` from these very types.
        event: event as HistoryEntry["event"],
        severity: severity as HistoryEntry["severity"],
      }));
  }

  /** Those that nobody has reported for their kind's hold time. */
  expired(now: EpochMs): readonly Alert[] {
    return [...this.#active.values()].filter((alert) => expiresAt(alert) <= now);
  }

  nextExpiry(): EpochMs {
    let next = Infinity;
    for (const alert of this.#active.values()) next = Math.min(next, expiresAt(alert));
    return next;
  }

  /** Newest first. */
  list(filter: AlertFilter, { limit, cursor, quiets, now }: ListCall): Result<Page<ShownAlert>, RegistryError> {
    const place = decodeCursor(cursor, filter, ["string"]);
    if (!place.ok) return place;
    const before = String(place.value?.[0] ?? "~");
    const rows = clampLimit(limit);
    const isActive = filter.state !== undefined && filter.state !== "resolved";
    const found = isActive
      ? this.#listActive(filter, before, quiets, now).slice(0, rows + 1)
      : this.#listStored(filter, before, rows + 1);
    return ok(
      toPage(
        found,
        rows,
        (alert) => showAlert(alert, quiets, now),
        (alert) => encodeCursor(filter, [alert.id]),
      ),
    );
  }

  /** Deletes what is past its time, and what there is too much of. */
  sweep(until: EpochMs): void {
    const old = this.#sql
      .exec<{ id: string }>(
        `SELECT id FROM alerts INDEXED BY alerts_by_resolution WHERE resolved_at IS NOT NULL AND (resolved_at <= ?1
           OR resolved_at <= (SELECT resolved_at FROM alerts INDEXED BY alerts_by_resolution
             WHERE resolved_at IS NOT NULL ORDER BY resolved_at DESC LIMIT 1 OFFSET ?2))
         ORDER BY resolved_at LIMIT ?3`,
        until,
        MAX_RESOLVED_ALERTS,
        SWEEP_ROWS,
      )
      .toArray();
    for (const { id } of old) {
      this.#sql.exec("DELETE FROM alerts WHERE id = ?", id);
      this.#sql.exec("DELETE FROM history WHERE alert_id = ?", id);
      this.#open.delete(id);
    }
  }

  #listActive(filter: AlertFilter, before: string, quiets: readonly Quiet[], now: EpochMs): Alert[] {
    return [...this.#active.values()]
      .filter(
        (alert) =>
          alert.id < before &&
          (filter.owner === undefined || alert.owner === filter.owner) &&
          (filter.kind === undefined || alert.kind === filter.kind) &&
          (filter.severity === undefined || alert.severity === filter.severity) &&
          stateOf(alert, quietOf(alert, quiets, now)) === filter.state,
      )
      .toSorted((a, b) => (a.id < b.id ? 1 : -1));
  }

  #listStored(filter: AlertFilter, before: string, rows: number): Alert[] {
    const where = ["id < ?"];
    const bindings: SqlStorageValue[] = [before];
    const also = (column: string, value: string | undefined): void => {
      if (value === undefined) return;
      where.push(`${column} = ?`);
      bindings.push(value);
    };
    also("owner", filter.owner);
    also("kind", filter.kind);
    also("severity", filter.severity);
    also("phase", filter.state);
    return this.#sql
      .exec<Row>(
        `SELECT body FROM alerts NOT INDEXED WHERE ${where.join(" AND ")} ORDER BY id DESC LIMIT ?`,
        ...bindings,
        rows,
      )
      .toArray()
      .map(({ body }) => readJson<Alert>(body));
  }

  #remember(alert: Alert): void {
    if (isOpen(alert)) this.#open.set(alert.id, alert);
    else this.#open.delete(alert.id);
    const key = keyOf(alert.owner, alert.kind);
    if (alert.phase !== "resolved") this.#active.set(key, alert);
    else if (this.#active.get(key)?.id === alert.id) this.#active.delete(key);
  }
}

interface ListCall {
  readonly limit: number;
  readonly cursor: string | null;
  readonly quiets: readonly Quiet[];
  readonly now: EpochMs;
}

function keyOf(owner: string | null, kind: AlertKind): string {
  return `${owner ?? ""}|${kind}`;
}

function stateOf(alert: Alert, quiet: Quiet | null): AlertState {
  return alert.phase !== "resolved" && quiet !== null ? "silenced" : alert.phase;
}

export function showAlert(alert: Alert, quiets: readonly Quiet[], now: EpochMs): ShownAlert {
  const { rest: _rest, seen: _seen, revision: _revision, revisedAt: _revisedAt, ...shown } = alert;
  const quiet = alert.phase === "resolved" ? null : quietOf(alert, quiets, now);
  return {
    ...shown,
    state: stateOf(alert, quiet),
    moreSubjects: countRest(alert),
    quiet: quiet === null ? null : { id: quiet.id, type: quiet.type, endsAt: quiet.endsAt },
  };
}
