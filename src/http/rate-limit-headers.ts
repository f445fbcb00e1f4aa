import type { LimitView } from "../limits/limit.ts";

/** draft-ietf-httpapi-ratelimit-headers-10: two structured-field lists (RFC 9651), one item a limit. */
export interface RateLimitHeaders {
  /** `RateLimit-Policy`: `"burst";q=100;w=60` */
  readonly policy: string;
  /** `RateLimit`: `"burst";r=57;t=12` */
  readonly state: string;
}

export const RATE_LIMIT_POLICY = "RateLimit-Policy";
export const RATE_LIMIT = "RateLimit";

/** `null` without limits: an empty list is not sent (RFC 9651 §3.1). */
export function rateLimitHeaders(limits: readonly LimitView[]): RateLimitHeaders | null {
  if (limits.length === 0) return null;
  let policy = "";
  let state = "";
  for (const limit of limits) {
    const name = sfString(limit.name);
    const separator = policy === "" ? "" : ", ";
    policy += `${separator}${name};q=${count(limit.limit)};w=${Math.max(1, seconds(limit.windowSeconds))}`;
    state += `${separator}${name};r=${count(limit.remaining)};t=${seconds(limit.resetSeconds)}`;
  }
  return { policy, state };
}

/** A non-negative integer of at most 15 digits (RFC 9651 §3.3.1), never more than there is. */
function count(value: number): number {
  return Math.min(999_999_999_999_999, Math.max(0, Math.floor(value)));
}

/** Whole seconds, rounded up: a client that comes back then is never early. */
function seconds(value: number): number {
  return count(Math.ceil(value));
}

/** What every name of a limit is made of, nearly always: a sixth of the price of escaping it. */
const PLAIN_NAME = /^[\w.:-]*$/;

/** RFC 9651 §4.1.6. Names are visible ASCII by grammar; what is not cannot stand in a header, and becomes `?`. */
function sfString(text: string): string {
  if (PLAIN_NAME.test(text)) return `"${text}"`;
  return `"${text.replace(/[^ -~]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}
