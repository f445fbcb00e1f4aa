import { looksOwn } from "../keys/format.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { looksMinted } from "../tokens/own-form.ts";

/** Where a request carries its key. Nothing here tells whether the key is any good. */

export interface Credential {
  readonly presentedKey: string;
  readonly via: "bearer" | "dpop" | "header" | "basic" | "query";
}

export interface CredentialError {
  readonly code: "credential_conflict" | "credential_in_query" | "request_invalid";
  /** Never contains what was presented. */
  readonly detail: string;
}

export interface CredentialRules {
  /** The query parameter in which the route takes a key too; `null`: none. */
  readonly queryParameter: string | null;
  /** Prefixes of this deployment's keys: how a key is told from other data in a query. */
  readonly prefixes: ReadonlySet<string>;
}

/** The part of a `Request` that is read. */
export interface CredentialSource {
  /** `Headers`, or a map of fields by their names in lower case. */
  readonly headers: { get(name: string): string | null | undefined };
  readonly url: string;
}

type Found = Result<Credential | null, CredentialError>;

/** Field lines of one name arrive joined by this. A key has no space in it, so the split is exact. */
const LINE_SEPARATOR = ", ";

const CONFLICT: CredentialError = {
  code: "credential_conflict",
  detail: "The request carries two different credentials. Send one key, once.",
};
const IN_QUERY: CredentialError = {
  code: "credential_in_query",
  detail:
    "The query string contains an API key. Send it in the Authorization header, and replace this key: URLs are logged.",
};
const BAD_BASIC: CredentialError = {
  code: "request_invalid",
  detail: "HTTP Basic must be base64 of the key as user name, a colon, and an empty password.",
};
const BARE_KEY: CredentialError = {
  code: "request_invalid",
  detail:
    "The Authorization header contains an API key or token without a scheme that is understood. Write `Authorization: Bearer <key>`.",
};

/**
 * The one credential of a request, or `null`. The same key in several places is fine. `Authorization` with a scheme that
 * is not ours (Digest, say) is the origin's business, unless one of our keys or tokens stands in it.
 */
export function readCredential(source: CredentialSource, rules: CredentialRules): Found {
  let found: Credential | null = null;
  const authorization = source.headers.get("authorization") ?? null;
  if (authorization !== null) {
    const read = readAuthorization(authorization, rules.prefixes);
    if (!read.ok) return read;
    found = read.value;
  }
  const header = source.headers.get("x-api-key") ?? null;
  if (header !== null) {
    for (const line of header.split(LINE_SEPARATOR)) {
      const merged = merge(found, line, "header");
      if (!merged.ok) return merged;
      found = merged.value;
    }
  }
  const queryStart = source.url.indexOf("?");
  return queryStart < 0 ? ok(found) : readQuery(source.url, queryStart, rules, found);
}

/** An empty field is nobody's credential: clients send one when a variable of theirs is not set. */
function merge(found: Credential | null, presentedKey: string, via: Credential["via"]): Found {
  if (presentedKey === "") return ok(found);
  if (found === null) return ok({ presentedKey, via });
  // Beside a key, somebody else's DPoP token is the origin's. One of ours is a second credential, and goes no further.
  if (found.via === "dpop" && via !== "dpop" && !holdsToken(found.presentedKey)) return ok({ presentedKey, via });
  return found.presentedKey === presentedKey ? ok(found) : err(CONFLICT);
}

function readAuthorization(value: string, prefixes: ReadonlySet<string>): Found {
  if (!value.includes(LINE_SEPARATOR)) return readAuthorizationLine(value, prefixes);
  let found: Credential | null = null;
  for (const line of value.split(LINE_SEPARATOR)) {
    const read = readAuthorizationLine(line, prefixes);
    if (!read.ok) return read;
    if (read.value === null) continue;
    const merged = merge(found, read.value.presentedKey, read.value.via);
    if (!merged.ok) return merged;
    found = merged.value;
  }
  return ok(found);
}

/** `auth-scheme 1*SP token68` (RFC 9110 §11.4), the scheme in any case. */
function readAuthorizationLine(line: string, prefixes: ReadonlySet<string>): Found {
  const trimmed = line.trim();
  const schemeEnd = trimmed.indexOf(" ");
  const scheme = (schemeEnd < 0 ? trimmed : trimmed.slice(0, schemeEnd)).toLowerCase();
  const token = schemeEnd < 0 ? "" : trimmed.slice(schemeEnd).trim();
  if (scheme === "bearer") return merge(null, token, "bearer");
  // RFC 9449 §7.1.
  if (scheme === "dpop" && !looksOwn(token, prefixes)) return merge(null, token, "dpop");
  if (scheme === "basic") return readBasic(token, prefixes);
  return holdsKey(trimmed, prefixes) || holdsToken(trimmed) ? err(BARE_KEY) : ok(null);
}

/** What separates the words of a field, whatever its scheme. Neither a key nor a token has one of these in it. */
const BETWEEN_WORDS = /[\s,="]+/;

function holdsKey(text: string, prefixes: ReadonlySet<string>): boolean {
  return text.split(BETWEEN_WORDS).some((word) => looksOwn(word, prefixes));
}

/** One of our tokens. */
function holdsToken(text: string): boolean {
  return text.split(BETWEEN_WORDS).some(looksMinted);
}

/** RFC 7617. With a password it is a log-in at the origin and none of ours, unless a key or token of ours stands in it. */
function readBasic(token: string, prefixes: ReadonlySet<string>): Found {
  if (token === "") return ok(null);
  const pair = decodeBase64(token);
  const colon = pair === null ? -1 : pair.indexOf(":");
  if (pair === null || colon < 0) return err(BAD_BASIC);
  const user = pair.slice(0, colon);
  const password = pair.slice(colon + 1);
  if (password === "") return merge(null, user, "basic");
  const isOurs = (text: string): boolean => looksOwn(text, prefixes) || looksMinted(text);
  return isOurs(user) || isOurs(password) ? err(BAD_BASIC) : ok(null);
}

function decodeBase64(token: string): string | null {
  try {
    return atob(token);
  } catch {
    return null;
  }
}

/**
 * A key in the query is refused wherever the route does not ask for it there, beside another credential too: it has
 * already been written to logs that are not ours. Only what looks like one of our own keys is taken for one; a foreign
 * value under any name is the origin's data.
 */
function readQuery(url: string, queryStart: number, rules: CredentialRules, found: Credential | null): Found {
  const query = url.slice(queryStart + 1);
  if (rules.queryParameter === null && !mayHoldKey(query)) return ok(found);
  let merged = found;
  for (const [name, value] of new URLSearchParams(withoutFragment(query))) {
    if (name === rules.queryParameter) {
      const result = merge(merged, value, "query");
      if (!result.ok) return result;
      merged = result.value;
    } else if (looksOwn(value, rules.prefixes) || looksOwn(name, rules.prefixes)) {
      return err(IN_QUERY);
    }
  }
  return ok(merged);
}

/** Cheap and never wrongly false: a key in plain text has its environment in it, and any other spelling has a `%`. */
function mayHoldKey(query: string): boolean {
  return query.includes("_live_") || query.includes("_test_") || query.includes("%");
}

function withoutFragment(query: string): string {
  const hash = query.indexOf("#");
  return hash < 0 ? query : query.slice(0, hash);
}
