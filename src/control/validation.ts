import type { z } from "@hono/zod-openapi";
import { MAX_REPORTED_ERRORS } from "../constants.ts";
import type { FieldError } from "./problem.ts";

/** From what zod found to what a caller reads. No value is ever repeated, and no member name that could be a key in the wrong place. */

type Issue = z.core.$ZodIssue;

/** Longer than any member of the API, shorter than any key that Latchkey makes. */
const PRINTABLE_MEMBER = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

const IDENTITY = new Set(["id", "lineageId", "workspace", "owner", "environment", "kind"]);

export function toFieldErrors(issues: readonly Issue[], where?: "query" | "header", prefix = ""): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const issue of issues) {
    for (const error of describe(issue, prefix)) {
      if (errors.length >= MAX_REPORTED_ERRORS) return errors;
      errors.push(where === undefined ? error : { ...error, in: where });
    }
  }
  return errors;
}

/** RFC 6901: `~` is `~0`, `/` is `~1`. */
export function toPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function describe(issue: Issue, prefix: string): readonly FieldError[] {
  // The members of `metadata` are the caller's own, so a path into them is not ours to repeat.
  const base = prefix + toPointer(issue.path.slice(0, issue.path[0] === "metadata" ? 1 : undefined));
  if (issue.code === "unrecognized_keys") return issue.keys.map((member) => describeUnknown(base, member));
  return [{ pointer: base, detail: sentence(issue) }];
}

function describeUnknown(base: string, member: string): FieldError {
  if (!PRINTABLE_MEMBER.test(member)) return { pointer: base, detail: "Has a member that is not known here." };
  const detail = IDENTITY.has(member) ? "Cannot be set here." : "Is not known here.";
  return { pointer: base + toPointer([member]), detail };
}

function sentence(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.input === undefined && issue.message.endsWith("received undefined")
        ? "Is required."
        : `Must be ${article(issue.expected)}.`;
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
