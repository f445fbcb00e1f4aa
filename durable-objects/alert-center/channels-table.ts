import type { EpochMs } from "../../src/keys/record.ts";
import { CHANNEL_FAILING_MS, CHANNEL_PAUSE_MAX_MS } from "./bounds.ts";

/** Channels that do not work, and since when. One without a row works, or was never tried. */

export interface Trouble {
  readonly failingSince: EpochMs;
  /** Nothing is sent before. */
  readonly pauseUntil: EpochMs;
  readonly failures: number;
}

const FIRST_PAUSE_MS = 5_000;
/** Often enough that the alert does not end by itself. */
const HEALTH_REPORT_EVERY_MS = 1_200_000;

export class ChannelsTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  trouble(channel: string): Trouble | null {
    const row = this.#sql
      .exec<{ failing_since: number; pause_until: number; failures: number }>(
        "SELECT failing_since, pause_until, failures FROM channels WHERE name = ?",
        channel,
      )
      .toArray()[0];
    if (row === undefined) return null;
    return { failingSince: row.failing_since, pauseUntil: row.pause_until, failures: row.failures };
  }

  /** The pause doubles from 5 s to 5 minutes, so that what recovers is found soon. */
  failed(channel: string, now: EpochMs): Trouble {
    const before = this.trouble(channel);
    const failures = (before?.failures ?? 0) + 1;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10), CHANNEL_PAUSE_MAX_MS);
    const trouble = { failingSince: before?.failingSince ?? now, pauseUntil: now + pause, failures };
    this.#sql.exec(
      "INSERT OR REPLACE INTO channels (name, failing_since, pause_until, failures) VALUES (?, ?, ?, ?)",
      channel,
      trouble.failingSince,
      trouble.pauseUntil,
      trouble.failures,
    );
    return trouble;
  }

  works(channel: string): void {
    this.#sql.exec("DELETE FROM channels WHERE name = ?", channel);
  }
}

/** When it is to be said that the channel fails, for the first time or again. */
export function nextHealthReport({ failingSince }: Trouble, now: EpochMs): EpochMs {
  return Math.max(failingSince + CHANNEL_FAILING_MS, now + HEALTH_REPORT_EVERY_MS);
}

export function isFailing({ failingSince }: Trouble, now: EpochMs): boolean {
  return now - failingSince >= CHANNEL_FAILING_MS;
}
