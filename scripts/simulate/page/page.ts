import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { figure, markdownTable, type Target, targetRows } from "../../report/table.ts";
import { hotRows, modestRows, zipfRows } from "../report.ts";
import type { ScaleResults } from "../scale/scenarios.ts";
import type { SeedsResult } from "../worlds/seeds.ts";
import { plotsOf } from "./plots.ts";
import { drawPlot } from "./svg.ts";

/** docs/scale.md: what is written by hand stays; what stands between the marks comes from the run. */

const DOCS = path.resolve(import.meta.dirname, "../../../docs");
const PAGE = path.join(DOCS, "scale.md");
const BEGIN = "<!-- figures: npm run simulate -- --write -->";
const END = "<!-- end of figures -->";

export interface PageInput {
  readonly seeds: SeedsResult;
  readonly scale: ScaleResults;
  readonly targets: readonly Target[];
}

export async function writePage(input: PageInput): Promise<void> {
  await mkdir(path.join(DOCS, "images"), { recursive: true });
  for (const [name, plot] of Object.entries(plotsOf(input.scale))) {
    await writeFile(path.join(DOCS, "images", name), drawPlot(plot));
  }
  const page = await readFile(PAGE, "utf8");
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/scale.md lacks its marks ${BEGIN} and ${END}`);
  await writeFile(PAGE, `${before}${BEGIN}\n\n${figuresText(input)}\n${END}${after}`);
}

function figuresText({ seeds, scale, targets }: PageInput): string {
  const worlds = `${figure(seeds.seeds)} random worlds (${figure(seeds.withBrokers)} of them with brokers), ${figure(seeds.requests)} requests, ${figure(seeds.happenings)} happenings: ${figure(seeds.violations.length)} violations.`;
  return [
    "## Targets",
    markdownTable(targetRows(targets)),
    worlds,
    "## One key in all 330 locations",
    "![Calls a second at the busiest object](images/scale-load.svg)",
    markdownTable(hotRows(scale)),
    "## Modest keys",
    "![Latency of a cold request by rate](images/scale-cold.svg)",
    "![Latency of a cold request by cities](images/scale-distance.svg)",
    "![Cold isolates and lease hits by rate](images/scale-hits.svg)",
    "![Cost by rate](images/scale-cost.svg)",
    markdownTable(modestRows(scale)),
    "## 10,000 keys by Zipf",
    markdownTable(zipfRows(scale)),
    "",
  ].join("\n\n");
}
