import type { PricingConfig } from "../config.ts";
import { exactText, type NanoAmount, payableText, priceOf } from "./price.ts";
import type { UsageAnswer } from "./query.ts";

/** What an owner used in a month, key by key, and what it comes to. Pure. */
export interface Statement {
  readonly owner: string;
  /** `2026-11`, as months go in `timeZone`. */
  readonly month: string;
  readonly timeZone: string;
  readonly from: string;
  readonly to: string;
  /** `open`: the month goes on. `settling`: its last hours are not compared with the meters yet. `final`: nothing more is to come. */
  readonly state: "open" | "settling" | "final";
  readonly currency: string | null;
  /** In order of units, the largest first. */
  readonly lines: readonly StatementLine[];
  readonly totals: StatementFigures;
  readonly reconciliation: StatementReconciliation;
}

interface StatementFigures {
  readonly requests: number;
  readonly allowed: number;
  readonly refused: number;
  readonly units: number;
  /** What the units come to, to the last decimal. `null`: nothing is priced. */
  readonly amount: string | null;
  /** Rounded to the currency's coin. */
  readonly payable: string | null;
}

interface StatementLine extends Omit<StatementFigures, "payable"> {
  readonly key: string | null;
  readonly name: string | null;
  readonly hint: string | null;
  readonly environment: string | null;
  readonly plan: string | null;
  readonly perUnit: string | null;
}

/** How the ledger's figures compare with what the meters counted. */
export interface StatementReconciliation {
  /** Every hour before this is compared. */
  readonly comparedUntil: string;
  /** Sum over hours and lineages of |meter - ledger|, in units. */
  readonly differenceUnits: number;
  /** Lineages whose meter did not answer, by hours. */
  readonly unchecked: number;
}

/** What is told of a key beside its usage. */
export interface StatementKey {
  readonly name: string;
  readonly hint: string;
  readonly plan: string | null;
}

export interface StatementInput {
  readonly owner: string;
  readonly month: string;
  readonly timeZone: string;
  /** Epoch ms, of the whole month. */
  readonly from: number;
  readonly to: number;
  readonly now: number;
  /** The owner's usage in one period, by `key` and `environment`. */
  readonly usage: Pick<UsageAnswer, "series">;
  /** By id. A key that is not there has no name and no plan. */
  readonly keys: ReadonlyMap<string, StatementKey>;
  readonly pricing: PricingConfig | null;
  readonly reconciliation: Omit<StatementReconciliation, "comparedUntil"> & { readonly comparedUntil: number };
}

export function makeStatement(input: StatementInput): Statement {
  const { owner, month, timeZone, from, to, now, pricing, reconciliation } = input;
  const { comparedUntil, ...compared } = reconciliation;
  const priced = input.usage.series.map((row) => priceLine(row, input));
  let amount: NanoAmount = 0n;
  const totals = { requests: 0, allowed: 0, refused: 0, units: 0 };
  for (const { line, comesTo } of priced) {
    amount += comesTo;
    totals.requests += line.requests;
    totals.allowed += line.allowed;
    totals.refused += line.refused;
    totals.units += line.units;
  }
  return {
    owner,
    month,
    timeZone,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    state: now < to ? "open" : comparedUntil < to ? "settling" : "final",
    currency: pricing?.currency ?? null,
    lines: priced
      .map(({ line }) => line)
      .toSorted((a, b) => b.units - a.units || ((a.key ?? "") < (b.key ?? "") ? -1 : 1)),
    totals: {
      ...totals,
      amount: pricing === null ? null : exactText(amount),
      payable: pricing === null ? null : payableText(amount, pricing.currency),
    },
    reconciliation: { comparedUntil: new Date(comparedUntil).toISOString(), ...compared },
  };
}

function priceLine(
  row: UsageAnswer["series"][number],
  { keys, pricing }: StatementInput,
): { readonly line: StatementLine; readonly comesTo: NanoAmount } {
  const key = textOf(row.key);
  const environment = textOf(row.environment);
  const known = key === null ? undefined : keys.get(key);
  const plan = known?.plan ?? null;
  const perUnit = pricing === null ? null : perUnitOf(pricing, environment, plan);
  const comesTo = perUnit === null ? 0n : priceOf(perUnit, row.cost);
  return {
    line: {
      key,
      name: known?.name ?? null,
      hint: known?.hint ?? null,
      environment,
      plan,
      requests: row.requests,
      allowed: row.allowed,
      refused: row.refused,
      units: row.cost,
      perUnit,
      amount: perUnit === null ? null : exactText(comesTo),
    },
    comesTo,
  };
}

/** Test keys are free. */
function perUnitOf(pricing: PricingConfig, environment: string | null, plan: string | null): string {
  if (environment === "test") return "0";
  return (plan === null ? undefined : pricing.perUnitByPlan?.[plan]) ?? pricing.perUnit;
}

function textOf(value: string | number | null | undefined): string | null {
  return typeof value === "string" ? value : null;
}
