import { isPrice } from "../usage/price.ts";
import { RETENTION_BOUNDS } from "../usage/retention.ts";
import type { Findings } from "./config-findings.ts";

/** What is kept of usage, and what it costs whom. */

const CURRENCY = /^[A-Z]{3}$/;

export function checkUsage(findings: Findings, value: unknown): void {
  const fields = findings.object("usage", value, ["retention"]);
  if (fields?.["retention"] === undefined) return;
  const names = ["minuteHours", "hourDays", "dayMonths"] as const;
  const retention = findings.object("usage.retention", fields["retention"], names);
  if (retention === null) return;
  for (const name of names) {
    const [least, most] = RETENTION_BOUNDS[name];
    findings.optionalInteger(`usage.retention.${name}`, retention[name], least, most);
  }
}

export function checkPricing(findings: Findings, value: unknown, planNames: ReadonlySet<string>): void {
  const pricing = findings.object("pricing", value, ["currency", "perUnit", "perUnitByPlan"]);
  if (pricing === null) return;
  const { currency, perUnit, perUnitByPlan } = pricing;
  if (typeof currency !== "string" || !CURRENCY.test(currency)) {
    findings.add("pricing.currency", "must be three capital letters, such as EUR");
  }
  checkPrice(findings, "pricing.perUnit", perUnit);
  for (const [plan, price] of findings.entries("pricing.perUnitByPlan", perUnitByPlan ?? {})) {
    if (!planNames.has(plan)) findings.add(`pricing.perUnitByPlan.${plan}`, "must be one of the names under plans");
    checkPrice(findings, `pricing.perUnitByPlan.${plan}`, price);
  }
}

function checkPrice(findings: Findings, place: string, value: unknown): void {
  if (isPrice(value)) return;
  findings.add(place, 'must be a decimal in quotes with at most six digits and nine decimals, such as "0.0025"');
}
