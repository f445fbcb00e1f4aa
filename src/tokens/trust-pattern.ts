import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";

/**
 * Patterns of trust rules. Text stands for itself; `*` for one or more characters other than `:` and `/`, which part the
 * segments of every subject that we know of; `**`, at the end alone, for one or more characters of any kind. Whoever can choose
 * one segment (a branch's name) can so never reach into the next.
 */

const MAX_PATTERN_CHARACTERS = 512;
export interface Pattern {
  readonly text: string;
  readonly matches: (value: string) => boolean;
}

/** Reads a pattern; the error says what is wrong with it. */
export function parseTrustPattern(text: string): Result<Pattern, string> {
  const fault = findFault(text);
  if (fault !== null) return err(fault);
  if (!text.includes("*")) return ok({ text, matches: (value) => value === text });
  const expression = new RegExp(toExpression(text), "s");
  return ok({ text, matches: (value) => expression.test(value) });
}

/** The text before the first wildcard: what every value that matches begins with. */
export function literalStartOf(text: string): string {
  const star = text.indexOf("*");
  return star < 0 ? text : text.slice(0, star);
}

function findFault(text: string): string | null {
  if (text === "" || text.length > MAX_PATTERN_CHARACTERS) return `must have 1 to ${MAX_PATTERN_CHARACTERS} characters`;
  if (/[\p{Cc}]/u.test(text) || !text.isWellFormed()) return "must not contain control characters";
  if (/^[*:/]*$/.test(text)) return "has nothing but wildcards and separators: everyone would match";
  const start = text.replace(/(^|[:/])\*\*$/, "$1");
  if (start.includes("**"))
    return "has ** elsewhere than at its end, after : or /: there it would reach further than it looks";
  // What keeps a match linear in the length of the value, whatever a workload calls itself.
  if (text.split(/[:/]/).some((segment) => segment.replace(/\*\*$/, "").split("*").length > 2)) {
    return "has two wildcards between separators";
  }
  return null;
}

/** Anchored at both ends. A `*` cannot cross a separator, and there is one between two, so that matching never backtracks far. */
function toExpression(text: string): string {
  const parts = text.split(/(\*+)/).map((part) => {
    if (part === "*") return "[^:/]+";
    return part === "**" ? ".+" : part.replace(/[\\^$.|?*+()[\]{}/-]/g, String.raw`\$&`);
  });
  return `^${parts.join("")}$`;
}
