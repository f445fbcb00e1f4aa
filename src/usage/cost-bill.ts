import { BILLED_UNITS, PLAN_USD_PER_MONTH, PRICE_SHEET } from "./price-sheet.ts";
import type { BilledUnit, Units } from "./price-sheet.ts";

/** From units to dollars. Pure. */

/** Dollars by unit, without what the plan includes: what one more costs. */
export function marginalUsd(units: Units): Readonly<Record<BilledUnit, number>> {
  return mapUnits((unit) => ((units[unit] ?? 0) * PRICE_SHEET[unit].usdPerMillion) / 1e6);
}

/** Dollars for these units, without what the plan includes. */
export function marginalTotalUsd(units: Units): number {
  return sumOf(marginalUsd(units));
}

/** A month's bill, by unit: what is included is not charged; the plan itself is. */
export function monthlyBill(units: Units): {
  readonly byUnit: Readonly<Record<BilledUnit, number>>;
  readonly totalUsd: number;
} {
  const byUnit = mapUnits((unit) => {
    const { usdPerMillion, included } = PRICE_SHEET[unit];
    return (Math.max(0, (units[unit] ?? 0) - included) * usdPerMillion) / 1e6;
  });
  return { byUnit, totalUsd: PLAN_USD_PER_MONTH + sumOf(byUnit) };
}

export function addUnits(...parts: readonly Units[]): Units {
  return mapUnits((unit) => parts.reduce((sum, part) => sum + (part[unit] ?? 0), 0));
}

export function scaleUnits(units: Units, by: number): Units {
  return mapUnits((unit) => (units[unit] ?? 0) * by);
}

function mapUnits(of: (unit: BilledUnit) => number): Readonly<Record<BilledUnit, number>> {
  // Every unit is there, so the record is whole.
  return Object.fromEntries(BILLED_UNITS.map((unit) => [unit, of(unit)])) as Record<BilledUnit, number>;
}

function sumOf(byUnit: Readonly<Record<BilledUnit, number>>): number {
  return BILLED_UNITS.reduce((sum, unit) => sum + byUnit[unit], 0);
}
