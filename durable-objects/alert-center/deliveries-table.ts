import type { AlertMessage } from "../../src/alerts/message.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { Page, RegistryError } from "../key-registry/api.ts";
import { clampLimit, decodeCursor, encodeCursor, toPage } from "../key-registry/cursor.ts";
import { readJson } from "../key-registry/edge-record.ts";
import type { Delivery, DeliveryFilter, DeliveryState } from "./api.ts";
import { MAX_FINISHED_DELIVERIES, MAX_PENDING_PER_CHANNEL, SEND_CLAIM_MS, SWEEP_ROWS } from "./bounds.ts";

/** The log of deliveries, which is their queue too. */

type Row = {
  readonly seq: number;
  readonly id: string;
  readonly channel: string;
  readonly state: string;
  readonly attempts: number;
  readonly created_at: number;
  readonly next_at: number | null;
  readonly finished_at: number | null;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly replay_of: string | null;
  readonly message: string;
};

export class DeliveriesTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(id: string, message: AlertMessage, now: EpochMs, replayOf: string | null = null): void {
    if (message.action === "resolve") this.#dropSuperseded(message, now);
    this.#sql.exec(
      `INSERT INTO deliveries (id, channel, incident, action, state, created_at, next_at, replay_of, message)
       VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, ?)`,
      id,
      message.channel,
      message.incident,
      message.action,
      now,
      now,
      replayOf,
      JSON.stringify(message),
    );
    this.#sql.exec(
      `UPDATE deliveries SET state = 'dropped', finished_at = ?1, next_at = NULL, last_error = 'too many were waiting'
       WHERE seq IN (SELECT seq FROM deliveries INDEXED BY deliveries_pending WHERE state = 'pending' AND channel = ?2
         ORDER BY seq DESC LIMIT -1 OFFSET ?3)`,
      now,
      message.channel,
      MAX_PENDING_PER_CHANNEL,
    );
  }

  byId(id: string): Delivery | null {
    const row = this.#sql.exec<Row>("SELECT * FROM deliveries WHERE id = ?", id).toArray()[0];
    return row === undefined ? null : toDelivery(row);
  }

  /** Channels with something to send, now or later. */
  waiting(): readonly string[] {
    return this.#sql
      .exec<{ channel: string }>(
        "SELECT DISTINCT channel FROM deliveries INDEXED BY deliveries_pending WHERE state = 'pending'",
      )
      .toArray()
      .map(({ channel }) => channel);
  }

  /** The oldest of a channel that is due, and takes it: nobody tries it again before the claim ends. */
  claim(channel: string, now: EpochMs): Delivery | null {
    const row = this.#sql
      .exec<Row>(
        `SELECT * FROM deliveries INDEXED BY deliveries_pending
         WHERE state = 'pending' AND channel = ? AND next_at <= ? ORDER BY seq LIMIT 1`,
        channel,
        now,
      )
      .toArray()[0];
    if (row === undefined) return null;
    const [attempts, nextAt] = [row.attempts + 1, now + SEND_CLAIM_MS];
    this.#sql.exec("UPDATE deliveries SET attempts = ?, next_at = ? WHERE seq = ?", attempts, nextAt, row.seq);
    return toDelivery({ ...row, attempts, next_at: nextAt });
  }

  finish(id: string, state: DeliveryState, now: EpochMs, last: LastAttempt): void {
    this.#sql.exec(
      "UPDATE deliveries SET state = ?, finished_at = ?, next_at = NULL, last_status = ?, last_error = ? WHERE id = ?",
      state,
      now,
      last.status,
      last.error,
      id,
    );
  }

  postpone(id: string, nextAt: EpochMs, last: LastAttempt): void {
    this.#sql.exec(
      "UPDATE deliveries SET next_at = ?, last_status = ?, last_error = ? WHERE id = ? AND state = 'pending'",
      nextAt,
      last.status,
      last.error,
      id,
    );
  }

  /** The channel works again: what waits need not wait any longer. */
  hasten(channel: string, now: EpochMs): void {
    this.#sql.exec(
      "UPDATE deliveries SET next_at = ?1 WHERE state = 'pending' AND channel = ?2 AND next_at > ?1",
      now,
      channel,
    );
  }

  /** When a channel's next message is due; `Infinity`: none is. */
  nextAt(channel: string): EpochMs {
    return (
      this.#sql
        .exec<{ at: number | null }>(
          "SELECT min(next_at) AS at FROM deliveries INDEXED BY deliveries_pending WHERE state = 'pending' AND channel = ?",
          channel,
        )
        .one().at ?? Infinity
    );
  }

  /** Newest first. */
  list(filter: DeliveryFilter, limit: number, cursor: string | null): Result<Page<Delivery>, RegistryError> {
    const place = decodeCursor(cursor, filter, ["number"]);
    if (!place.ok) return place;
    const rows = clampLimit(limit);
    const found = this.#sql
      .exec<Row>(
        `SELECT * FROM deliveries WHERE seq < ?1 AND (?2 IS NULL OR channel = ?2) AND (?3 IS NULL OR state = ?3)
         ORDER BY seq DESC LIMIT ?4`,
        Number(place.value?.[0] ?? Number.MAX_SAFE_INTEGER),
        filter.channel ?? null,
        filter.state ?? null,
        rows + 1,
      )
      .toArray();
    return ok(toPage(found, rows, toDelivery, ({ seq }) => encodeCursor(filter, [seq])));
  }

  sweep(until: EpochMs): void {
    this.#sql.exec(
      `DELETE FROM deliveries WHERE seq IN (
         SELECT seq FROM deliveries INDEXED BY deliveries_finished WHERE finished_at IS NOT NULL AND (finished_at <= ?1
           OR finished_at <= (SELECT finished_at FROM deliveries INDEXED BY deliveries_finished
             WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1 OFFSET ?2))
         ORDER BY finished_at LIMIT ?3)`,
      until,
      MAX_FINISHED_DELIVERIES,
      SWEEP_ROWS,
    );
  }

  /** What would open an incident after its end. One that was tried may have arrived: its end is sent all the same. */
  #dropSuperseded({ channel, incident }: AlertMessage, now: EpochMs): void {
    this.#sql.exec(
      `UPDATE deliveries SET state = 'dropped', finished_at = ?, next_at = NULL, last_error = 'it was over before it was sent'
       WHERE state = 'pending' AND channel = ? AND incident = ? AND action <> 'resolve'`,
      now,
      channel,
      incident,
    );
  }
}

export interface LastAttempt {
  readonly status: number | null;
  readonly error: string | null;
}

function toDelivery(row: Row): Delivery {
  return {
    id: row.id,
    channel: row.channel,
    // Written by this class from this very type.
    state: row.state as DeliveryState,
    attempts: row.attempts,
    createdAt: row.created_at,
    nextAt: row.next_at,
    finishedAt: row.finished_at,
    lastStatus: row.last_status,
    lastError: row.last_error,
    replayOf: row.replay_of,
    message: readJson<AlertMessage>(row.message),
  };
}
