import type { WatchPolicy } from "../../src/detection/policy.ts";

/**
 * Names in `state`. `hour_mark`: up to where hours are judged, epoch seconds. `hour_cursor`: the last key of the hour in hand that
 * was judged. `policy`: as the consumer told it last, JSON.
 */
type StateName = "hour_mark" | "hour_cursor" | "policy";

const NO_POLICY: WatchPolicy = { rules: [], plans: {} };

export function beginState(sql: SqlStorage, hour: number): void {
  sql.exec(
    `INSERT OR IGNORE INTO state (name, value) VALUES ('hour_mark', ?), ('hour_cursor', ''), ('policy', ?)`,
    String(hour),
    JSON.stringify(NO_POLICY),
  );
}

export function readText(sql: SqlStorage, name: StateName): string {
  return sql.exec<{ value: string }>(`SELECT value FROM state WHERE name = ?`, name).one().value;
}

export function writeText(sql: SqlStorage, name: StateName, value: string): void {
  sql.exec(`UPDATE state SET value = ? WHERE name = ?`, value, name);
}

export function readPolicy(sql: SqlStorage): WatchPolicy {
  // Written by the watch itself, so its shape is known.
  return JSON.parse(readText(sql, "policy")) as WatchPolicy;
}
