import type { Severity } from "./kinds.ts";

/**
 * Multi-window, multi-burn-rate alerts, as in chapter 5 of Google's Site Reliability Workbook: how many times faster than allowed an
 * error budget is spent, over a long window, so that a blip says nothing, and over a short one, so that it ends when the trouble does.
 * Pure.
 */

/** Of one minute, or one hour. */
export interface BurnCount {
  /** When it began, epoch seconds. */
  readonly start: number;
  readonly good: number;
  readonly bad: number;
}

export interface BurnRule {
  readonly severity: Severity;
  readonly longSeconds: number;
  readonly shortSeconds: number;
  /** Times the rate at which the budget would last for just its period of 30 days. */
  readonly factor: number;
}

export interface BurnInput {
  /** 0.999: one in a thousand may be bad. */
  readonly objective: number;
  /** Any order; minutes and hours must not overlap. What a window cuts through counts where it began. */
  readonly counts: readonly BurnCount[];
  /** Epoch seconds. */
  readonly now: number;
  /** Fewer bad ones than this in the long window are never an alert: with little traffic one failure is a large share. */
  readonly minBad?: number;
}

export interface BurnFinding {
  readonly severity: Severity;
  readonly longSeconds: number;
  readonly shortSeconds: number;
  readonly factor: number;
  /** Burn rates of both windows. */
  readonly long: number;
  readonly short: number;
  readonly good: number;
  readonly bad: number;
}

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

/** Table 5-8 of the workbook: 2 % of a month's budget in an hour, 5 % in six; 10 % in one day, and in three. */
export const BURN_RULES: readonly BurnRule[] = [
  { severity: "page", longSeconds: HOUR, shortSeconds: 5 * MINUTE, factor: 14.4 },
  { severity: "page", longSeconds: 6 * HOUR, shortSeconds: 30 * MINUTE, factor: 6 },
  { severity: "ticket", longSeconds: DAY, shortSeconds: 2 * HOUR, factor: 3 },
  { severity: "ticket", longSeconds: 3 * DAY, shortSeconds: 6 * HOUR, factor: 1 },
];

/** Failures that could still be one client's bad minute. */
export const DEFAULT_MIN_BAD = 10;

/** The first rule that both of its windows break, the worst first; `null`: the budget is well. */
export function findBurn(input: BurnInput, rules: readonly BurnRule[] = BURN_RULES): BurnFinding | null {
  for (const rule of rules) {
    const long = burnOver(input, rule.longSeconds);
    if (long.bad < (input.minBad ?? DEFAULT_MIN_BAD) || long.rate < rule.factor) continue;
    const short = burnOver(input, rule.shortSeconds);
    if (short.rate < rule.factor) continue;
    return { ...rule, long: long.rate, short: short.rate, good: long.good, bad: long.bad };
  }
  return null;
}

interface Burn {
  readonly rate: number;
  readonly good: number;
  readonly bad: number;
}

/** 0 without traffic: nobody was failed. */
export function burnOver({ counts, now, objective }: BurnInput, seconds: number): Burn {
  let good = 0;
  let bad = 0;
  for (const count of counts) {
    if (count.start <= now - seconds || count.start > now) continue;
    good += count.good;
    bad += count.bad;
  }
  const total = good + bad;
  return { rate: total === 0 ? 0 : bad / total / (1 - objective), good, bad };
}
