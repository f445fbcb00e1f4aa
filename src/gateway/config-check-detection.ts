import { FINDING_KINDS } from "../detection/finding.ts";
import type { DetectionRule } from "../detection/policy.ts";
import { faultsInThresholds } from "../detection/threshold-faults.ts";
import type { Findings } from "./config-findings.ts";

const RULE_KEYS: readonly (keyof DetectionRule)[] = ["owner", "tag", "plan", "environment", "thresholds", "off"];
const MAX_RULES = 100;
const MAX_NAME_CHARACTERS = 128;

/** Looks through `detection`. */
export function checkDetection(findings: Findings, value: unknown, planNames: ReadonlySet<string>): void {
  const rules = findings.list("detection", value);
  if (rules.length > MAX_RULES) findings.add("detection", `has more than ${MAX_RULES} rules`);
  for (const [index, rule] of rules.entries()) checkRule(findings, `detection[${index}]`, rule, planNames);
}

function checkRule(findings: Findings, at: string, value: unknown, planNames: ReadonlySet<string>): void {
  const rule = findings.object(at, value, RULE_KEYS);
  if (rule === null) return;
  for (const name of ["owner", "tag", "plan"] as const) {
    const wanted = rule[name];
    if (wanted === undefined) continue;
    if (typeof wanted !== "string" || wanted === "" || wanted.length > MAX_NAME_CHARACTERS) {
      findings.add(`${at}.${name}`, `must be a text of 1 to ${MAX_NAME_CHARACTERS} characters`);
    } else if (name === "plan" && !planNames.has(wanted)) {
      findings.add(`${at}.plan`, "is no plan of this configuration");
    }
  }
  findings.optionalOneOf(`${at}.environment`, rule["environment"], ["live", "test"]);
  if (rule["thresholds"] !== undefined) {
    for (const { path, detail } of faultsInThresholds(rule["thresholds"])) {
      findings.add([`${at}.thresholds`, ...path].join("."), detail);
    }
  }
  if (rule["off"] === undefined) return;
  for (const [index, kind] of findings.list(`${at}.off`, rule["off"]).entries()) {
    if (!FINDING_KINDS.some((known) => known === kind)) {
      findings.add(`${at}.off[${index}]`, `must be one of ${FINDING_KINDS.join(", ")}`);
    }
  }
}
