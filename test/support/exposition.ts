/**
 * A strict reader of the Prometheus text format 0.0.4, after its documentation and what `promtool check metrics` complains of. Throws with
 * the line at fault.
 */

export interface ReadSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ReadFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly ReadSample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;
const TYPES = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);
/** promtool: base units alone, no unit but in the plural. */
const WRONG_UNITS = /(?:milliseconds|microseconds|minutes|hours|days|kilobytes|megabytes|percent)(?:_|$)/;

export function readExposition(text: string): ReadonlyMap<string, ReadFamily> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = new Map<string, { type: string; help: string; samples: ReadSample[]; seen: Set<string> }>();
  let current = "";
  for (const [index, line] of text.slice(0, -1).split("\n").entries()) {
    const fail = (why: string): never => {
      throw new Error(`line ${index + 1}: ${why}: ${line}`);
    };
    if (line.startsWith("# ")) {
      const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? fail("no comment of ours");
      if (!NAME.test(name)) fail("no name");
      if (keyword === "HELP") {
        if (families.has(name)) fail("a family twice");
        if (rest.trim() === "" || /\\[^\\n]/.test(rest)) fail("no help text");
        families.set(name, { type: "", help: rest, samples: [], seen: new Set() });
        current = name;
        continue;
      }
      const family = families.get(name) ?? fail("a type without a help");
      if (name !== current || family.samples.length > 0) fail("a type out of place");
      if (!TYPES.has(rest) || family.type !== "") fail("no type, or a second one");
      if ((rest === "counter") !== name.endsWith("_total")) fail("counters end in _total, and nothing else does");
      if (WRONG_UNITS.test(name) || /[A-Z]|__/.test(name)) fail("a name that promtool complains of");
      family.type = rest;
      continue;
    }
    const [, name = "", , inner = "", value = ""] =
      /^([^\s{]+)(\{(.*)\})? (\S+)$/.exec(line) ?? fail("no sample, or with a time");
    const family = families.get(name) ?? fail("a sample of no family");
    if (name !== current || family.type === "") fail("a sample out of place");
    if (!NUMBER.test(value)) fail("no number");
    const labels = readLabels(inner, fail);
    if ("quantile" in labels && family.type !== "summary") fail("a quantile of no summary");
    if ("le" in labels && family.type !== "histogram") fail("a bucket of no histogram");
    const identity = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    if (family.seen.has(identity)) fail("the same sample twice");
    family.seen.add(identity);
    family.samples.push({ labels, value: Number(value.replace("Inf", "Infinity")) });
  }
  for (const [name, family] of families) if (family.samples.length === 0) throw new Error(`${name} has no sample`);
  return families;
}

function readLabels(inner: string, fail: (why: string) => never): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (let rest = inner; rest !== "";) {
    const [whole = "", name = "", value = ""] = LABEL.exec(rest) ?? fail("no label");
    if (name.startsWith("__") || Object.hasOwn(labels, name)) fail("a label that is reserved, or there twice");
    labels[name] = value;
    rest = rest.slice(whole.length);
    if (rest === "") break;
    if (!rest.startsWith(",")) fail("labels without a comma");
    rest = rest.slice(1);
  }
  return labels;
}
