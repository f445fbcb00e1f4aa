import path from "node:path";
import { WRITE_OPTIONS, onlyOperand } from "./command.mjs";
import { RefusedError, UsageError } from "./errors.mjs";
import { readItems } from "./import-file.mjs";
import { printJson } from "./pages.mjs";
import { table } from "./terminal.mjs";

/** @typedef {import("./client.mjs").Json} Json */

const BATCH = 1_000;

/** @type {import("./command.mjs").Command} */
export const importKeys = {
  name: "keys import",
  operands: ["FILE"],
  summary: "bring in keys from elsewhere by their SHA-256",
  notes: `FILE is JSON (a list, or {"keys": [...]}), NDJSON or CSV; - for standard input.
CSV has a line of names: hash is required (hex, base64 or base64url); encoding, name, owner, environment, kind, scopes, plan,
tags, expiresAt, notBefore and purpose may be there. Several scopes or tags are separated by spaces.
Flags stand in for what an item does not say. Never put keys themselves in the file: only their hashes are taken.`,
  options: {
    "dry-run": { type: "boolean", help: "say what would happen; change nothing" },
    owner: { type: "string", value: "OWNER", help: "for items without one" },
    environment: { type: "string", short: "e", value: "live|test", help: "for items without one" },
    name: { type: "string", value: "TEXT", help: "for items without one" },
    scope: { type: "string", multiple: true, value: "SCOPE", help: "for items without any" },
    plan: { type: "string", value: "PLAN", help: "for items without one" },
    ...WRITE_OPTIONS,
  },
  async run(context) {
    const { client, flags, io, json } = context;
    const defaults = present({
      owner: flags.text("owner"),
      environment: flags.text("environment"),
      name: flags.text("name"),
      scopes: flags.list("scope"),
      plan: flags.text("plan"),
    });
    const items = readItems(await read(onlyOperand(context, importKeys), io)).map((item) => ({ ...defaults, ...item }));
    if (items.length === 0) throw new UsageError("The file holds no items.", importKeys.name);
    const dryRun = flags.has("dry-run");
    const repeat = flags.text("idempotency-key");
    /** @type {Json[]} */
    const results = [];
    for (let start = 0; start < items.length; start += BATCH) {
      // Each batch is a write of its own, so each has a key of its own.
      const idempotencyKey = repeat === undefined || items.length <= BATCH ? repeat : `${repeat}-${start / BATCH}`;
      const answer = await client.write("POST", "/keys/import", {
        body: { keys: items.slice(start, start + BATCH), dryRun },
        idempotencyKey,
      });
      results.push(...answer["results"].map((/** @type {Json} */ one) => ({ ...one, index: start + one["index"] })));
      if (items.length > BATCH) io.err(`${Math.min(start + BATCH, items.length)} of ${items.length}\n`);
    }
    report(results, { io, json, dryRun });
  },
};

/**
 * @param {readonly Json[]} results
 * @param {{ io: import("./io.mjs").Io, json: boolean, dryRun: boolean }} how
 */
function report(results, { io, json, dryRun }) {
  const refused = results.filter((one) => one["ok"] !== true);
  const imported = results.length - refused.length;
  if (json) printJson({ dryRun, imported, refused: refused.length, results }, io);
  else {
    if (refused.length > 0)
      io.out(
        table(
          ["item", "code", "why"],
          refused.map((one) => [one["index"], one["code"], reasons(one)]),
          io,
        ),
      );
    io.err(`${imported} ${dryRun ? "would be imported" : "imported"}, ${refused.length} refused.\n`);
  }
  if (refused.length > 0)
    throw new RefusedError(200, { code: "import_incomplete", detail: "Not every item was taken." });
}

/**
 * @param {Json} result
 * @returns {string}
 */
function reasons(result) {
  const errors = result["errors"];
  if (!Array.isArray(errors)) return String(result["detail"]);
  return errors
    .map((/** @type {Json} */ fault) => `${String(fault["pointer"]).replace(/^\/keys\/\d+/, "")} ${fault["detail"]}`)
    .join(" ");
}

/**
 * @param {string} file
 * @param {import("./io.mjs").Io} io
 */
async function read(file, io) {
  if (file === "-") return await io.readStdin();
  try {
    return await io.readFile(path.resolve(io.cwd, file));
  } catch {
    throw new UsageError(`The file ${file} cannot be read.`, importKeys.name);
  }
}

/**
 * @param {Record<string, unknown>} all
 * @returns {Record<string, unknown>}
 */
function present(all) {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
