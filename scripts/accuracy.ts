/** `npm run accuracy`: passed ÷ allowed over several real isolates, and how long a revoked key goes on. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { cellsOf, ISOLATES, QUICK_ISOLATES } from "./accuracy/matrix.ts";
import { BROKERS, measure, PLANTS } from "./accuracy/measure.ts";
import { newSeed } from "./accuracy/random.ts";
import { missesOf, pageOf, printReport } from "./accuracy/report.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";
import { writeFigures } from "./report/table.ts";

const PAGE = path.resolve(import.meta.dirname, "../docs/accuracy.md");
/** What two cores carry with room to spare. */
const PER_SECOND_MAX = 500;
const QUICK_PER_SECOND_MAX = 300;
const EX_USAGE = 64;
const EX_INTERRUPTED = 130;

const flags = readFlags({
  name: "accuracy",
  about:
    "Offers more than each limit allows over 1, 3 and 8 isolates that share one meter, and compares what passed with what\n" +
    "was allowed: never above 1.00, never below 0.98. Revokes a key in use on all of them. Status 0: every target held.",
  flags: {
    quick: { type: "boolean", about: "fewer and shorter cells, on 3 isolates: under a minute" },
    only: { type: "string", about: 'limits whose name begins so: "1 M", "5 / 10 s"', value: "NAME" },
    isolates: { type: "string", about: "other numbers of isolates than 1,3,8", value: "N,N" },
    seed: { type: "string", about: "the chance of another run, again", value: "N" },
    rate: {
      type: "string",
      about: `requests per second over all cells (${PER_SECOND_MAX}, quick ${QUICK_PER_SECOND_MAX})`,
      value: "N",
    },
    brokers: { type: "string", about: "down: none can be reached, every isolate asks the meters", value: "up|down" },
    set: { type: "string", about: "a variable of the Workers under test", value: "NAME=VALUE" },
    plant: { type: "string", about: `self-test with a bug: ${PLANTS.join(" or ")}; must fail`, value: "BUG" },
    write: { type: "boolean", about: "write docs/accuracy.md" },
  },
});

function usage(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(EX_USAGE);
}

function readChoice<T extends string>(flag: string, text: string, choices: readonly T[]): T {
  const chosen = choices.find((choice) => choice === text);
  return chosen ?? usage(`--${flag} takes ${choices.join(" or ")}, not "${text}".`);
}

function readVariables(text: string | undefined): Readonly<Record<string, string>> {
  if (text === undefined) return {};
  const at = text.indexOf("=");
  return at > 0 ? { [text.slice(0, at)]: text.slice(at + 1) } : usage(`--set takes NAME=VALUE, not "${text}".`);
}

const quick = flags.quick === true;
const isolates =
  flags.isolates?.split(",").map((count) => wholeNumber("isolates", count, 1)) ?? (quick ? QUICK_ISOLATES : ISOLATES);
const cells = cellsOf(quick, isolates, flags.only);
if (cells.length === 0) usage(`--only "${flags.only}" leaves nothing to measure.`);
const seed = wholeNumber("seed", flags.seed, newSeed(), 0);
const plant = flags.plant === undefined ? null : readChoice("plant", flags.plant, PLANTS);
const brokers = readChoice("brokers", flags.brokers ?? "up", BROKERS);
if (flags.write === true && (quick || flags.only !== undefined || plant !== null || brokers === "down"))
  usage("--write is for the whole matrix, as it is shipped.");

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interruption.abort());

try {
  process.stderr.write(`seed ${seed}${plant === null ? "" : `, with a planted bug: ${plant}`}\n`);
  const figures = await measure({
    cells,
    isolates,
    seed,
    perSecondMax: wholeNumber("rate", flags.rate, quick ? QUICK_PER_SECOND_MAX : PER_SECOND_MAX),
    plant,
    brokers,
    variables: readVariables(flags.set),
    tell: (line) => void process.stderr.write(`${line}\n`),
    signal: interruption.signal,
  });
  const misses = missesOf(figures);
  printReport(figures);
  await writeFigures(flags.json, { seed, plant, brokers, held: misses.length === 0, ...figures });
  if (flags.write === true) await writeFile(PAGE, pageOf(figures, seed, new Date()));
  for (const miss of misses) process.stdout.write(`MISSED  ${miss}\n`);
  process.stdout.write(`${misses.length === 0 ? "Every target held" : "A target was missed"}; seed ${seed}.\n`);
  process.exit(misses.length === 0 ? 0 : 1);
} catch (error) {
  if (interruption.signal.aborted) process.exit(EX_INTERRUPTED);
  throw error;
}
