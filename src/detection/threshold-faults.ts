import { DEFAULT_THRESHOLDS } from "./thresholds.ts";

/** What somebody wants of thresholds, held against those that there are. Pure. */

export interface ThresholdFault {
  /** Names on the way to it: `["spike", "ratio"]`. */
  readonly path: readonly string[];
  readonly detail: string;
}

type Fields = Readonly<Record<string, unknown>>;

const MOST = 1_000_000_000;
const MOST_ITEMS = 10;
/** The detectors by minute look back an hour. */
const MOST_MINUTES = 60;
/** Three weeks of nights are looked at. */
const MOST_NIGHTS = 21;

/** Every fault of a `ThresholdChanges` that may hold anything. */
export function faultsInThresholds(value: unknown): readonly ThresholdFault[] {
  const faults: ThresholdFault[] = [];
  const groups = asFields(value);
  if (groups === null) return [{ path: [], detail: "must be an object" }];
  for (const [name, group] of Object.entries(groups)) {
    if (!isOf(DEFAULT_THRESHOLDS, name)) {
      faults.push({ path: [], detail: unknownName(name, DEFAULT_THRESHOLDS) });
      continue;
    }
    checkGroup(faults, [name], group, DEFAULT_THRESHOLDS[name]);
  }
  return faults;
}

/** @param known of which the names are known, and the kinds of values. */
function checkGroup(faults: ThresholdFault[], path: readonly string[], value: unknown, known: object): void {
  const fields = asFields(value);
  if (fields === null) {
    faults.push({ path, detail: "must be an object" });
    return;
  }
  for (const [name, member] of Object.entries(fields)) {
    const usual: unknown = isOf(known, name) ? known[name] : undefined;
    const at = [...path, name];
    if (usual === undefined) faults.push({ path, detail: unknownName(name, known) });
    else if (Array.isArray(usual)) checkList(faults, at, member, usual[0]);
    else checkNumber(faults, at, member);
  }
}

function checkList(faults: ThresholdFault[], path: readonly string[], value: unknown, usual: unknown): void {
  const known = asFields(usual);
  if (known === null) return;
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_ITEMS) {
    faults.push({ path, detail: `must be a list of 1 to ${MOST_ITEMS}` });
    return;
  }
  for (const [index, item] of value.entries()) {
    const at = [...path, String(index)];
    checkGroup(faults, at, item, known);
    const missing = Object.keys(known).filter((name) => asFields(item)?.[name] === undefined);
    if (missing.length > 0) faults.push({ path: at, detail: `lacks ${missing.join(", ")}` });
  }
}

function checkNumber(faults: ThresholdFault[], path: readonly string[], value: unknown): void {
  const name = path.at(-1) ?? "";
  if (/minutes$/i.test(name)) {
    if (!isWhole(value, MOST_MINUTES))
      faults.push({ path, detail: `must be a whole number from 1 to ${MOST_MINUTES}` });
  } else if (name === "of") {
    if (!isWhole(value, MOST_NIGHTS)) faults.push({ path, detail: `must be a whole number from 1 to ${MOST_NIGHTS}` });
  } else if (typeof value !== "number" || !(value >= 0 && value <= MOST)) {
    faults.push({ path, detail: `must be a number from 0 to ${MOST}` });
  }
}

function isWhole(value: unknown, most: number): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most;
}

function asFields(value: unknown): Fields | null {
  // An object's members may be read by any name.
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function isOf<T extends object>(known: T, name: PropertyKey): name is keyof T {
  return Object.hasOwn(known, name);
}

function unknownName(name: string, known: object): string {
  return `has an unknown field ${name.slice(0, 40)}; known are ${Object.keys(known).join(", ")}`;
}
