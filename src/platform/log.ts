import type { UsageEvent } from "../usage/event.ts";

/**
 * Structured log lines: one JSON object a line. A key is named by its id and hint, never by itself;
 * whatever text comes from elsewhere goes through `redact`.
 */

/** Values that a log line may carry. */
export type LogContext = Readonly<Record<string, string | number | boolean | null | undefined>>;

const MAX_TEXT_CHARACTERS = 2_000;
const HIDDEN = "[redacted]";

/** What follows a scheme name is a credential, whatever its form. */
const CREDENTIAL_OF_SCHEME = /\b(bearer|basic|dpop)[\s:=]+[^\s,;"'<>)]+/gi;
/** `x-api-key: …`, `"api_key": "…"`, `?token=…`: imported keys have no form of their own, so that their place must give them away. */
const CREDENTIAL_BY_NAME =
  /(\b(?:x-)?(?:api[-_]?keys?|access[-_]?token|auth[-_]?token|subject[-_]?token|actor[-_]?token|client[-_]?secret|token|secret|password)["']?\s*[:=]\s*["']?)[^\s&,;"'<>)]+/gi;
/** `<prefix>_<live|test>_…`, with a checksum or cut short, percent-encoded underscores included. */
const KEY_LIKE = /[A-Za-z][A-Za-z0-9]{0,31}(?:_|%5f)(?:live|test)(?:_|%5f)[0-9A-Za-z]{12,}/gi;
/** A JWT, or what is left of one: `{"` begins with these characters in base64url. */
const JWT_LIKE = /\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g;
const ROOT_TOKEN_LIKE = /\blkroot_[0-9A-Za-z_-]{8,}/g;

/** The text without anything that looks like a credential, cut to a length that a log line can bear. */
export function redact(text: string): string {
  // The word at the cut goes as a whole: half a key would no longer look like one.
  const room = text.length > MAX_TEXT_CHARACTERS ? text.slice(0, MAX_TEXT_CHARACTERS).replace(/[\w%-]+$/, "…") : text;
  return room
    .replace(KEY_LIKE, HIDDEN)
    .replace(ROOT_TOKEN_LIKE, HIDDEN)
    .replace(JWT_LIKE, HIDDEN)
    .replace(CREDENTIAL_OF_SCHEME, `$1 ${HIDDEN}`)
    .replace(CREDENTIAL_BY_NAME, `$1${HIDDEN}`);
}

/** An internal failure: always logged. */
export function logError(error: unknown, context: LogContext = {}): void {
  console.error(line("error", { ...context, ...describeError(error) }));
}

/** Something that an operator should know and nobody's fault. */
export function logWarning(message: string, context: LogContext = {}): void {
  console.warn(line("warn", { message, ...context }));
}

/** Message and stack of whatever was thrown, redacted. */
export function describeError(error: unknown): { readonly error: string; readonly stack?: string } {
  if (!(error instanceof Error)) return { error: redact(String(error)) };
  const text = redact(`${error.name}: ${error.message}`);
  return error.stack === undefined ? { error: text } : { error: text, stack: redact(error.stack) };
}

export interface RequestLogOptions {
  /** Display hint of the key, `lk_live_AbCd…wxyz`; `null` when the key is not known. */
  readonly hint: string | null;
  /** Share of requests that get a line, 0 to 1. */
  readonly sampleRate: number;
}

/**
 * One line for a request: for a share of them, and always where Latchkey itself failed (5xx of its own).
 * An origin's 5xx are sampled like the rest: a broken origin must not drown the log.
 */
export function logRequest(event: UsageEvent, options: RequestLogOptions): void {
  const failed = event.status >= 500 && event.code !== "allowed";
  if (!failed && !isSampled(event.requestId, options.sampleRate)) return;
  const text = line(failed ? "error" : "info", {
    message: "request",
    requestId: event.requestId,
    workspace: event.workspace,
    keyId: event.keyId,
    hint: options.hint,
    lineageId: event.lineageId,
    tokenId: event.tokenId,
    mintedTokenId: event.mintedTokenId,
    owner: event.owner,
    method: event.method,
    route: event.route,
    upstream: event.upstream,
    status: event.status,
    code: event.code,
    cost: event.cost,
    latencyMs: event.latencyMs,
    authMs: event.authMs,
    upstreamMs: event.upstreamMs,
    country: event.country,
    colo: event.colo,
    degraded: event.degraded,
  });
  if (failed) console.error(text);
  else console.log(text);
}

const CROCKFORD_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";
const SAMPLE_CHARACTERS = 5;
const SAMPLES = 32 ** SAMPLE_CHARACTERS;

/**
 * Whether a request is in the sample. Decided by the random end of its id, so that every part that handles the request
 * decides alike, and no random number is drawn.
 */
export function isSampled(requestId: string, rate: number): boolean {
  if (rate <= 0) return false;
  if (rate >= 1) return true;
  let drawn = 0;
  for (let at = Math.max(0, requestId.length - SAMPLE_CHARACTERS); at < requestId.length; at += 1) {
    const digit = CROCKFORD_DIGITS.indexOf(requestId.charAt(at));
    // Not an id of ours.
    if (digit < 0) return false;
    drawn = drawn * 32 + digit;
  }
  return drawn < rate * SAMPLES;
}

function line(level: "info" | "warn" | "error", fields: LogContext): string {
  const safe: Record<string, string | number | boolean | null> = { level };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    safe[name] = typeof value === "string" ? redact(value) : value;
  }
  return JSON.stringify(safe);
}
