import type { Limit } from "../../../src/limits/limit.ts";

/** What crosses from one actor to another is copied, as a remote call does: neither can reach into the other's memory. */
export function copyOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf);
  if (Object.getPrototypeOf(value) !== Object.prototype) return structuredClone(value);
  if (isLimit(value)) return sharedLimit(value);
  const copy: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) copy[name] = copyOf(member);
  return copy;
}

function isLimit(value: object): value is Limit {
  return "window" in value && "kind" in value && "limit" in value && "name" in value;
}

/**
 * Equal limits are one object in all copies. Nobody changes a limit, and the product remembers things by limit object: with
 * millions of copies the garbage collector would be most of what is measured.
 */
function sharedLimit(limit: Limit): Limit {
  const { name, limit: units, window, kind } = limit;
  const text = `${kind} ${units} ${typeof window === "string" ? window : window.seconds} ${name}`;
  const known = LIMITS.get(text);
  if (known !== undefined) return known;
  if (LIMITS.size >= LIMITS_MAX) LIMITS.clear();
  LIMITS.set(text, limit);
  return limit;
}

const LIMITS_MAX = 10_000;
const LIMITS = new Map<string, Limit>();
