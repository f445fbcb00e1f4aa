import { MAX_PRESENTED_KEY_CHARACTERS, MAX_TOKEN_CHARACTERS, MIN_PRESENTED_KEY_CHARACTERS } from "../constants.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import type { Environment } from "./record.ts";

/** The form of a key: `<prefix>_<live|test>_<32 base62 random><6 base62 CRC-32>`, read from the right. */

export const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
export const RANDOM_CHARACTERS = 32;
export const CHECKSUM_CHARACTERS = 6;
const BODY_CHARACTERS = RANDOM_CHARACTERS + CHECKSUM_CHARACTERS;
/** `live` and `test` have the same length, which makes reading from the right a matter of offsets. */
const ENVIRONMENT_CHARACTERS = 4;
const MIN_PREFIX_CHARACTERS = 2;
const MAX_PREFIX_CHARACTERS = 12;

const UNDERSCORE = 0x5f;
const FIRST_VISIBLE = 0x21;
const LAST_VISIBLE = 0x7e;

export interface ParsedKey {
  readonly prefix: string;
  readonly environment: Environment;
  readonly random: string;
  readonly checksum: string;
}

/**
 * `own`: Latchkey's form, checksum right. `foreign`: may be an imported key. `garbage`: cannot be a key, and costs no I/O.
 * `token`: a signed JWT, ours or somebody's; when its header says that it is not ours, it may still be an imported key.
 */
export type KeyClass = "own" | "foreign" | "token" | "garbage";

/** CRC-32 (IEEE 802.3, as in zlib), reflected polynomial. */
const CRC_TABLE = makeCrcTable();

function makeCrcTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) {
      value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    }
    table[byte] = value;
  }
  return table;
}

/** CRC-32 of the first `length` characters, each taken as one byte: the text is ASCII. */
function crc32(text: string, length: number): number {
  let crc = 0xffffffff;
  for (let index = 0; index < length; index += 1) {
    const entry = CRC_TABLE[(crc ^ text.charCodeAt(index)) & 0xff] ?? 0;
    crc = (crc >>> 8) ^ entry;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** CRC-32 of an ASCII text in base62 (`0-9A-Za-z`), left-padded with `0` to 6 characters. */
export function checksum(text: string): string {
  let rest = crc32(text, text.length);
  let digits = "";
  for (let place = 0; place < CHECKSUM_CHARACTERS; place += 1) {
    digits = BASE62.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** Whether the last six characters are the checksum of all before them. Allocates nothing. */
function checksumHolds(presented: string): boolean {
  const start = presented.length - CHECKSUM_CHARACTERS;
  let rest = crc32(presented, start);
  for (let index = presented.length - 1; index >= start; index -= 1) {
    if (presented.charCodeAt(index) !== BASE62.charCodeAt(rest % 62)) return false;
    rest = Math.floor(rest / 62);
  }
  return true;
}

function isBase62(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

function isPrefixCharacter(code: number, first: boolean): boolean {
  return (code >= 0x61 && code <= 0x7a) || (!first && code >= 0x30 && code <= 0x39);
}

/** `^[a-z][a-z0-9]{1,11}$`: a workspace's prefix. No underscore, so that the form has one reading. */
export function isPrefix(text: string): boolean {
  return isPrefixUpTo(text, text.length);
}

function isPrefixUpTo(text: string, end: number): boolean {
  if (end < MIN_PREFIX_CHARACTERS || end > MAX_PREFIX_CHARACTERS) return false;
  for (let index = 0; index < end; index += 1) {
    if (!isPrefixCharacter(text.charCodeAt(index), index === 0)) return false;
  }
  return true;
}

/** Length of the prefix when the text has the exact form, -1 otherwise. The checksum is not looked at. */
function prefixLengthOf(presented: string): number {
  const bodyStart = presented.length - BODY_CHARACTERS;
  const environmentStart = bodyStart - 1 - ENVIRONMENT_CHARACTERS;
  const prefixLength = environmentStart - 1;
  if (!isPrefixUpTo(presented, prefixLength)) return -1;
  if (presented.charCodeAt(prefixLength) !== UNDERSCORE || !hasEnvironmentAt(presented, environmentStart)) return -1;
  for (let index = bodyStart; index < presented.length; index += 1) {
    if (!isBase62(presented.charCodeAt(index))) return -1;
  }
  return prefixLength;
}

function hasEnvironmentAt(text: string, position: number): boolean {
  return text.startsWith("live_", position) || text.startsWith("test_", position);
}

/** Takes a key apart. `malformed`: not the form; `checksum`: the form, with a character changed somewhere. */
export function parseKey(presented: string): Result<ParsedKey, "malformed" | "checksum"> {
  const prefixLength = prefixLengthOf(presented);
  if (prefixLength < 0) return err("malformed");
  if (!checksumHolds(presented)) return err("checksum");
  const bodyStart = presented.length - BODY_CHARACTERS;
  const checksumStart = presented.length - CHECKSUM_CHARACTERS;
  return ok({
    prefix: presented.slice(0, prefixLength),
    environment: presented.startsWith("live", prefixLength + 1) ? "live" : "test",
    random: presented.slice(bodyStart, checksumStart),
    checksum: presented.slice(checksumStart),
  });
}

/** Whether the text starts as only a key of this deployment starts: a configured prefix, then `_live_` or `_test_`. */
export function looksOwn(presented: string, prefixes: ReadonlySet<string>): boolean {
  const end = presented.indexOf("_");
  if (end < MIN_PREFIX_CHARACTERS || end > MAX_PREFIX_CHARACTERS) return false;
  return hasEnvironmentAt(presented, end + 1) && prefixes.has(presented.slice(0, end));
}

/**
 * What a presented credential can be, before any look-up. Warm path: no allocation but the prefix.
 * What starts like a key of ours must be one to the last character; all else of allowed length and
 * visible ASCII may be imported, unless this deployment takes no imported keys.
 */
export function classify(presented: string, prefixes: ReadonlySet<string>, importedKeys: boolean): KeyClass {
  const { length } = presented;
  if (presented.startsWith(JSON_START) && isCompactJws(presented)) return "token";
  if (length < MIN_PRESENTED_KEY_CHARACTERS || length > MAX_PRESENTED_KEY_CHARACTERS) return "garbage";
  if (looksOwn(presented, prefixes)) {
    return prefixLengthOf(presented) > 0 && checksumHolds(presented) ? "own" : "garbage";
  }
  return importedKeys && isVisibleAscii(presented) ? "foreign" : "garbage";
}

/** `{"` in base64url: every JOSE header starts so. */
const JSON_START = "eyJ";

/** RFC 7515 §7.1: three parts with two dots between them. The alphabet is looked at by whoever decodes them. */
function isCompactJws(text: string): boolean {
  if (text.length > MAX_TOKEN_CHARACTERS) return false;
  const first = text.indexOf(".");
  const second = text.indexOf(".", first + 1);
  return first > 0 && second > first + 1 && second < text.length - 1 && !text.includes(".", second + 1);
}

/** Whether it can be an imported key. */
export function mayBeImported(presented: string): boolean {
  return presented.length <= MAX_PRESENTED_KEY_CHARACTERS && isVisibleAscii(presented);
}

function isVisibleAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < FIRST_VISIBLE || code > LAST_VISIBLE) return false;
  }
  return true;
}
