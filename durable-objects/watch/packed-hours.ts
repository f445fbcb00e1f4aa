import type { KeyHour, PlaceCount } from "../../src/detection/rows.ts";

/** Hours of keys as they are stored: JSON without names. */

/** In the order of `packHour`. */
type PackedHour = readonly [
  hour: number,
  requests: number,
  cost: number,
  limited: number,
  failures: number,
  errors: number,
  testContext: number,
  flatNearLimit: 0 | 1,
  places: readonly (readonly [PlaceCount["country"], PlaceCount["asn"], PlaceCount["network"], number])[],
];

function packHour(row: KeyHour): PackedHour {
  const places = row.places.map(({ country, asn, network, requests }) => [country, asn, network, requests] as const);
  const { hour, requests, cost, limited, failures, errors, testContext } = row;
  return [hour, requests, cost, limited, failures, errors, testContext, row.flatNearLimit ? 1 : 0, places];
}

function unpackHour(packed: PackedHour): KeyHour {
  const [hour, requests, cost, limited, failures, errors, testContext, flat, places] = packed;
  return {
    hour,
    requests,
    cost,
    limited,
    failures,
    errors,
    testContext,
    flatNearLimit: flat === 1,
    places: places.map(([country, asn, network, count]) => ({ country, asn, network, requests: count })),
  };
}

export function packHours(rows: readonly KeyHour[]): string {
  return JSON.stringify(rows.map(packHour));
}

export function unpackHours(text: string): KeyHour[] {
  // Written by `packHours`, so its shape is known.
  return (JSON.parse(text) as readonly PackedHour[]).map(unpackHour);
}

/** An hour of many keys, for the dry run. */
export function packKeyHours(rows: readonly (readonly [keyId: string, row: KeyHour])[]): string {
  return JSON.stringify(rows.map(([keyId, row]) => [keyId, packHour(row)] as const));
}

export function unpackKeyHours(text: string): readonly (readonly [keyId: string, row: KeyHour])[] {
  // Written by `packKeyHours`, so its shape is known.
  const packed = JSON.parse(text) as readonly (readonly [string, PackedHour])[];
  return packed.map(([keyId, row]) => [keyId, unpackHour(row)] as const);
}
