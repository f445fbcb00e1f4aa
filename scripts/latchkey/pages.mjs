import { UsageError } from "./errors.mjs";

/** @typedef {import("./client.mjs").Json} Json */

const MAX_PAGES = 10_000;
const LARGEST_PAGE = "200";

/**
 * @param {unknown} value
 * @param {import("./io.mjs").Io} io
 */
export function printJson(value, io) {
  io.out(`${JSON.stringify(value, null, 2)}\n`);
}

/**
 * One page, or with `--all` every one, printed as they come; JSON in one piece.
 *
 * @param {import("./command.mjs").Context} context
 * @param {string} path
 * @param {Readonly<Record<string, string | undefined>>} query
 * @param {(rows: readonly Json[], context: import("./command.mjs").Context) => void} print
 */
export async function readPages(context, path, query, print) {
  const { client, flags, io, json, operands } = context;
  if (operands.length > 0) throw new UsageError("This command takes flags only.");
  const all = flags.has("all");
  const limit = flags.text("limit") ?? (all ? LARGEST_PAGE : undefined);
  /** @type {Json[]} */
  const rows = [];
  let cursor = flags.text("cursor");
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await client.get(path, { ...query, limit, cursor });
    rows.push(...answer["data"]);
    cursor = answer["nextCursor"] ?? undefined;
    if (!all || cursor === undefined) break;
  }
  if (json) return printJson({ data: rows, nextCursor: cursor ?? null }, io);
  print(rows, context);
  if (cursor !== undefined) io.err(`There are more: --all, or --cursor ${cursor}\n`);
}
