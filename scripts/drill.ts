/** `npm run drill`: game days. Each breaks something real on a running local install, and says whether the promise held. */
import { DRILLS } from "./drill/catalogue.ts";
import { PLANTS, runbookOf } from "./drill/drill.ts";
import type { Drill, Plant } from "./drill/drill.ts";
import { listText, reportText, summaryText } from "./drill/print.ts";
import { DrillRunner } from "./drill/run.ts";
import type { DrillReport } from "./drill/run.ts";
import { inParallel } from "./drill/load.ts";
import { momentLine } from "./drill/timeline.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";
import { describeMachine } from "./report/machine.ts";
import { writeFigures } from "./report/table.ts";

const EX_USAGE = 64;
/** Quick drills mostly wait, so some of them run side by side. In full each has the machine to itself. */
const QUICK_AT_ONCE = 3;
/** A process that Ctrl-C ended. */
const EX_INTERRUPTED = 130;

const flags = readFlags({
  name: "drill",
  about:
    "Breaks something real on a running local install and measures what comes of it.\nExit status 0: every promise held; 1: one was broken, or a drill failed.",
  flags: {
    only: { type: "string", about: "these drills, by name, with commas between", value: "NAMES" },
    quick: { type: "boolean", about: "smaller and shorter: all of them in about 90 s" },
    list: { type: "boolean", about: "name the drills and what each breaks" },
    seed: { type: "string", about: "repeat the random choices of an earlier run", value: "N" },
    plant: { type: "string", about: `plant a bug, to see a drill find it: ${PLANTS.join(", ")}`, value: "BUG" },
  },
});

function misused(reason: string): never {
  process.stderr.write(`${reason}\n`);
  process.exit(EX_USAGE);
}

function chooseDrills(names: string | undefined): readonly Drill[] {
  if (names === undefined) return DRILLS;
  return names.split(",").map((name) => {
    const drill = DRILLS.find((each) => each.name === name.trim());
    return drill ?? misused(`There is no drill "${name}". There are: ${DRILLS.map((each) => each.name).join(", ")}.`);
  });
}

function choosePlant(name: string | undefined): Plant | null {
  if (name === undefined) return null;
  return PLANTS.find((plant) => plant === name) ?? misused(`--plant takes ${PLANTS.join(", ")}, not "${name}".`);
}

/** The figures of a report; `DrillReport` for programs. */
function figuresOf({ drill, verdict, seconds, timeline, outcome, error }: DrillReport) {
  const { figures, ...rest } = outcome ?? {};
  return { name: drill.name, verdict, seconds, runbook: runbookOf(drill.name), ...rest, ...figures, timeline, error };
}

async function main(): Promise<void> {
  const chosen = chooseDrills(flags.only);
  if (flags.list === true) {
    console.log(listText(chosen));
    return;
  }
  const quick = flags.quick === true;
  const seed = wholeNumber("seed", flags.seed, Math.floor(Math.random() * 2 ** 32), 0);
  const expected = chosen.reduce((sum, { seconds }) => sum + (quick ? seconds.quick : seconds.full), 0);
  const atOnce = Math.min(chosen.length, quick ? QUICK_AT_ONCE : 1);
  process.stderr.write(`seed ${seed}; about ${Math.ceil(expected / atOnce)} s on a machine that is idle\n`);
  const run = new DrillRunner({
    quick,
    seed,
    plant: choosePlant(flags.plant),
    onMoment: ({ name }, moment) => process.stderr.write(`${name.padEnd(18)}${momentLine(moment)}\n`),
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => void run.stop().then(() => process.exit(EX_INTERRUPTED)));

  const reports: DrillReport[] = [];
  await inParallel(chosen.length, atOnce, async (index) => {
    const drill = chosen[index];
    if (drill === undefined) return;
    const report = await run.run(drill);
    reports.push(report);
    console.log(`\n${reportText(report)}`);
  });
  reports.sort((a, b) => chosen.indexOf(a.drill) - chosen.indexOf(b.drill));
  console.log(`\n${summaryText(reports)}\n\nseed ${seed}${quick ? ", quick" : ""}`);
  const revocation = reports.find(({ drill }) => drill.name === "revocation")?.outcome?.figures ?? null;
  const drills = reports.map(figuresOf);
  await writeFigures(flags.json, {
    date: new Date().toISOString(),
    seed,
    quick,
    machine: describeMachine(),
    drills,
    revocation,
  });
  process.exitCode = reports.every(({ verdict }) => verdict === "held") ? 0 : 1;
}

await main();
