import { UsageError } from "./errors.mjs";
import { WRITE_OPTIONS } from "./command.mjs";
import { printJson } from "./pages.mjs";
import { list, table } from "./terminal.mjs";

/**
 * @typedef {import("./command.mjs").Command} Command
 * @typedef {import("./command.mjs").Context} Context
 * @typedef {import("./client.mjs").Json} Json
 */

/** @type {Command} */
const signingKeys = {
  name: "signing-keys",
  operands: [],
  summary: "the keys that sign tokens",
  options: {},
  async run(context) {
    noOperands(context, signingKeys);
    printKeys(await context.client.get("/signing-keys"), context);
  },
};

/** @type {Command} */
const rotate = {
  name: "signing-keys rotate",
  operands: [],
  summary: "start the next signing key now",
  notes: "Tokens in use stay good, but with --emergency: it drops every present key, and all clients need new tokens.",
  options: {
    emergency: { type: "boolean", help: "nothing that was signed before passes any more" },
    reason: { type: "string", value: "TEXT", help: "for the log" },
    yes: { type: "boolean", short: "y", help: "do not ask" },
    ...WRITE_OPTIONS,
  },
  async run(context) {
    const { client, flags, io } = context;
    noOperands(context, rotate);
    const emergency = flags.has("emergency");
    if (emergency && io.canAsk && !flags.has("yes")) {
      const answer = await io.ask("Every token that was signed before stops working. Go on? [y/N] ");
      if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError("Nothing was rotated.");
    }
    const reason = flags.text("reason");
    const body = { emergency, ...(reason === undefined ? {} : { reason }) };
    const rotated = await client.write("POST", "/signing-keys/rotate", { body, ...flags.writing() });
    printKeys(rotated, context);
    if (!context.json && rotated["effectiveBy"] !== null)
      io.err(`No token that was signed before passes from ${rotated["effectiveBy"]} on.\n`);
  },
};

export const SIGNING_KEY_COMMANDS = [signingKeys, rotate];

/**
 * @param {Context} context
 * @param {Command} command
 */
function noOperands({ operands }, command) {
  if (operands.length > 0) throw new UsageError("This command takes flags only.", command.name);
}

/**
 * @param {Json} answer
 * @param {Context} context
 */
function printKeys(answer, { io, json }) {
  if (json) return printJson(answer, io);
  io.out(
    list(
      [
        ["signing", answer["signing"]],
        ["algorithm", answer["algorithm"]],
        ["rotates at", answer["rotatesAt"]],
      ],
      io,
    ),
  );
  const rows = answer["keys"].map((/** @type {Json} */ one) => [
    one["kid"],
    one["alg"],
    one["state"],
    one["publishedAt"],
    one["startedAt"],
    one["retiredAt"] ?? one["removedAt"],
  ]);
  io.out(`\n${table(["kid", "alg", "state", "published", "started", "ended"], rows, io)}`);
}
