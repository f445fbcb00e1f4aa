/**
 * How a path is read for matching. The path that is forwarded stays as it was sent; what is decided here is which route's
 * rules it must obey. Origins do not agree on what a path means, so the rule is: *every* reading that some origin may have
 * must lead to the same route, or the request is refused. Nothing is guessed.
 *
 * 1. The strict reading (`canonicalPath`): percent-encoded characters that are not structure are decoded, hex is upper
 *    case. `%2F`, `%5C` and `%25` stay as they are, so `a%2Fb` is one segment. One slash at the end does not count.
 * 2. The others (`furtherReadings`): whatever a sequence of these steps makes of the path as it was sent, in any order:
 *    the strict reading; `%25` decoded once; `%2F` and `%5C` decoded; backslash as slash; `;parameters` cut off each
 *    segment; cut at `?` or `#`; empty segments dropped; `.` and `..` resolved. The caller folds case as well.
 *
 * Refused in any case: a NUL, a path that climbs above the root in some reading, and more readings than anyone needs.
 * Not covered, because no gateway can know it: what an origin makes of suffixes (`/x.json`), of spaces or dots at the end
 * of a name, of Unicode look-alikes. A closed upstream does not depend on any of it: prefer one where routes guard something.
 */

/** A legitimate path with an encoded slash has a handful; each costs a few walks over the path. */
const MAX_READINGS = 64;
/** Of all readings together: keeps the longest path that is taken (16 KB) from costing more than a few milliseconds. */
const MAX_READ_CHARACTERS = 98_304;

/** Lower case and without anything that could be read in two ways. */
export const PATH_PLAIN = 0;
/** With upper-case letters, otherwise plain. */
export const PATH_CASED = 1;
/** Worth reading in every way. */
export const PATH_AMBIGUOUS = 2;

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;

/** One pass without allocation: nearly every request's path is plain, and needs nothing more. */
export function surveyPath(path: string): typeof PATH_PLAIN | typeof PATH_CASED | typeof PATH_AMBIGUOUS {
  let cased = false;
  let afterSlash = false;
  for (let index = 0; index < path.length; index += 1) {
    const code = path.charCodeAt(index);
    if (code === SLASH || code === DOT ? afterSlash : isOdd(code)) return PATH_AMBIGUOUS;
    if (code >= 0x41 && code <= 0x5a) cased = true;
    afterSlash = code === SLASH;
  }
  return cased ? PATH_CASED : PATH_PLAIN;
}

/** `%`, backslash, `;`, `?`, `#`, and whatever is not visible ASCII. */
function isOdd(code: number): boolean {
  switch (code) {
    case PERCENT:
    case BACKSLASH:
    case 0x3b:
    case 0x3f:
    case 0x23:
      return true;
    default:
      return code < 0x21 || code > 0x7e;
  }
}

const UTF8 = new TextEncoder();

/** The strict reading, all visible ASCII; `null` where a NUL stands in the path. A `%` without two hex digits counts as `%25`. */
export function canonicalPath(path: string): string | null {
  let read = "";
  for (let index = 0; index < path.length; index += 1) {
    const code = path.charCodeAt(index);
    const byte = code === PERCENT ? hexByteAt(path, index + 1) : -1;
    if (byte >= 0) {
      if (byte === 0) return null;
      read += canonicalByte(byte, true);
      index += 2;
    } else if (code <= 0x7f) {
      if (code === 0) return null;
      read += code === PERCENT ? "%25" : canonicalByte(code, false);
    } else {
      const character = String.fromCodePoint(path.codePointAt(index) ?? code);
      for (const part of UTF8.encode(character)) read += canonicalByte(part, true);
      index += character.length - 1;
    }
  }
  return read;
}

function hexByteAt(text: string, index: number): number {
  const high = hexDigit(text.charCodeAt(index));
  const low = hexDigit(text.charCodeAt(index + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** The value of a hex digit; -1 for anything else, `NaN` past the end included. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Visible characters stand for themselves, but an encoded slash, backslash or percent sign is not the character. */
function canonicalByte(byte: number, encoded: boolean): string {
  const structural = byte === SLASH || byte === BACKSLASH || byte === PERCENT;
  if (byte > 0x20 && byte < 0x7f && !(encoded && structural)) return String.fromCharCode(byte);
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

type Step = (path: string) => string | null;

const STEPS: readonly Step[] = [
  canonicalPath,
  (path) => path.replaceAll("%25", "%"),
  (path) => path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\"),
  (path) => path.replaceAll("\\", "/"),
  (path) => path.replace(/;[^/]*/g, ""),
  (path) => path.replace(/[?#].*$/, ""),
  (path) => path.replace(/\/{2,}/g, "/"),
  resolveDots,
];

/** RFC 3986 §5.2.4; `null` when it climbs above the root, where that RFC would quietly stay. */
function resolveDots(path: string): string | null {
  if (!path.includes("/.")) return path;
  const segments = path.split("/");
  const last = segments.at(-1);
  const kept: string[] = [];
  for (const segment of segments.slice(1)) {
    if (segment === "..") {
      if (kept.pop() === undefined) return null;
    } else if (segment !== ".") {
      kept.push(segment);
    }
  }
  return `/${kept.join("/")}${(last === "." || last === "..") && kept.length > 0 ? "/" : ""}`;
}

/** The canonical form of every reading of a path as it was sent; `null` when one is refused or there are too many. */
export function furtherReadings(sent: string): ReadonlySet<string> | null {
  const readings = new Set([sent]);
  const canonical = new Set<string>();
  let characters = 0;
  for (const path of readings) {
    characters += path.length;
    if (characters > MAX_READ_CHARACTERS) return null;
    for (const step of STEPS) {
      const reading = step(path);
      if (reading === null) return null;
      if (step === canonicalPath) canonical.add(reading);
      readings.add(reading);
      if (readings.size > MAX_READINGS) return null;
    }
  }
  return canonical;
}

/** Segments without the leading slash and without one slash at the end: `/a/b/` → `a`, `b`; `/` → none. */
export function segmentsOf(path: string): readonly string[] {
  const end = path.length > 1 && path.endsWith("/") ? path.length - 1 : path.length;
  return end <= 1 ? [] : path.slice(1, end).split("/");
}
