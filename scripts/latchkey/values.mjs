import { UsageError } from "./errors.mjs";

/** What flags hold, as people write it. The API checks the rest: its answer names the place of each fault. */

/** @type {Readonly<Record<string, number>>} */
const UNIT_SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 };
const CALENDAR = new Set(["minute", "hour", "day", "month"]);

/**
 * `90`, `90s`, `15m`, `12h`, `7d` → seconds.
 *
 * @param {string} text
 * @param {string} flag
 * @returns {number}
 */
export function toSeconds(text, flag) {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text);
  if (match === null) throw new UsageError(`--${flag} must be a duration such as 90s, 15m, 12h or 7d.`);
  return Number(match[1]) * (UNIT_SECONDS[match[2] || "s"] ?? 1);
}

/**
 * A duration from now, a date, or an RFC 3339 time → RFC 3339; `never` → null.
 *
 * @param {string} text
 * @param {string} flag
 * @param {number} now
 * @returns {string | null}
 */
export function toDeadline(text, flag, now) {
  if (text === "never") return null;
  if (/^\d{1,9}[smhd]$/.test(text)) return new Date(now + toSeconds(text, flag) * 1_000).toISOString();
  return toTime(text, flag);
}

/**
 * A date or an RFC 3339 time → RFC 3339.
 *
 * @param {string} text
 * @param {string} flag
 * @returns {string}
 */
export function toTime(text, flag) {
  const isTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/.test(text);
  const time = isTime ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new UsageError(`--${flag} must be a time such as 2027-01-31 or 2027-01-31T12:00:00Z.`);
  return new Date(time).toISOString();
}

/**
 * A moment that lies behind: a duration ago, a date or a time.
 *
 * @param {string} text
 * @param {string} flag
 * @param {number} now
 * @returns {string}
 */
export function toPast(text, flag, now) {
  if (/^\d{1,9}[smhd]$/.test(text)) return new Date(now - toSeconds(text, flag) * 1_000).toISOString();
  return toTime(text, flag);
}

/**
 * `burst=100/minute`, `monthly=10000/month:quota`, `spike=5/10s` → a limit. Months and days are quotas unless said otherwise.
 *
 * @param {string} text
 * @returns {{ name: string, limit: number, window: string | { seconds: number }, kind: string }}
 */
export function toLimit(text) {
  const match = /^([^=]+)=(\d+)\/([a-z0-9]+)(?::(rate|quota))?$/.exec(text);
  if (match === null)
    throw new UsageError("--limit must look like burst=100/minute, monthly=10000/month:quota or spike=5/10s.");
  const [, name = "", units = "", length = "", kind] = match;
  const window = CALENDAR.has(length) ? length : { seconds: toSeconds(length, "limit") };
  return {
    name,
    limit: Number(units),
    window,
    kind: kind ?? (length === "month" || length === "day" ? "quota" : "rate"),
  };
}

/**
 * @param {{ name: string, limit: number, window: string | { seconds: number }, kind: string }} limit
 * @returns {string}
 */
export function showLimit({ name, limit, window, kind }) {
  return `${name}=${limit}/${typeof window === "string" ? window : `${window.seconds}s`}:${kind}`;
}

/**
 * @param {string} text
 * @param {string} flag
 * @returns {Record<string, unknown>}
 */
export function toObject(text, flag) {
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below, for both ways of being wrong.
  }
  throw new UsageError(`--${flag} must be a JSON object.`);
}
