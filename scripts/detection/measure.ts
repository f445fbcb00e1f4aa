import { detectCredentialStuffing } from "../../src/detection/credential-stuffing.ts";
import type { Finding, FindingKind } from "../../src/detection/finding.ts";
import { FINDING_KINDS } from "../../src/detection/finding.ts";
import type { Thresholds } from "../../src/detection/thresholds.ts";
import { joinFindings } from "../../src/detection/watch.ts";
import type { Attack, AttackKind, Strength } from "../traffic/attacks.ts";
import { ATTACKS, STRENGTHS } from "../traffic/attacks.ts";
import type { TrafficKey } from "../traffic/fleet.ts";
import { makeFleet } from "../traffic/fleet.ts";
import { hourOf } from "../traffic/hours.ts";
import { NETWORK_WINDOW_SECONDS, makeNetwork, networkWindowOf } from "../traffic/networks.ts";
import { runKey } from "./run-key.ts";

/** Counts of what the detectors said of labelled traffic. */

/** Detectors learn for so long before anything is counted or attacked. */
export const QUIET_WEEKS = 6;
const HOUR_SECONDS = 3_600;
/** 2026-06-01, a Monday: any would do. */
const START_HOUR = 494_424;
/** After an attack its traces are still unusual. */
const AFTERMATH_HOURS = 48;
/** An incident of fewer errors, on a key that was hardly used just then, is nobody's alarm. */
const LEAST_ERRORS = 30;

export const KIND_OF: Readonly<Record<AttackKind, FindingKind>> = {
  spike: "spike",
  odd_hours: "odd_hours_spend",
  quiet_thief: "quiet_thief",
  new_place: "new_place",
  auth_failures: "auth_failures",
  errors: "error_jump",
  idle: "idle_key_woke",
  test_context: "live_key_in_test",
  canary: "canary_used",
};

export type Tally<K extends string> = Record<K, number>;

export interface QuietCounts {
  keyWeeks: number;
  /** Alerts on honest traffic, by kind. */
  readonly falseAlerts: Tally<FindingKind>;
  /** Alerts that say what is so, of a cause that is honest: a new job at night did raise the night's spend. */
  readonly trueButHonest: Tally<FindingKind>;
}

/** Where an attack comes from, seen from the key: a place it never had, its own provider, or where it is used anyway. */
export const ORIGINS = ["elsewhere", "same provider", "own place"] as const;
export type Origin = (typeof ORIGINS)[number];

export type Hits = Record<Strength | Origin, { hit: number; all: number }>;

export interface AttackCounts {
  readonly byKind: Record<FindingKind, Hits>;
  /** Alerts in attacked fleets outside of any attack, and inside. */
  falseAlerts: number;
  trueAlerts: number;
  /** Attacks that were too small to count as one. */
  tooSmall: number;
}

export function tallyOf(): Tally<FindingKind> {
  // Each kind is set, so it is complete.
  return Object.fromEntries(FINDING_KINDS.map((kind) => [kind, 0])) as Tally<FindingKind>;
}

export interface Run {
  readonly seed: number;
  readonly keys: number;
  readonly weeks: number;
  readonly thresholds: Thresholds;
}

/** Honest keys: every alert is a false one, but for those that say what is so. */
export function measureQuiet(
  { seed, keys, weeks, thresholds }: Run,
  into: QuietCounts,
  onFalse?: (of: Finding, key: TrafficKey) => void,
): void {
  const hours = (QUIET_WEEKS + weeks) * 168;
  const fleet = makeFleet({
    seed,
    owners: Math.ceil(keys / 7.5),
    keys,
    start: START_HOUR,
    weeks: QUIET_WEEKS + weeks,
    quietWeeks: QUIET_WEEKS,
    attacks: [],
    attackedShare: 0,
  });
  for (const key of fleet) {
    for (const finding of runKey(key, hours, thresholds)) {
      if (saysWhatIsSo(finding, key)) into.trueButHonest[finding.kind]++;
      else {
        into.falseAlerts[finding.kind]++;
        onFalse?.(finding, key);
      }
    }
    // An alert while it learns is a false one too, but those weeks are no merit: most detectors are silent in them.
    into.keyWeeks += weeks;
  }
}

function saysWhatIsSo(finding: Finding, key: TrafficKey): boolean {
  if (finding.kind !== "odd_hours_spend") return false;
  const since = finding.since / HOUR_SECONDS;
  const until = finding.until / HOUR_SECONDS;
  // Until the history is full of it.
  return key.changes.some(
    (change) => change.kind === "night_job" && until > change.since && since < change.since + 6 * 168,
  );
}

/** Keys of which each suffers one attack. */
export function measureAttacks(
  { seed, keys, weeks, thresholds }: Run,
  into: AttackCounts,
  onMiss?: (of: TrafficKey) => void,
): void {
  const fleet = makeFleet({
    seed,
    owners: Math.ceil(keys / 7.5),
    keys,
    start: START_HOUR,
    weeks: QUIET_WEEKS + weeks,
    quietWeeks: QUIET_WEEKS,
    attacks: ATTACKS,
    attackedShare: 1,
  });
  for (const key of fleet) {
    const { attack } = key;
    if (attack === null) continue;
    if (isTooSmall(key, attack)) {
      into.tooSmall++;
      continue;
    }
    let isHit = false;
    for (const finding of runKey(key, (QUIET_WEEKS + weeks) * 168, thresholds)) {
      if (isWithin(finding, attack)) {
        into.trueAlerts++;
        isHit ||= finding.kind === KIND_OF[attack.kind];
      } else if (!saysWhatIsSo(finding, key)) into.falseAlerts++;
    }
    const hits = into.byKind[KIND_OF[attack.kind]];
    for (const part of [hits[attack.strength], hits[originOf(key, attack)]]) {
      part.all++;
      if (isHit) part.hit++;
    }
    if (!isHit) onMiss?.(key);
  }
}

export function originOf(key: TrafficKey, { site }: Attack): Origin {
  if (site === null) return "own place";
  return key.sites.some((own) => own.site.asn === site.asn && own.site.country === site.country)
    ? "same provider"
    : "elsewhere";
}

function isWithin(finding: Finding, attack: Attack): boolean {
  return finding.until / HOUR_SECONDS > attack.since && finding.since / HOUR_SECONDS < attack.until + AFTERMATH_HOURS;
}

function isTooSmall(key: TrafficKey, attack: Attack): boolean {
  if (attack.kind !== "errors") return false;
  let errors = 0;
  for (let hour = attack.since; hour < attack.until; hour++) errors += hourOf(key, hour).errors;
  return errors < LEAST_ERRORS;
}

export function attackCounts(): AttackCounts {
  const hits = (): Hits =>
    // Each name is set, so it is complete.
    Object.fromEntries([...STRENGTHS, ...ORIGINS].map((name) => [name, { hit: 0, all: 0 }])) as Hits;
  // Each kind is set, so it is complete.
  const byKind = Object.fromEntries(FINDING_KINDS.map((kind) => [kind, hits()])) as Record<FindingKind, Hits>;
  return { byKind, falseAlerts: 0, trueAlerts: 0, tooSmall: 0 };
}

const WINDOWS_A_WEEK = (168 * HOUR_SECONDS) / NETWORK_WINDOW_SECONDS;

export interface NetworkCounts {
  networkWeeks: number;
  falseAlerts: number;
  readonly hits: Hits;
}

/** Networks, a tenth of which try keys by the list. */
export function measureNetworks({ seed, keys: networks, weeks, thresholds }: Run, into: NetworkCounts): void {
  const start = (START_HOUR * HOUR_SECONDS) / NETWORK_WINDOW_SECONDS;
  const count = weeks * WINDOWS_A_WEEK;
  for (let index = 0; index < networks; index++) {
    const network = makeNetwork(seed, index, index % 10 === 0 ? [start, start + count - 12] : null);
    const findings: Finding[] = [];
    for (let window = start; window < start + count; window++) {
      const finding = detectCredentialStuffing(networkWindowOf(network, window), thresholds.stuffing);
      if (finding !== null) findings.push(finding);
    }
    let isHit = false;
    for (const { since } of joinFindings(findings)) {
      const window = since / NETWORK_WINDOW_SECONDS;
      if (network.attack !== null && window >= network.attack.since && window < network.attack.until) isHit = true;
      else into.falseAlerts++;
    }
    into.networkWeeks += weeks;
    if (network.attack === null) continue;
    const hits = into.hits[network.attack.strength];
    hits.all++;
    if (isHit) hits.hit++;
  }
}

export function networkCounts(): NetworkCounts {
  return { networkWeeks: 0, falseAlerts: 0, hits: attackCounts().byKind.credential_stuffing };
}

export function sumOfHits(hits: Hits): { readonly hit: number; readonly all: number } {
  let hit = 0;
  let all = 0;
  for (const strength of STRENGTHS) {
    hit += hits[strength].hit;
    all += hits[strength].all;
  }
  return { hit, all };
}
