import { createHash } from "node:crypto";
import { DEFAULT_LIST_LIMIT, MAX_CURSOR_CHARACTERS, MAX_LIST_LIMIT } from "../../src/constants.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { Page, RegistryError } from "./api.ts";
import { canonicalJson } from "../../src/canonical-json.ts";

/**
 * Where a list goes on: the place of the last row shown, in the list's own order. Opaque to clients.
 * It names the filter it was made for: with another filter it is refused instead of skipping rows in silence.
 */
export type Place = readonly (string | number)[];

const FILTER_TAG_CHARACTERS = 8;

export function encodeCursor(filter: unknown, place: Place): string {
  return Buffer.from(JSON.stringify([tagOf(filter), ...place])).toString("base64url");
}

/**
 * The place in a cursor, `null` for the list's start.
 *
 * @param types what the list's places are made of, member by member.
 */
export function decodeCursor(
  cursor: string | null,
  filter: unknown,
  types: readonly ("string" | "number")[],
): Result<Place | null, RegistryError> {
  if (cursor === null) return ok(null);
  const members = parse(cursor);
  const place = members.slice(1).filter((member) => typeof member === "string" || typeof member === "number");
  const isWhole = place.length === types.length && place.every((member, index) => typeof member === types[index]);
  if (!isWhole || members.length !== types.length + 1) {
    return err({ code: "request_invalid", detail: "This cursor did not come from Latchkey.", pointer: "/cursor" });
  }
  if (members[0] !== tagOf(filter)) {
    return err({
      code: "request_invalid",
      detail: "This cursor belongs to a list with other filters.",
      pointer: "/cursor",
    });
  }
  return ok(place);
}

function parse(cursor: string): unknown[] {
  if (cursor.length > MAX_CURSOR_CHARACTERS) return [];
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

function tagOf(filter: unknown): string {
  return createHash("sha256").update(canonicalJson(filter)).digest("base64url").slice(0, FILTER_TAG_CHARACTERS);
}

/** Rows of a page, 1 to `MAX_LIST_LIMIT`. */
export function clampLimit(limit: number): number {
  if (!Number.isInteger(limit)) return DEFAULT_LIST_LIMIT;
  return Math.min(Math.max(limit, 1), MAX_LIST_LIMIT);
}

/** A page from one row more than asked for: the extra row says whether there is a next page. */
export function toPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  show: (row: Row) => T,
  cursorOf: (row: Row) => string,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    data: shown.map(show),
    nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null,
  };
}
