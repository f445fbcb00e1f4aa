import { type Flags, readFlags, wholeNumber } from "../report/flags.ts";
import { figure, type Target, targetRows, textTable, writeFigures } from "../report/table.ts";
import { writePage } from "./page/page.ts";
import { figuresOf, hotRows, modestRows, scaleTargets, seedTargets, zipfRows } from "./report.ts";
import { runScale, type ScaleResults } from "./scale/scenarios.ts";
import { isPlant, type Plant, PLANTS } from "./worlds/plants.ts";
import type { WorldResult } from "./worlds/random-world.ts";
import { runSeeds, type SeedsResult } from "./worlds/seeds.ts";

const COMMAND = {
  name: "simulate",
  about:
    "Runs the product's own code (check, admission, leases, brokers, meters, registry, ledger) under a virtual clock: first in\n" +
    "thousands of small random worlds full of trouble, in which no promise may be broken; then in large scenarios over 330\n" +
    "locations, at up to a million requests a second. The exit status is 1 when a promise was broken or a target was missed.",
  flags: {
    seeds: { type: "string", about: "random worlds, default 2000", value: "N" },
    seed: { type: "string", about: "run this one world again, exactly as it was", value: "N" },
    from: { type: "string", about: "the first seed, default 1", value: "N" },
    trace: { type: "boolean", about: "with --seed: print what happened, line by line" },
    only: { type: "string", about: "worlds, or scale", value: "PART" },
    quick: { type: "boolean", about: "small scenarios, for a first look; their targets do not count" },
    write: { type: "boolean", about: "write docs/scale.md and its plots from this run" },
    plant: { type: "string", about: `self-test, must fail: ${PLANTS.join(", ")}`, value: "BUG" },
  },
} as const;

const EX_USAGE = 64;
const DEFAULT_SEEDS = 2_000;
const VIOLATIONS_SHOWN = 20;
const PROGRESS_EVERY_MS = 5_000;

export async function simulate(): Promise<number> {
  const flags = readFlags(COMMAND);
  const plant = plantOf(flags.plant);
  if (plant === undefined) return EX_USAGE;
  const single = flags.seed !== undefined;
  const first = wholeNumber("seed", flags.seed, wholeNumber("from", flags.from, 1, 0), 0);
  const count = single ? 1 : wholeNumber("seeds", flags.seeds, DEFAULT_SEEDS, 0);
  const seeds =
    flags.only === "scale" || count === 0
      ? null
      : await showSeeds({ first, count, plant, trace: flags.trace === true });
  const wantsScale = !single && plant === null && flags.only !== "worlds";
  const scale = wantsScale ? await showScale(flags.quick === true) : null;
  const targets = [...(seeds === null ? [] : seedTargets(seeds)), ...(scale === null ? [] : scaleTargets(scale))];
  print(`\n${textTable(targetRows(targets))}\n`);
  await writeFigures(flags.json, figuresOf(seeds, scale));
  await writeIfAsked(flags, { seeds, scale, targets });
  const counting = flags.quick === true && seeds !== null ? seedTargets(seeds) : flags.quick === true ? [] : targets;
  return counting.every(({ held }) => held) ? 0 : 1;
}

function plantOf(name: string | undefined): Plant | null | undefined {
  if (name === undefined) return null;
  if (isPlant(name)) return name;
  process.stderr.write(`--plant takes one of ${PLANTS.join(", ")}, not "${name}".\n`);
  return undefined;
}

interface SeedsInput {
  readonly first: number;
  readonly count: number;
  readonly plant: Plant | null;
  readonly trace: boolean;
}

async function showSeeds({ first, count, plant, trace }: SeedsInput): Promise<SeedsResult> {
  progress(
    `random worlds: seeds ${first} to ${first + count - 1}${plant === null ? "" : `, with the planted bug ${plant}`}`,
  );
  let toldAt = performance.now();
  let shown = 0;
  const result = await runSeeds({
    first,
    count,
    plant,
    onWorld: (world, done) => {
      if (trace || count === 1) showWorld(world, trace);
      for (const { invariant, at, detail } of world.violations) {
        if (shown++ < VIOLATIONS_SHOWN)
          print(`seed ${world.seed}: ${invariant}: ${detail} (at ${new Date(at).toISOString()})`);
      }
      if (performance.now() - toldAt < PROGRESS_EVERY_MS) return;
      toldAt = performance.now();
      progress(`  ${figure(done)} of ${figure(count)}`);
    },
  });
  if (shown > VIOLATIONS_SHOWN) print(`… and ${figure(shown - VIOLATIONS_SHOWN)} more`);
  if (shown > 0) print("Run one of them again with: npm run simulate -- --seed N --trace");
  const rows = [
    ["random worlds", "with brokers", "happenings", "requests", "admitted", "violations", "seconds"],
    [
      result.seeds,
      result.withBrokers,
      result.happenings,
      result.requests,
      result.admitted,
      result.violations.length,
      Math.round(result.seconds),
    ].map(figure),
  ];
  print(`\n${textTable(rows)}`);
  return result;
}

function showWorld({ seed, plan, trace }: WorldResult, whole: boolean): void {
  if (whole) print(trace.lines.join("\n"));
  const { brokerShards, isolatesPerColo } = plan;
  const where = plan.colos.map(({ code }) => code).join(" ");
  print(
    `seed ${seed}: ${isolatesPerColo} isolates each at ${where}, registry at ${plan.home}, ${brokerShards === null ? "no brokers" : "brokers"}; trace ${trace.digest()}`,
  );
}

async function showScale(quick: boolean): Promise<ScaleResults> {
  const results = await runScale({ seed: 1, quick, progress });
  print(`\nOne key in all 330 locations at once\n\n${textTable(hotRows(results))}`);
  print(`\nModest keys, by rate in each city and number of cities\n\n${textTable(modestRows(results))}`);
  print(`\nMany keys by Zipf\n\n${textTable(zipfRows(results))}`);
  return results;
}

interface Run {
  readonly seeds: SeedsResult | null;
  readonly scale: ScaleResults | null;
  readonly targets: readonly Target[];
}

async function writeIfAsked(flags: Flags<typeof COMMAND.flags>, { seeds, scale, targets }: Run): Promise<void> {
  if (flags.write !== true) return;
  if (seeds === null || scale === null || flags.quick === true) {
    process.stderr.write("--write needs a whole run: without --only, --quick, --seed and --plant.\n");
    return;
  }
  await writePage({ seeds, scale, targets });
  progress("wrote docs/scale.md and docs/images/scale-*.svg");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
