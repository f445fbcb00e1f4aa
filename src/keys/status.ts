import type { EdgeRecord, EpochMs } from "./record.ts";

/** What a client is told about a key. `rotating`: being replaced, still valid until `notAfter`. */
export type KeyStatus = "active" | "rotating" | "disabled" | "expired" | "revoked";

type Deadlines = Pick<EdgeRecord, "state" | "expiresAt" | "notAfter">;

/** The status at `now`. A deadline counts from its own instant on: at `expiresAt` the key is expired. */
export function statusAt(record: Deadlines, now: EpochMs): KeyStatus {
  if (record.state === "revoked") return "revoked";
  if (endOf(record) <= now) return "expired";
  if (record.state === "disabled") return "disabled";
  return record.notAfter === null ? "active" : "rotating";
}

/** When the key stops by itself: the earlier of its expiry and the end of its overlap; `Infinity` for never. */
export function endOf(record: Pick<EdgeRecord, "expiresAt" | "notAfter">): EpochMs {
  return Math.min(record.expiresAt ?? Infinity, record.notAfter ?? Infinity);
}
