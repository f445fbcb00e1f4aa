import type { KeyHistory } from "./key-history.ts";
import { HISTORY_HOURS, emptyHistory } from "./key-history.ts";
import type { KnownPlaces } from "./known-places.ts";
import { MOST_PLACES, PLACE_LEVELS, noPlaces } from "./known-places.ts";

/**
 * What a Durable Object stores of a key: its history and its places, as one value of at most `MAX_STATE_BYTES`. Little-endian; the first
 * byte says which form it is.
 */

const FORM = 1;
const HEADER_BYTES = 4;
/** The nine numbers of a history, the three of the places. */
const NUMBERS = 12;
const HOUR_BYTES = 2 + 2 + 1 + 1;
const FLAT_BYTES = HISTORY_HOURS / 8;
const STAY_BYTES = 12;
const PLACES_AT = HEADER_BYTES + NUMBERS * 4 + HISTORY_HOURS * HOUR_BYTES + FLAT_BYTES;

export const MAX_STATE_BYTES =
  PLACES_AT + PLACE_LEVELS.length + STAY_BYTES * (MOST_PLACES.country + MOST_PLACES.asn + MOST_PLACES.network);

export function encodeState(history: KeyHistory, places: KnownPlaces): Uint8Array {
  const stays = PLACE_LEVELS.reduce((sum, level) => sum + places[level].size, 0);
  const bytes = new Uint8Array(PLACES_AT + PLACE_LEVELS.length + STAY_BYTES * stays);
  const view = new DataView(bytes.buffer);
  bytes[0] = FORM;
  let at = HEADER_BYTES;
  for (const number of [...numbersOf(history), ...PLACE_LEVELS.map((level) => places.forgot[level])]) {
    view.setInt32(at, number, true);
    at += 4;
  }
  for (let hour = 0; hour < HISTORY_HOURS; hour++, at += HOUR_BYTES) {
    view.setUint16(at, history.requests[hour] ?? 0, true);
    view.setUint16(at + 2, history.cost[hour] ?? 0, true);
    view.setUint8(at + 4, history.failures[hour] ?? 0);
    view.setUint8(at + 5, history.errors[hour] ?? 0);
    const flatAt = PLACES_AT - FLAT_BYTES + (hour >> 3);
    bytes[flatAt] = (bytes[flatAt] ?? 0) | ((history.flat[hour] ?? 0) << (hour & 7));
  }
  at = PLACES_AT;
  for (const level of PLACE_LEVELS) {
    bytes[at++] = places[level].size;
    // In order of the hash: the same state is the same bytes.
    for (const [hash, { first, last }] of [...places[level]].sort(([a], [b]) => a - b)) {
      view.setUint32(at, hash, true);
      view.setInt32(at + 4, first, true);
      view.setInt32(at + 8, last, true);
      at += STAY_BYTES;
    }
  }
  return bytes;
}

/** `null` for what is not a state of this form: the key is then learned anew. */
export function decodeState(bytes: Uint8Array): { readonly history: KeyHistory; readonly places: KnownPlaces } | null {
  if (bytes.length < PLACES_AT + PLACE_LEVELS.length || bytes[0] !== FORM) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const numbers = Array.from({ length: NUMBERS }, (_none, index) => view.getInt32(HEADER_BYTES + index * 4, true));
  const history = { ...emptyHistory(), ...historyNumbers(numbers) };
  let at = HEADER_BYTES + NUMBERS * 4;
  for (let hour = 0; hour < HISTORY_HOURS; hour++, at += HOUR_BYTES) {
    history.requests[hour] = view.getUint16(at, true);
    history.cost[hour] = view.getUint16(at + 2, true);
    history.failures[hour] = view.getUint8(at + 4);
    history.errors[hour] = view.getUint8(at + 5);
    history.flat[hour] = ((bytes[PLACES_AT - FLAT_BYTES + (hour >> 3)] ?? 0) >> (hour & 7)) & 1;
  }
  const places = noPlaces();
  at = PLACES_AT;
  for (const [index, level] of PLACE_LEVELS.entries()) {
    places.forgot[level] = numbers[NUMBERS - PLACE_LEVELS.length + index] ?? -1;
    let left = bytes[at++] ?? 0;
    if (at + left * STAY_BYTES > bytes.length) return null;
    for (; left > 0; left--, at += STAY_BYTES) {
      const stay = { first: view.getInt32(at + 4, true), last: view.getInt32(at + 8, true) };
      places[level].set(view.getUint32(at, true), stay);
    }
  }
  return { history, places };
}

const MOST = 2 ** 31 - 1;

function numbersOf(of: KeyHistory): readonly number[] {
  return [
    of.since,
    of.through,
    of.lastUsed,
    of.wokeAt,
    of.silence,
    of.longestSilence,
    Math.min(MOST, of.largest),
    Math.min(MOST, of.largestBefore),
    0,
  ];
}

function historyNumbers(numbers: readonly number[]) {
  const [since = -1, through = -1, lastUsed = -1, wokeAt = -1, silence = 0, longestSilence = 0] = numbers;
  return {
    since,
    through,
    lastUsed,
    wokeAt,
    silence,
    longestSilence,
    largest: numbers[6] ?? 0,
    largestBefore: numbers[7] ?? 0,
  };
}
