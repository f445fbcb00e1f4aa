import { figure, targetRows, textTable } from "../report/table.ts";
import type { Target } from "../report/table.ts";
import { runbookOf } from "./drill.ts";
import type { Drill } from "./drill.ts";
import type { DrillReport } from "./run.ts";
import { momentLine } from "./timeline.ts";

/** One drill for people. */
export function reportText({ drill, verdict, seconds, timeline, outcome, error }: DrillReport): string {
  const lines = [
    `── ${drill.name} ${"─".repeat(Math.max(0, 76 - drill.name.length))}`,
    `${drill.breaks}.`,
    "",
    ...timeline.map(momentLine),
    "",
  ];
  if (outcome !== null) {
    const { detectMs, refuseMs, letThrough, eventsLost, facts, clientsSaw, targets } = outcome;
    const saw = Object.entries(clientsSaw).map(([kind, times]) => `${figure(times)} × ${kind}`);
    const rows: (readonly [string, string])[] = [
      ["time to detect", ms(detectMs)],
      ["time to refuse", ms(refuseMs)],
      ["requests let through", count(letThrough)],
      ["events lost", count(eventsLost)],
      ["clients saw", saw.join(", ") || "–"],
      ...facts,
    ];
    const width = Math.max(...rows.map(([what]) => what.length));
    lines.push(
      ...rows.map(([what, value]) => `${what.padEnd(width)}  ${value}`),
      "",
      textTable(targetRows(targets)),
      "",
    );
  }
  if (error !== null) lines.push(error, "");
  lines.push(`${drill.name}: ${verdict.toUpperCase()} in ${figure(seconds)} s. Runbook: ${runbookOf(drill.name)}`);
  return lines.join("\n");
}

export function summaryText(reports: readonly DrillReport[]): string {
  return textTable([
    ["drill", "verdict", "detect", "refuse", "let through", "events lost", "seconds", "missed"],
    ...reports.map(({ drill, verdict, seconds, outcome, error }) => [
      drill.name,
      verdict.toUpperCase(),
      ms(outcome?.detectMs ?? null),
      ms(outcome?.refuseMs ?? null),
      count(outcome?.letThrough ?? null),
      count(outcome?.eventsLost ?? null),
      figure(seconds),
      error?.split("\n")[0] ?? missed(outcome?.targets ?? []),
    ]),
  ]);
}

function missed(targets: readonly Target[]): string {
  return targets
    .filter(({ held }) => !held)
    .map(({ name, wanted, measured }) => `${name}: ${measured}, wanted ${wanted}`)
    .join("; ");
}

export function listText(drills: readonly Drill[]): string {
  return textTable([
    ["drill", "s", "quick s", "what is broken"],
    ...drills.map(({ name, breaks, seconds }) => [name, String(seconds.full), String(seconds.quick), breaks]),
  ]);
}

function ms(value: number | null): string {
  return value === null ? "–" : `${figure(Math.round(value))} ms`;
}

function count(value: number | null): string {
  return value === null ? "–" : figure(value);
}
