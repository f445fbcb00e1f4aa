import { UsageError } from "./errors.mjs";
import { printJson, readPages } from "./pages.mjs";
import { table } from "./terminal.mjs";
import { toPast } from "./values.mjs";

/**
 * @typedef {import("./command.mjs").Command} Command
 * @typedef {import("./command.mjs").Context} Context
 * @typedef {import("./client.mjs").Json} Json
 */

/** @type {Command} */
const detections = {
  name: "detections",
  operands: [],
  summary: "keys and networks that did what is not like them",
  notes: "Newest first, for 90 days.",
  options: {
    kind: { type: "string", value: "KIND", help: "spike, canary_used, …" },
    severity: { type: "string", value: "SEVERITY", help: "page, ticket or notice" },
    owner: { type: "string", value: "OWNER", help: "whose keys it is about" },
    subject: { type: "string", value: "ID", help: "a key's id, or a network" },
    since: { type: "string", value: "TIME", help: "found again since: 2h, 7d, or a time" },
    limit: { type: "string", value: "N", help: "entries to a page (default 50, at most 200)" },
    cursor: { type: "string", value: "CURSOR", help: "the page after" },
    all: { type: "boolean", help: "every page" },
  },
  run(context) {
    const { flags, io } = context;
    const named = Object.fromEntries(["kind", "severity", "owner", "subject"].map((name) => [name, flags.text(name)]));
    const since = flags.text("since");
    const query = { ...named, since: since === undefined ? undefined : toPast(since, "since", io.now()) };
    return readPages(context, "/detections", query, (found) => printFindings(found, context, "lastSeenAt"));
  },
};

/** Pages of one dry run: a workspace has some thousand keys, and an answer is of some dozen. */
const MAX_PAGES = 1_000;

/** @type {Command} */
const dryRun = {
  name: "detections dry-run",
  operands: [],
  summary: "what other thresholds would have found in the last week",
  notes: "Changes nothing and tells nobody. Thresholds and their defaults are in docs/detection.md.",
  options: {
    set: { type: "string", multiple: true, value: "NAME=NUMBER", help: "a threshold: spike.ratio=4; repeat for more" },
    from: { type: "string", value: "TIME", help: "from then on: 3d, or a time (default a week before --to)" },
    to: { type: "string", value: "TIME", help: "until then (default the last full hour)" },
  },
  async run(context) {
    const { client, flags, io, json, operands } = context;
    if (operands.length > 0) throw new UsageError("This command takes flags only.", dryRun.name);
    const from = flags.text("from");
    const to = flags.text("to");
    const body = {
      thresholds: thresholdsOf(flags.list("set") ?? []),
      ...(from === undefined ? {} : { from: toPast(from, "from", io.now()) }),
      ...(to === undefined ? {} : { to: toPast(to, "to", io.now()) }),
    };
    /** @type {Json[]} */
    const found = [];
    let keys = 0;
    /** @type {string | undefined} */
    let cursor;
    /** @type {Json} */
    let answer = {};
    for (let page = 0; page < MAX_PAGES; page += 1) {
      answer = await client.write("POST", "/detections/dry-run", {
        body: cursor === undefined ? body : { ...body, cursor },
      });
      found.push(...answer["data"]);
      keys += answer["keys"];
      cursor = answer["nextCursor"] ?? undefined;
      if (cursor === undefined) break;
    }
    const { from: begin, to: end, knownSince } = answer;
    if (json) return printJson({ data: found, from: begin, to: end, keys, knownSince }, io);
    printFindings(found, context, "until");
    io.err(`${found.length} findings, ${keys} keys, ${begin} to ${end}.\n`);
    if (knownSince === null || knownSince > begin) {
      io.err(`Hours are known ${knownSince === null ? "not at all yet" : `since ${knownSince} only`}.\n`);
    }
  },
};

/**
 * @param {readonly string[]} settings
 * @returns {Record<string, Record<string, number>>}
 */
function thresholdsOf(settings) {
  /** @type {Record<string, Record<string, number>>} */
  const thresholds = {};
  for (const setting of settings) {
    const [, detector, name, text] = /^([A-Za-z]+)\.([A-Za-z]+)=(\d+(?:\.\d+)?)$/.exec(setting) ?? [];
    if (detector === undefined || name === undefined) {
      throw new UsageError("--set takes a threshold and a number: --set spike.ratio=4.", dryRun.name);
    }
    thresholds[detector] = { ...thresholds[detector], [name]: Number(text) };
  }
  return thresholds;
}

/**
 * @param {readonly Json[]} found
 * @param {Context} context
 * @param {"lastSeenAt" | "until"} last
 */
function printFindings(found, { io }, last) {
  if (found.length === 0) return io.err("Nothing found.\n");
  const rows = found.map((one) => [
    one["severity"],
    one["kind"],
    one["subject"].id,
    one["owner"],
    one["since"],
    one[last],
    one["summary"],
  ]);
  io.out(table(["severity", "kind", "key or network", "owner", "since", "until", "what"], rows, io));
}

/** @type {readonly Command[]} */
export const DETECTION_COMMANDS = [detections, dryRun];
