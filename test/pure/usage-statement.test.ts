import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toCsv } from "../../src/control/csv.ts";
import { exactText, isPrice, payableText, priceOf } from "../../src/usage/price.ts";
import { makeStatement, type StatementInput } from "../../src/usage/statement.ts";

const MONTH = { from: Date.parse("2026-11-01T00:00:00Z"), to: Date.parse("2026-12-01T00:00:00Z") };

function row(key: string | null, environment: string | null, cost: number) {
  const sums = { requests: cost + 2, allowed: cost, refused: 2, cost, bytesIn: 0, bytesOut: 0 };
  return { start: "2026-11-01T00:00:00.000Z", key, environment, ...sums, averageLatencyMs: 1, estimatedCostUsd: "0" };
}

function input(changes: Partial<StatementInput> = {}): StatementInput {
  return {
    owner: "acme",
    month: "2026-11",
    timeZone: "UTC",
    ...MONTH,
    now: MONTH.to + 3_600_000,
    usage: { series: [row("key_a", "live", 1_000), row("key_b", "live", 3), row("key_t", "test", 500)] },
    keys: new Map([
      ["key_a", { name: "A", hint: "lk_live_…", plan: null }],
      ["key_b", { name: "B", hint: "lk_live_…", plan: "pro" }],
    ]),
    pricing: { currency: "EUR", perUnit: "0.0025", perUnitByPlan: { pro: "0.001" } },
    reconciliation: { comparedUntil: MONTH.to, differenceUnits: 0, unchecked: 0 },
    ...changes,
  };
}

describe("prices", () => {
  test("amounts are exact, and add up to what the units together come to", () => {
    const anyPrice = fc
      .tuple(fc.integer({ min: 0, max: 999_999 }), fc.integer({ min: 0, max: 999_999_999 }))
      .map(([whole, nano]) => `${whole}.${String(nano).padStart(9, "0")}`);
    fc.assert(
      fc.property(anyPrice, fc.array(fc.integer({ min: 0, max: 1e12 }), { maxLength: 20 }), (price, units) => {
        expect(isPrice(price)).toBe(true);
        const together = units.reduce((sum, of) => sum + priceOf(price, of), 0n);
        expect(together).toBe(
          priceOf(
            price,
            units.reduce((sum, of) => sum + of, 0),
          ),
        );
      }),
    );
    expect(exactText(priceOf("0.0025", 1_001))).toBe("2.5025");
    expect(exactText(priceOf("0.1", 3))).toBe("0.3");
    expect(exactText(priceOf("7", 2))).toBe("14");
  });

  test("what is paid is rounded to the coin, halves up", () => {
    expect(payableText(priceOf("0.005", 1), "EUR")).toBe("0.01");
    expect(payableText(priceOf("0.0049", 1), "EUR")).toBe("0.00");
    expect(payableText(priceOf("0.5", 3), "JPY")).toBe("2");
    expect(payableText(priceOf("0.0005", 1), "KWD")).toBe("0.001");
  });

  test.each(["", "1,5", "-1", "1.0000000001", ".5", "1e3", 1, null])("%j is no price", (price) => {
    expect(isPrice(price)).toBe(false);
  });
});

describe("a statement", () => {
  test("prices units by plan, leaves test keys free, and adds up", () => {
    const { lines, totals, currency } = makeStatement(input());
    expect(lines.map(({ key, perUnit, amount }) => [key, perUnit, amount])).toEqual([
      ["key_a", "0.0025", "2.5"],
      ["key_t", "0", "0"],
      ["key_b", "0.001", "0.003"],
    ]);
    expect(totals).toEqual({
      requests: 1_509,
      allowed: 1_503,
      refused: 6,
      units: 1_503,
      amount: "2.503",
      payable: "2.50",
    });
    expect(currency).toBe("EUR");
  });

  test("has no amounts where nothing is priced", () => {
    const { lines, totals, currency } = makeStatement(input({ pricing: null }));
    expect([currency, totals.amount, totals.payable, ...lines.map(({ amount }) => amount)]).toEqual(
      Array.from({ length: 6 }, () => null),
    );
  });

  test("is final only when every hour of the month was compared with the meters", () => {
    const compared = (comparedUntil: number) => ({ comparedUntil, differenceUnits: 0, unchecked: 0 });
    const stateOf = (changes: Partial<StatementInput>) => makeStatement(input(changes)).state;
    expect(stateOf({ now: MONTH.to - 1 })).toBe("open");
    expect(stateOf({ reconciliation: compared(MONTH.to - 3_600_000) })).toBe("settling");
    expect(stateOf({ reconciliation: compared(MONTH.to) })).toBe("final");
  });
});

describe("tables for spreadsheets", () => {
  test("quotes, commas and line ends stay within their cell", () => {
    expect(toCsv(["a", "b"], [{ a: 'x"y', b: "1,2\r\n3" }])).toBe('a,b\r\n"x""y","1,2\r\n3"\r\n');
  });

  test.each(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])("%j is no formula", (text) => {
    expect(toCsv(["a"], [{ a: text }])).toContain(`'${text}`);
  });

  test("what is not there is an empty cell", () => {
    expect(toCsv(["a", "b", "c"], [{ a: null, b: 0 }])).toBe("a,b,c\r\n,0,\r\n");
  });
});
