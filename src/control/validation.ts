import type { z } from "@hono/zod-openapi";
import { MAX_REPORTED_ERRORS } from "../constants.ts";
import type { FieldError } from "./problem.ts";

/** From what zod found to what a caller reads. No value is ever repeated, and no member name that could be a key in the wrong place. */

type Issue = z.core.$ZodIssue;

/** Longer than any member of the API, shorter than any key that Latchkey makes. */
const PRINTABLE_MEMBER = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

const IDENTITY = new Set(["id", "lineageId", "workspace", "owner", "environment", "kind"]);

export interface FaultPlace {
  readonly in?: "query" | "header";
  /** Pointer to what was parsed, where that is a part of the body. */
  readonly prefix?: string;
}

/** @param input what was parsed: where an issue points at nothing in it, something is missing. */
export function toFieldErrors(issues: readonly Issue[], input: unknown, place: FaultPlace = {}): readonly FieldError[] {
  const byPointer = new Map<string, FieldError>();
  for (const issue of issues) {
    for (const error of describe(issue, input, place.prefix ?? "")) {
      if (byPointer.size >= MAX_REPORTED_ERRORS) return [...byPointer.values()];
      // The first thing that is wrong with a member is enough to put it right.
      if (!byPointer.has(error.pointer))
        byPointer.set(error.pointer, place.in === undefined ? error : { ...error, in: place.in });
    }
  }
  return [...byPointer.values()];
}

/** RFC 6901: `~` is `~0`, `/` is `~1`. */
export function toPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function describe(issue: Issue, input: unknown, prefix: string): readonly FieldError[] {
  // The members of `metadata` are the caller's own, so a path into them is not ours to repeat.
  const base = prefix + toPointer(issue.path.slice(0, issue.path[0] === "metadata" ? 1 : undefined));
  if (issue.code === "unrecognized_keys") return issue.keys.map((member) => describeUnknown(base, member));
  return [{ pointer: base, detail: isMissing(input, issue.path) ? "Is required." : sentence(issue) }];
}

function describeUnknown(base: string, member: string): FieldError {
  if (!PRINTABLE_MEMBER.test(member)) return { pointer: base, detail: "Has a member that is not known here." };
  const detail = IDENTITY.has(member) ? "Cannot be set here." : "Is not known here.";
  return { pointer: base + toPointer([member]), detail };
}

function isMissing(input: unknown, path: readonly PropertyKey[]): boolean {
  let value = input;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return false;
    value = Object.hasOwn(value, part) ? Reflect.get(value, part) : undefined;
  }
  return value === undefined;
}

function sentence(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return `Must be ${article(issue.expected)}.`;
    case "too_big":
      return `Must be at most ${issue.maximum}${unitOf(issue.origin)}.`;
    case "too_small":
      return Number(issue.minimum) === 1 && issue.origin === "string"
        ? "Must not be empty."
        : `Must be at least ${issue.minimum}${unitOf(issue.origin)}.`;
    case "invalid_value":
      return `Must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}.`;
    case "invalid_union":
      return "Has none of the allowed forms.";
    default:
      return issue.message;
  }
}

function unitOf(origin: string): string {
  if (origin === "string") return " characters long";
  return origin === "array" ? " entries long" : "";
}

function article(expected: string): string {
  if (expected === "int") return "a whole number";
  if (expected === "record" || expected === "object") return "an object";
  return expected === "array" ? "an array" : `a ${expected}`;
}
