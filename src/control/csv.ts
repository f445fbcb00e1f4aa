import { z } from "@hono/zod-openapi";
import type { Answer } from "./operation.ts";

/** Tables for spreadsheets: RFC 4180. */

type Cell = string | number | null | undefined;

/** The first row has the names of the columns. Lines end in CR LF. */
export function toCsv(columns: readonly string[], rows: readonly Readonly<Record<string, Cell>>[]): string {
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  return lines.map((line) => `${line.map(toCell).join(",")}\r\n`).join("");
}

/** Spreadsheets take these for the beginning of a formula, and would run what a customer named a key. */
const FORMULA = /^[=+\-@\t\r]/;

function toCell(value: Cell): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const formatSchema = z
  .enum(["json", "csv"])
  .optional()
  .openapi({ description: "`csv`: a table for spreadsheets (RFC 4180).", default: "json" });

/** A download. */
export function answerCsv(csv: string, fileName: string): Answer {
  return {
    status: 200,
    body: null,
    csv,
    headers: { "Content-Disposition": `attachment; filename="${fileName.replace(/[^A-Za-z0-9._-]/g, "_")}"` },
  };
}
