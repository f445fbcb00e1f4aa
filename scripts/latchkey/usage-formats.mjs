import { UsageError } from "./errors.mjs";
import { printJson } from "./pages.mjs";
import { table } from "./terminal.mjs";
import { toPast } from "./values.mjs";

/**
 * @typedef {import("./command.mjs").Command} Command
 * @typedef {import("./client.mjs").Client} Client
 * @typedef {import("./client.mjs").Json} Json
 */

const DEFAULT_SPAN = "7d";
/** The most that a page of keys holds. */
const PAGE_KEYS = 200;
const NOT_A_KEY = "unknown";

/**
 * Who still comes with which format: what to look at before an old prefix, or the acceptance of imported keys, is taken
 * away. A key's format stands in its hint; requests stand in the ledger.
 *
 * @type {Command}
 */
export const usageFormats = {
  name: "usage formats",
  operands: [],
  summary: "use of each key format: by prefix, and of imported keys",
  options: {
    from: { type: "string", value: "WHEN", help: "7d for seven days ago (the default), a date or a time" },
    to: { type: "string", value: "WHEN", help: "the same; default now" },
  },
  async run({ client, flags, io, json, operands }) {
    if (operands.length > 0) throw new UsageError("This command takes flags only.", usageFormats.name);
    const to = flags.text("to");
    const report = await client.get("/usage", {
      granularity: "day",
      groupBy: "key",
      from: toPast(flags.text("from") ?? DEFAULT_SPAN, "from", io.now()),
      to: to === undefined ? undefined : toPast(to, "to", io.now()),
    });
    const formats = sumByFormat(report["series"], await readFormats(client));
    if (json) return printJson({ from: report["from"], to: report["to"], formats }, io);
    const rows = formats.map(({ format, keys, keysUsed, requests, allowed, refused }) => [
      format,
      keys,
      keysUsed,
      requests,
      allowed,
      refused,
    ]);
    io.out(table(["format", "keys", "keys used", "requests", "allowed", "refused"], rows, io));
  },
};

/**
 * Every key's format, by its id: the prefix of its hint, or `imported`, of which only a hash is known.
 *
 * @param {Client} client
 * @returns {Promise<Map<string, string>>}
 */
async function readFormats(client) {
  const formats = new Map();
  /** @type {string | undefined} */
  let cursor;
  do {
    const page = await client.get("/keys", { limit: String(PAGE_KEYS), cursor });
    for (const { id, hint } of page["data"])
      formats.set(id, hint.startsWith("sha256:") ? "imported" : hint.split("_")[0]);
    cursor = page["nextCursor"] ?? undefined;
  } while (cursor !== undefined);
  return formats;
}

/**
 * @param {readonly Json[]} series
 * @param {ReadonlyMap<string, string>} formats
 */
function sumByFormat(series, formats) {
  const sums = new Map();
  const sumOf = (/** @type {string} */ format) => {
    const known = sums.get(format);
    if (known !== undefined) return known;
    const sum = { format, keys: 0, used: new Set(), requests: 0, allowed: 0, refused: 0 };
    sums.set(format, sum);
    return sum;
  };
  for (const format of formats.values()) sumOf(format).keys += 1;
  for (const { key, requests, allowed, refused } of series) {
    const sum = sumOf(formats.get(key) ?? NOT_A_KEY);
    if (key !== null) sum.used.add(key);
    sum.requests += requests;
    sum.allowed += allowed;
    sum.refused += refused;
  }
  return [...sums.values()]
    .map(({ used, ...sum }) => ({ ...sum, keysUsed: used.size }))
    .toSorted((left, right) => right.requests - left.requests);
}
