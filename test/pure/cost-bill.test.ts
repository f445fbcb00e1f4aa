import { describe, expect, it } from "vitest";
import { addUnits, marginalTotalUsd, marginalUsd, monthlyBill, scaleUnits } from "../../src/usage/cost-bill.ts";
import type { Units } from "../../src/usage/price-sheet.ts";
import { BILLED_UNITS, PRICE_SHEET } from "../../src/usage/price-sheet.ts";

/** Worked by hand from the public price list; the naive gateway of the platform's cost table, without Analytics Engine. */
const NAIVE: Units = {
  requests: 1,
  cpuMs: 2,
  kvReads: 1,
  objectRequests: 1,
  objectGbSeconds: 0.000256,
  rowsWritten: 1,
  queueOperations: 3,
  logEvents: 2,
};

describe("a bill", () => {
  it("is the sum over units of what a million of each costs", () => {
    const perMillion = marginalUsd(scaleUnits(NAIVE, 1e6));
    expect(perMillion.requests).toBeCloseTo(0.3, 9);
    expect(perMillion.cpuMs).toBeCloseTo(0.04, 9);
    expect(perMillion.kvReads).toBeCloseTo(0.5, 9);
    expect(perMillion.objectRequests).toBeCloseTo(0.15, 9);
    expect(perMillion.objectGbSeconds).toBeCloseTo(0.0032, 9);
    expect(perMillion.rowsWritten).toBeCloseTo(1, 9);
    expect(perMillion.queueOperations).toBeCloseTo(1.2, 9);
    expect(perMillion.logEvents).toBeCloseTo(1.2, 9);
    expect(marginalTotalUsd(scaleUnits(NAIVE, 1e6))).toBeCloseTo(4.3932, 9);
  });

  it.each([
    // 5 + DO 9 M × 0.15 + queue 29 M × 0.40; the rest is included.
    { requests: 10e6, usd: 17.95 },
    // 5 + 27 + CPU 3.40 + KV 45 + DO 14.85 + rows 50 + queue 119.60 + logs 108.
    { requests: 100e6, usd: 372.85 },
  ])("of $requests requests a month comes to what it does by hand, the plan and what it includes counted", (month) => {
    expect(monthlyBill(scaleUnits(NAIVE, month.requests)).totalUsd).toBeCloseTo(month.usd, 6);
  });

  it("charges nothing for what is included, and the first unit after it", () => {
    for (const unit of BILLED_UNITS) {
      const { included, usdPerMillion } = PRICE_SHEET[unit];
      expect(monthlyBill({ [unit]: included }).byUnit[unit]).toBe(0);
      expect(monthlyBill({ [unit]: included + 1e6 }).byUnit[unit]).toBeCloseTo(usdPerMillion, 9);
    }
    expect(monthlyBill({}).totalUsd).toBe(5);
  });

  it("adds and scales units one by one", () => {
    const sum = addUnits({ requests: 1, kvReads: 2 }, { kvReads: 3 }, scaleUnits({ rowsWritten: 4 }, 0.5));
    expect(sum).toMatchObject({ requests: 1, kvReads: 5, rowsWritten: 2, cpuMs: 0 });
  });
});
