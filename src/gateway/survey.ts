import { MAX_HEADER_BYTES } from "../constants.ts";
import { connectionNamed, isHopByHop } from "../http/headers.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";

/**
 * All of a request's fields, and what follows from them: their size, and which of them must not reach the origin. A second
 * copy of the key is only found by reading everything; so it is done once, first of all, and whoever wants a field reads from
 * here: asking the runtime for one costs 1,500 instructions, a look into a map 50 or so.
 */

/** Every field's value by its name in lower case; lines of one name are joined by `, `. */
export type Fields = ReadonlyMap<string, string>;

export interface Survey {
  /** Names, lower case, of the fields that stay here. */
  readonly withheld: readonly string[];
  readonly fields: Fields;
}

export interface SurveyError {
  readonly code: "uri_too_long" | "headers_too_large";
  readonly detail: string;
}

/** A field line on the wire also has `: ` and CRLF. */
const LINE_OVERHEAD_BYTES = 4;

/**
 * What else stays here, with why:
 * - what says who the client is or how it came: those that Latchkey sets itself stand in its place, the rest would be lies;
 * - what makes some origins act on another path or method than the one that was authorised;
 * - `Expect`: answered by the server in front, and origins must not see it twice (RFC 9110 §10.1.1).
 */
const WITHHELD: ReadonlySet<string> = new Set([
  "client-ip",
  "expect",
  "fastly-client-ip",
  "forwarded",
  "http2-settings",
  "traceparent",
  "true-client-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-forwarded-for",
  "x-original-host",
  "x-original-method",
  "x-original-uri",
  "x-original-url",
  "x-override-url",
  "x-real-ip",
  "x-request-id",
  "x-rewrite-url",
]);

export function readFields(headers: Headers): Fields {
  const fields = new Map<string, string>();
  headers.forEach((value, name) => fields.set(name, value));
  return fields;
}

/** `presentedKey` is the credential that was found, or `null`: no field that contains it goes further, whatever its name. */
export function surveyFields(fields: Fields, presentedKey: string | null): Result<Survey, SurveyError> {
  const withheld: string[] = [];
  let bytes = 0;
  for (const [name, value] of fields) {
    bytes += name.length + value.length + LINE_OVERHEAD_BYTES;
    if (staysHere(name) || (presentedKey !== null && holds(value, presentedKey))) withheld.push(name);
  }
  if (bytes > MAX_HEADER_BYTES) {
    return err({
      code: "headers_too_large",
      detail: `The header fields are larger than ${MAX_HEADER_BYTES} bytes in all.`,
    });
  }
  for (const name of connectionNamed(fields.get("connection") ?? null)) if (fields.has(name)) withheld.push(name);
  const authorization = fields.get("authorization");
  if (presentedKey !== null && authorization !== undefined && !withheld.includes("authorization")) {
    if (basicHolds(authorization, presentedKey)) withheld.push("authorization");
  }
  return ok({ withheld, fields });
}

/** Most values are shorter than a key, and need no search. */
function holds(value: string, presentedKey: string): boolean {
  return value.length >= presentedKey.length && value.includes(presentedKey);
}

/** Verdicts on names that were met: clients send the same few again and again. Bounded, since a client may send any. */
const verdicts = new Map<string, boolean>();
const MAX_VERDICTS = 500;
const MAX_VERDICT_CHARACTERS = 64;

function staysHere(name: string): boolean {
  const known = verdicts.get(name);
  if (known !== undefined) return known;
  const verdict = isWithheld(name);
  if (verdicts.size < MAX_VERDICTS && name.length <= MAX_VERDICT_CHARACTERS) verdicts.set(name, verdict);
  return verdict;
}

/** CGI and its descendants read `X_Latchkey_Owner` and `X-Latchkey-Owner` as one name; so both are looked at alike. */
function isWithheld(name: string): boolean {
  if (!name.includes("_")) return WITHHELD.has(name) || isHopByHop(name) || isIdentity(name);
  const folded = name.replaceAll("_", "-");
  // What the platform sets, it sets with hyphens: `CF_Connecting_IP` is somebody's who wants to be taken for another.
  return WITHHELD.has(folded) || isIdentity(folded) || folded.startsWith("cf-");
}

/** Names that Latchkey alone may use towards the origin. */
function isIdentity(name: string): boolean {
  return name.startsWith("x-latchkey-") || name.startsWith("x-forwarded-");
}

/** Base64 hides the key from a search for its text: HTTP Basic with the key as user name. */
function basicHolds(authorization: string, presentedKey: string): boolean {
  return authorization.split(",").some((line) => {
    const [scheme, token] = line.trim().split(/ +/, 2);
    if (scheme?.toLowerCase() !== "basic" || token === undefined) return false;
    try {
      return atob(token).includes(presentedKey);
    } catch {
      return false;
    }
  });
}
