import { MAX_LIMIT_NAME_CHARACTERS, MAX_LIMIT_UNITS, MAX_LIMITS, MAX_WINDOW_SECONDS } from "../constants.ts";
import type { Findings } from "./config-findings.ts";

/** A limit's name stands in header fields and in `violatedPolicies`. */
const LIMIT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const CALENDAR_WINDOWS: readonly unknown[] = ["minute", "hour", "day", "month"];

/** Looks through a list of limits as written in the configuration; gives the names that it found. */
export function checkLimits(findings: Findings, place: string, value: unknown): ReadonlySet<string> {
  const names = new Set<string>();
  const limits = findings.list(place, value);
  if (limits.length > MAX_LIMITS) findings.add(place, `has more than ${MAX_LIMITS} limits`);
  for (const [index, limit] of limits.entries()) {
    const at = `${place}[${index}]`;
    const fields = findings.object(at, limit, ["name", "limit", "window", "kind"]);
    if (fields === null) continue;
    const { name } = fields;
    if (typeof name !== "string" || name.length > MAX_LIMIT_NAME_CHARACTERS || !LIMIT_NAME.test(name)) {
      findings.add(`${at}.name`, "must be letters, digits, . _ -, the first a letter or digit");
    } else if (names.has(name)) {
      findings.add(`${at}.name`, `${name} is the name of another limit in this list`);
    } else {
      names.add(name);
    }
    findings.integer(`${at}.limit`, fields["limit"], 0, MAX_LIMIT_UNITS);
    findings.optionalOneOf(`${at}.kind`, fields["kind"] ?? null, ["rate", "quota"]);
    checkWindow(findings, `${at}.window`, fields["window"]);
  }
  return names;
}

function checkWindow(findings: Findings, place: string, window: unknown): void {
  if (CALENDAR_WINDOWS.includes(window)) return;
  if (typeof window !== "object" || window === null) {
    findings.add(place, "must be minute, hour, day, month or { seconds }");
    return;
  }
  const fields = findings.object(place, window, ["seconds"]);
  findings.integer(`${place}.seconds`, fields?.["seconds"], 1, MAX_WINDOW_SECONDS);
}
