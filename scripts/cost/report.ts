import { marginalUsd } from "../../src/usage/cost-bill.ts";
import { BILLED_UNITS, PRICE_SHEET, PRICES_READ_ON } from "../../src/usage/price-sheet.ts";
import type { BilledUnit } from "../../src/usage/price-sheet.ts";
import type { Rows, Target } from "../report/table.ts";
import { referenceRow } from "./results.ts";
import type { Row } from "./results.ts";
import type { Case } from "./measure.ts";
import { SHAPES, volumeName } from "./shapes.ts";
import type { ShapeName } from "./shapes.ts";

/** Tables out of the results: the same for the terminal and for docs/cost.md. */

export function billRows(rows: readonly Row[]): Rows {
  return [
    ["traffic", "requests/month", "isolates", "units", "$/million", "naive", "ratio", "bill/month", "naive"],
    ...rows.map((row) => [
      row.shape,
      volumeName(row.requestsPerMonth),
      String(Math.round(row.isolates)),
      row.how,
      dollars(row.usdPerMillion),
      dollars(row.naiveUsdPerMillion),
      (row.usdPerMillion / row.naiveUsdPerMillion).toFixed(2),
      dollars(row.usdPerMonth),
      dollars(row.naiveUsdPerMonth),
    ]),
  ];
}

/** Units per request and what they come to, for the volume that stands for its shape. */
export function breakdownRows(rows: readonly Row[]): Rows {
  const shapes = shapesIn(rows);
  const references = shapes.map((name) => referenceRow(rows, name));
  const costs = references.map((row) => marginalUsd(row.units));
  return [
    ["unit", "$/million units", ...shapes.flatMap((name) => [`${name}: per request`, "$/million"])],
    ...BILLED_UNITS.map((unit) => [
      PRICE_SHEET[unit].label,
      String(PRICE_SHEET[unit].usdPerMillion),
      ...references.flatMap((row, index) => [
        amount(row.units[unit] ?? 0),
        ((costs[index]?.[unit] ?? 0) * 1e6).toFixed(3),
      ]),
    ]),
  ];
}

/** Where calls, rows and time come from, by class of object, per 1,000 requests. */
export function objectRows(cases: readonly Case[]): Rows {
  const last = SHAPES.flatMap(({ name }) => cases.filter(({ shape }) => shape === name).slice(-1));
  return [
    ["traffic", "object", "calls per 1,000", "rows written", "rows read", "awake by timers, s"],
    ...last.flatMap(({ shape, counted }) =>
      Object.entries(counted.objects)
        .filter(([, of]) => of.requests > 0)
        .map(([name, of]) => {
          const per = (count: number): string => ((count * 1_000) / counted.requests).toFixed(1);
          return [shape, name, per(of.requests), per(of.rowsWritten), per(of.rowsRead), per(of.timerMs / 1_000)];
        }),
    ),
  ];
}

/** The dearest units after the platform's own fee for the request. */
export function boundOf(row: Row): string {
  const costs = marginalUsd(row.units);
  const dearest = BILLED_UNITS.filter((unit) => unit !== "requests")
    .toSorted((a, b) => costs[b] - costs[a])
    .slice(0, 2)
    .map((unit: BilledUnit) => `${PRICE_SHEET[unit].label} ${dollars(costs[unit] * 1e6)}`);
  return `${dollars(row.usdPerMillion)} per million, of which request ${dollars(costs.requests * 1e6)}, ${dearest.join(", ")}`;
}

/** Of the shapes that were run. */
export function targetsOf(rows: readonly Row[]): readonly Target[] {
  return shapesIn(rows).flatMap((shape) => {
    const { usdPerMillion, naiveUsdPerMillion } = referenceRow(rows, shape);
    switch (shape) {
      case "hot":
        return [target("hot, $ per million requests", usdPerMillion, 0.4)];
      case "zipf":
        return [
          target("zipf, $ per million requests", usdPerMillion, 0.8),
          target("zipf ÷ naive", usdPerMillion / naiveUsdPerMillion, 0.25),
        ];
      case "cold":
        return [];
    }
  });
}

/** The shapes that were run, in their order. */
export function shapesIn(rows: readonly Row[]): readonly ShapeName[] {
  return SHAPES.map(({ name }) => name).filter((name) => rows.some(({ shape }) => shape === name));
}

function target(name: string, measured: number, most: number): Target {
  return { name, wanted: `≤ ${most.toFixed(2)}`, measured: measured.toFixed(3), held: measured <= most };
}

export function toFigures(rows: readonly Row[]): unknown {
  const shapes = Object.fromEntries(
    shapesIn(rows).map((name) => {
      const { usdPerMillion, naiveUsdPerMillion, units } = referenceRow(rows, name);
      const byVolume = rows.filter(({ shape }) => shape === name).map(({ shape: _shape, ...row }) => row);
      return [name, { latchkeyUsdPerMillion: usdPerMillion, naiveUsdPerMillion, units, byVolume }];
    }),
  );
  return { pricesReadOn: PRICES_READ_ON, shapes };
}

function dollars(usd: number): string {
  return `$${usd >= 100 ? Math.round(usd).toLocaleString("en-US") : usd.toFixed(usd >= 10 ? 2 : 3)}`;
}

function amount(count: number): string {
  return count === 0 ? "0" : count >= 0.01 ? count.toFixed(3) : count.toPrecision(2);
}
