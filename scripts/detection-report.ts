import { FINDING_KINDS } from "../src/detection/finding.ts";
import { wilson } from "../src/detection/statistics.ts";
import { DEFAULT_THRESHOLDS } from "../src/detection/thresholds.ts";
import type { AttackCounts, NetworkCounts, QuietCounts } from "./detection/measure.ts";
import {
  ORIGINS,
  QUIET_WEEKS,
  attackCounts,
  measureAttacks,
  measureNetworks,
  measureQuiet,
  networkCounts,
  originOf,
  sumOfHits,
  tallyOf,
} from "./detection/measure.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";
import type { Rows } from "./report/table.ts";
import { textTable, writeFigures } from "./report/table.ts";
import { STRENGTHS } from "./traffic/attacks.ts";

/** What the detectors find of labelled traffic, and how often they cry wolf. */

const FLEET_KEYS = 300;
const FLEET_WEEKS = 6;
/** Of 95 %. */
const Z = 1.96;
/** Seeds below this one were looked at while the thresholds were chosen. */
const FIRST_HELD_OUT_SEED = 2_001;

const flags = readFlags({
  name: "detection",
  about:
    "Precision, recall and false alerts of the detectors on generated traffic. Ends with 1 when more than one alert in 1,000 key-weeks is false.",
  flags: {
    "key-weeks": { type: "string", about: "of honest traffic (7,200)", value: "N" },
    attacks: { type: "string", about: "to find, of all kinds together (1,350)", value: "N" },
    seed: {
      type: "string",
      about: `the first one (${FIRST_HELD_OUT_SEED}; those below 2,000 were looked at)`,
      value: "N",
    },
    verbose: { type: "boolean", about: "name each false alert and each miss" },
  },
});
const keyWeeks = wholeNumber("key-weeks", flags["key-weeks"], 7_200);
const attacks = wholeNumber("attacks", flags.attacks, 1_350);
const seed = wholeNumber("seed", flags.seed, FIRST_HELD_OUT_SEED);
const tell = (line: string): void => void (flags.verbose === true && process.stdout.write(`${line}\n`));
const short = (value: unknown): string =>
  JSON.stringify(value, (_name, of: unknown) => (typeof of === "number" ? Math.round(of * 100) / 100 : of));

const began = performance.now();
const quiet: QuietCounts = { keyWeeks: 0, falseAlerts: tallyOf(), trueButHonest: tallyOf() };
const perFleet = FLEET_KEYS * FLEET_WEEKS;
for (let fleet = 0; fleet < Math.ceil(keyWeeks / perFleet); fleet++) {
  measureQuiet(
    { seed: seed + fleet, keys: FLEET_KEYS, weeks: FLEET_WEEKS, thresholds: DEFAULT_THRESHOLDS },
    quiet,
    (finding, key) => {
      const near = key.changes.filter(
        ({ since, until }) =>
          until * 3_600 >= finding.since - 86_400 &&
          since * 3_600 <= finding.until &&
          since * 3_600 > finding.since - 10 * 86_400,
      );
      tell(`FALSE ${finding.kind} ${key.shape} ${Math.round(key.perHour)}/h ${short(finding.evidence)} ${short(near)}`);
    },
  );
}
const found: AttackCounts = attackCounts();
const stuffing: NetworkCounts = networkCounts();
const RECALL_WEEKS = 3;
measureAttacks(
  { seed: seed + 500, keys: attacks, weeks: RECALL_WEEKS, thresholds: DEFAULT_THRESHOLDS },
  found,
  (key) => {
    const { attack } = key;
    if (attack === null) return;
    const { kind, strength, size } = attack;
    tell(
      `MISS ${kind} ${strength} ${size.toFixed(2)} ${originOf(key, attack)} ${key.shape} ${Math.round(key.perHour)}/h`,
    );
  },
);
measureNetworks({ seed: seed + 700, keys: attacks, weeks: 1, thresholds: DEFAULT_THRESHOLDS }, stuffing);
found.byKind.credential_stuffing = stuffing.hits;

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const share = (hit: number, all: number): string => (all === 0 ? "-" : `${percent(hit / all)} of ${all}`);
const interval = (hit: number, all: number, per = 1): string => {
  const [low, high] = wilson(hit, all, Z);
  return per === 1 ? `${percent(low)} to ${percent(high)}` : `${(low * per).toFixed(2)} to ${(high * per).toFixed(2)}`;
};

const recall: Rows = [
  ["kind", "recall", "95 % interval", ...STRENGTHS, ...ORIGINS],
  ...FINDING_KINDS.map((kind) => {
    const { hit, all } = sumOfHits(found.byKind[kind]);
    const by = [...STRENGTHS, ...ORIGINS].map((part) =>
      share(found.byKind[kind][part].hit, found.byKind[kind][part].all),
    );
    return [kind, share(hit, all), interval(hit, all), ...by];
  }),
];
const total = FINDING_KINDS.reduce((sum, kind) => sum + quiet.falseAlerts[kind], 0);
const falseRow = (name: string, count: number, honest: number): readonly string[] => [
  name,
  String(count),
  ((1_000 * count) / quiet.keyWeeks).toFixed(2),
  interval(count, quiet.keyWeeks, 1_000),
  String(honest),
];
const wolf: Rows = [
  ["kind", "false alerts", "in 1,000 key-weeks", "95 % interval", "true, of an honest cause"],
  ...FINDING_KINDS.filter((kind) => kind !== "credential_stuffing").map((kind) =>
    falseRow(kind, quiet.falseAlerts[kind], quiet.trueButHonest[kind]),
  ),
  falseRow(
    "all",
    total,
    FINDING_KINDS.reduce((sum, kind) => sum + quiet.trueButHonest[kind], 0),
  ),
];
const alerts = found.trueAlerts + found.falseAlerts;
process.stdout.write(
  `Seeds ${seed} and up. Honest traffic: ${quiet.keyWeeks} key-weeks, after ${QUIET_WEEKS} weeks of learning each.\n\n${textTable(wolf)}\n\n` +
    `credential_stuffing: ${stuffing.falseAlerts} false alerts in ${stuffing.networkWeeks} network-weeks.\n\n` +
    `Attacks: one on each key; ${found.tooSmall} incidents of fewer than 30 errors are left out.\n\n${textTable(recall)}\n\n` +
    `Precision where each key is attacked once in ${QUIET_WEEKS + RECALL_WEEKS} weeks: ${share(found.trueAlerts, alerts)} alerts ` +
    `(${interval(found.trueAlerts, alerts)}).\n${((performance.now() - began) / 1_000).toFixed(0)} s.\n`,
);
await writeFigures(flags.json, { seed, quiet, found, stuffing });
if ((1_000 * total) / quiet.keyWeeks > 1) process.exitCode = 1;
