import { writeFile } from "node:fs/promises";

/** Tables for people and figures for programs, the same for every measuring command. */

/** Rows of one table; the first is the head. Numbers stand to the right. */
export type Rows = readonly (readonly string[])[];

const NUMERIC = /^[-+−<>≤≥~≈$]*[\d.,]+(?: ?[a-zA-Zµ%×/]+)?$|^[-–]$/;

/** Plain text, columns lined up. */
export function textTable(rows: Rows): string {
  const widths = columnWidths(rows);
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  const lines = rows.map((row) => layOut(row, widths).join("  ").trimEnd());
  return [...lines.slice(0, 1), rule, ...lines.slice(1)].join("\n");
}

/** The same in Markdown. */
export function markdownTable(rows: Rows): string {
  const widths = columnWidths(rows);
  const line = (row: readonly string[]): string => `| ${layOut(row, widths).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [...rows.slice(0, 1).map(line), rule, ...rows.slice(1).map(line)].join("\n");
}

/** A number for people: about three significant digits, thousands apart. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** For `--json FILE`: nothing happens without a file. */
export async function writeFigures(file: string | undefined, figures: unknown): Promise<void> {
  if (file !== undefined) await writeFile(file, `${JSON.stringify(figures, null, 2)}\n`);
}

/** One target, and whether it held. */
export interface Target {
  readonly name: string;
  readonly wanted: string;
  readonly measured: string;
  readonly held: boolean;
}

export function targetRows(targets: readonly Target[]): Rows {
  return [
    ["target", "wanted", "measured", "held"],
    ...targets.map(({ name, wanted, measured, held }) => [name, wanted, measured, held ? "yes" : "NO"]),
  ];
}

function columnWidths(rows: Rows): number[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  return Array.from({ length: columns }, (_, column) => Math.max(0, ...rows.map((row) => (row[column] ?? "").length)));
}

function layOut(row: readonly string[], widths: readonly number[]): string[] {
  return widths.map((width, column) => {
    const cell = row[column] ?? "";
    return NUMERIC.test(cell) ? cell.padStart(width) : cell.padEnd(width);
  });
}
