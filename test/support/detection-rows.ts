import type { KeyHour, PlaceCount } from "../../src/detection/rows.ts";

/** Rows for the tests of detection. */

/** A Monday, 00:00 UTC, in hours since the epoch. */
export const FIRST_HOUR = Date.UTC(2026, 5, 1) / 3_600_000;

export function place(changes: Partial<PlaceCount> = {}): PlaceCount {
  return { country: "DE", asn: 64_512, network: "10.0.0.0/24", requests: 1, ...changes };
}

/** @param hour since the epoch. */
export function keyHour(hour: number, changes: Partial<KeyHour> = {}): KeyHour {
  const requests = changes.requests ?? 0;
  return {
    hour: hour * 3_600,
    requests,
    cost: requests,
    limited: 0,
    failures: 0,
    errors: 0,
    testContext: 0,
    places: [],
    flatNearLimit: false,
    ...changes,
  };
}
