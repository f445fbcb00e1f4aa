/** `npm run cost`: what a million requests cost on the platform, out of units that a run counts. See docs/cost.md. */
import { runCost } from "./cost/run.ts";
import { toRows } from "./cost/results.ts";
import { billRows, boundOf, breakdownRows, objectRows, targetsOf, toFigures } from "./cost/report.ts";
import { referenceRow } from "./cost/results.ts";
import { KEYS, SHAPES, shapesNamed } from "./cost/shapes.ts";
import { writeCost } from "./cost/write.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";
import { targetRows, textTable, writeFigures } from "./report/table.ts";

/** A command line that cannot be understood, as in sysexits.h. */
const EX_USAGE = 64;

const flags = readFlags({
  name: "cost",
  about:
    "Counts what the shipped Worker uses (requests, KV reads, object calls and time, rows, queue operations, log lines) under three\nkinds of traffic, and prices it. About 8 minutes where nothing else runs. Exit status: 0 when every target held, 1 when one was missed.",
  flags: {
    quick: { type: "boolean", about: "runs a third as long: rough figures" },
    "cpu-json": { type: "string", about: "processor time from this --json of npm run bench", value: "FILE" },
    only: {
      type: "string",
      about: "these kinds of traffic alone: hot, zipf, cold, separated by commas",
      value: "NAMES",
    },
    keys: { type: "string", about: `keys in use (default ${KEYS}); fewer for a try: they are busier then`, value: "N" },
    seed: { type: "string", about: "for the moments of arrival and the choice of keys (default 1)", value: "N" },
    write: { type: "boolean", about: "write docs/cost.md and src/usage/measured-cost.ts" },
  },
});

const shapes = shapesNamed(flags.only);
if (shapes === null || (flags.write === true && shapes.length < SHAPES.length)) {
  process.stderr.write("--only takes hot, zipf and cold, separated by commas; --write needs all of them.\n");
  process.exit(EX_USAGE);
}
const seed = wholeNumber("seed", flags.seed, 1);
const keys = wholeNumber("keys", flags.keys, KEYS, 100);
const measured = await runCost({
  quick: flags.quick === true,
  seed,
  keys,
  shapes,
  cpuJson: flags["cpu-json"],
  progress: (text) => process.stderr.write(`cost: ${Math.round(performance.now() / 1_000)} s: ${text}\n`),
});
const rows = toRows(measured.cases, measured.cpu, measured.clockwork);
const targets = targetsOf(rows);
process.stdout.write(
  [
    `Cost of requests (seed ${seed}). $/million: what more of them cost. Bill: with the plan's $5 and what it includes.`,
    textTable(billRows(rows)),
    "\nPer request, at 1 B a month",
    textTable(breakdownRows(rows)),
    "\nObjects, at 1 B a month, per 1,000 requests",
    textTable(objectRows(measured.cases)),
    "",
    ...shapes.map(({ name }) => `${name}: ${boundOf(referenceRow(rows, name))}`),
    `CPU: ${measured.cpu.source}`,
    "",
    textTable(targetRows(targets)),
    "",
  ].join("\n"),
);
if (flags.write === true) await writeCost({ measured, rows, targets, seed, keys });
await writeFigures(flags.json, toFigures(rows));
process.exitCode = targets.every(({ held }) => held) ? 0 : 1;
