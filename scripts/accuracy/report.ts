import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import { describeMachine } from "../report/machine.ts";
import { figure, markdownTable, type Rows, type Target, targetRows, textTable } from "../report/table.ts";
import { type Figures, isDoubtful } from "./measure.ts";
import type { RevocationFigures } from "./revocation.ts";
import type { CellFigures } from "./run-cells.ts";

/** What the command prints, and the page that it writes. */

const LEAST_RATIO = 0.98;

export function targetsOf({ cells, revocation }: Figures): readonly Target[] {
  const highest = Math.max(...cells.map((cell) => cell.highest));
  const lowest = Math.min(...cells.filter((cell) => !isDoubtful(cell)).map((cell) => cell.ratio));
  const disturbed = [...cells, ...revocation].filter(isDoubtful).length;
  const late = revocation.reduce((total, { passedAfterBound }) => total + passedAfterBound, 0);
  return [
    {
      name: "passed ÷ allowed, over any run of windows",
      wanted: "≤ 1.00",
      measured: ratioText(highest),
      held: highest <= 1,
    },
    {
      name: "passed ÷ allowed, in any window",
      wanted: `≥ ${LEAST_RATIO.toFixed(2)}`,
      measured: ratioText(lowest),
      held: lowest >= LEAST_RATIO,
    },
    {
      name: `passed with a key revoked over ${REVOCATION_BOUND_SECONDS} s ago`,
      wanted: "0",
      measured: String(late),
      held: late === 0,
    },
    {
      name: "not measured, since the machine was too slow",
      wanted: "0",
      measured: String(disturbed),
      held: disturbed === 0,
    },
  ];
}

/** Which cells missed a target, and by how much; empty when none did. */
export function missesOf({ cells, revocation }: Figures): readonly string[] {
  const over = cells.filter((cell) => cell.highest > 1);
  const under = cells.filter((cell) => !isDoubtful(cell) && cell.highest <= 1 && cell.ratio < LEAST_RATIO);
  const late = revocation.filter(({ passedAfterBound }) => passedAfterBound > 0);
  return [
    ...over.map((cell) => `${nameOf(cell)}: up to ${ratioText(cell.highest)} of the limit passed`),
    ...under.map((cell) => `${nameOf(cell)}: in one window only ${ratioText(cell.ratio)} of what was allowed passed`),
    ...cells.filter(isDoubtful).map((cell) => {
      const waitedMs = Math.max(cell.lateMs, cell.slowestMs);
      return `${nameOf(cell)}: not measured, requests waited up to ${waitedMs} ms; use a lower --rate, or a quiet machine`;
    }),
    ...revocation
      .filter(isDoubtful)
      .map(({ isolates }) => `revoked on ${isolates} isolates: not measured; use a quiet machine`),
    ...late.map(
      ({ isolates, passedAfterBound, lastPassedMs }) =>
        `revoked on ${isolates} isolates: ${passedAfterBound} passed after the bound, the last ${lastPassedMs} ms after the answer`,
    ),
  ];
}

export function printReport(figures: Figures): void {
  const parts = [
    textTable(cellRows(figures.cells)),
    textTable(revocationRows(figures.revocation)),
    textTable(targetRows(targetsOf(figures))),
  ];
  process.stdout.write(`\n${parts.join("\n\n")}\n`);
}

function cellRows(cells: readonly CellFigures[]): Rows {
  return [
    [
      "limit",
      "offered/s",
      "isolates",
      "shape",
      "windows",
      "offered",
      "allowed",
      "passed",
      "either",
      "ratio",
      "highest",
    ],
    ...cells.map((cell) => [
      cell.name,
      figure(cell.offeredPerSecond),
      String(cell.isolates),
      cell.shape,
      String(cell.windows),
      figure(cell.offered),
      figure(cell.allowed),
      figure(cell.passed),
      figure(cell.straddling),
      ratioText(cell.ratio),
      ratioText(cell.highest),
    ]),
  ];
}

function revocationRows(revocation: readonly RevocationFigures[]): Rows {
  return [
    ["revoked on", "offered/s", "first refused", "last passed", "passed within 5 s", "passed later"],
    ...revocation.map((figures) => [
      `${figures.isolates} isolate${figures.isolates === 1 ? "" : "s"}`,
      figure(figures.offeredPerSecond),
      figures.firstRefusedMs === null ? "–" : `${figures.firstRefusedMs} ms`,
      `${figures.lastPassedMs} ms`,
      String(figures.passedWithinBound),
      String(figures.passedAfterBound),
    ]),
  ];
}

function nameOf({ name, offeredPerSecond, isolates, shape }: CellFigures): string {
  return `${name} at ${offeredPerSecond}/s on ${isolates} isolates, ${shape}`;
}

/** Never rounded over the line that it is judged by. */
function ratioText(ratio: number): string {
  if (!Number.isFinite(ratio)) return "–";
  const digits = 4;
  const scale = 10 ** digits;
  const rounded = ratio > 1 ? Math.ceil(ratio * scale) : Math.floor(ratio * scale);
  return (rounded / scale).toFixed(digits);
}

/** docs/accuracy.md. */
export function pageOf(figures: Figures, seed: number, now: Date): string {
  const machine = describeMachine();
  const targets = markdownTable(targetRows(targetsOf(figures)));
  return `# How exact the limits are

Written by \`npm run accuracy -- --write\`. Measured on ${now.toISOString().slice(0, 10)} with seed ${seed}; ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.system}, Node ${machine.node}.

${targets}

Public peers accept 0.95 to 1.5 of the limit in tests of their own.

## Limits

${markdownTable(cellRows(figures.cells))}

* **allowed**: the sum over the windows of min(limit, offered). **ratio**: passed ÷ allowed of the worst window.
  **highest**: passed ÷ allowed over that run of consecutive windows where it is most.
* **either**: how many of those that passed were under way when a window ended, so that they may belong to either: mostly bursts that lie across the edge.
  What was offered in each of the two windows is then known within bounds only; *allowed* is the figure within them that is nearest to *passed*.
* \`500 left\`: all other units were taken before by one call with that cost; the last 500 are what is allowed.
* \`steady\`: one request after the other, each at an isolate chosen by chance. \`bursty\`: all of a second's requests within 50 to
  100 ms, at all isolates, at a moment of the second chosen by chance; bursts cross the edges of windows.

## Revocation

${markdownTable(revocationRows(figures.revocation))}

A key that is in use on every isolate is revoked. Times count from the answer to \`revoke\`. A negative time is one before that
answer: the meter refuses before the registry has told everyone.

## How it is measured

* The shipped Worker runs as several isolates in one \`workerd\`, over one set of Durable Objects and one KV (\`scripts/lab/edges.ts\`).
  Each cell has a key of its own. Cells run side by side, as many as the machine carries.
* Requests are sent when they are due, whatever became of those before, through the proxy to an origin that answers at once. What passed
  is what reached the origin.
* Windows are those of the clock. The first request goes out at a window's edge, to isolates that have never seen the key; nothing is sent in the last 250 ms of the last window.
* A request is counted somewhere between its sending and its arrival at the origin. Where a window ends in between, nobody outside knows
  which window it belongs to. *Never above* is therefore judged over every run of consecutive windows by the requests that lie inside for certain:
  more of them than the run allows is proof, and if no run has more, there is a way of counting in which no window was exceeded.
  *Never below* is judged by everything that may have passed in the window, against what was certainly offered in it.
* A cell in which a request took longer than a second says little of its windows. It is measured again with less beside it, twice at most, and
  then reported as not measured. A limit that was exceeded stays exceeded, however slow the machine.
* Isolates are told that they are in Frankfurt, Ashburn, Singapore and Sydney in turn, so that they ask the lease brokers of four locations.
* An answer that is neither 200 nor 429 counts as offered and not as passed.

\`--plant generous-lease\` (a meter whose grants hold one unit more than it subtracted) and \`--plant silent-revoke\` (a registry that acknowledges
a revocation and does not tell the meter) put a bug in on purpose. With either, the command fails; a test runs both.
`;
}
