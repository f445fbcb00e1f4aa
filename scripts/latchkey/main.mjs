import { ALERT_COMMANDS } from "./alerts.mjs";
import { Client } from "./client.mjs";
import { readArguments } from "./command.mjs";
import { RefusedError, UnreachableError, UsageError } from "./errors.mjs";
import { helpOn, overview } from "./help.mjs";
import { importKeys } from "./import.mjs";
import { KEY_COMMANDS } from "./keys.mjs";
import { OTHER_COMMANDS } from "./other-commands.mjs";
import { DETECTION_COMMANDS } from "./detections.mjs";
import { REQUEST_COMMANDS } from "./requests.mjs";
import { SIGNING_KEY_COMMANDS } from "./signing-keys.mjs";
import { readSettings } from "./settings.mjs";
import { painter } from "./terminal.mjs";

/** @typedef {import("./command.mjs").Command} Command */

/** @type {readonly Command[]} */
const COMMANDS = [
  ...KEY_COMMANDS,
  importKeys,
  ...OTHER_COMMANDS,
  ...REQUEST_COMMANDS,
  ...DETECTION_COMMANDS,
  ...ALERT_COMMANDS,
  ...SIGNING_KEY_COMMANDS,
];

const EXIT = /** @type {const} */ ({ done: 0, refused: 1, usage: 2, unreachable: 3 });

/**
 * @param {readonly string[]} args without the program's name
 * @param {import("./io.mjs").Io} io
 * @returns {Promise<number>} the exit code
 */
export async function main(args, io) {
  const wantsJson = args.includes("--json");
  try {
    return await dispatch(args, io);
  } catch (error) {
    return report(error, io, wantsJson);
  }
}

/**
 * @param {readonly string[]} args
 * @param {import("./io.mjs").Io} io
 * @returns {Promise<number>}
 */
async function dispatch(args, io) {
  const command = findCommand(args);
  if (command === null) {
    const wanted = args[0] === undefined || args[0] === "help" || args[0] === "--help" || args[0] === "-h";
    const group = COMMANDS.filter(({ name }) => name.startsWith(`${args[0]} `));
    const askedGroup = group.length > 0 && (args.includes("--help") || args.includes("-h"));
    const text = overview(group.length > 0 ? group : COMMANDS);
    if (args.length > 0 && (wanted || askedGroup)) {
      io.out(text);
      return EXIT.done;
    }
    io.err(text);
    return EXIT.usage;
  }
  const { flags, operands } = readArguments(command, args.slice(command.name.split(" ").length));
  if (flags.has("help")) {
    io.out(helpOn(command));
    return EXIT.done;
  }
  const settings = await readSettings(
    { url: flags.text("url"), "token-file": flags.text("token-file"), workspace: flags.text("workspace") },
    io,
  );
  const client = new Client(settings, io.fetch);
  await command.run({ flags, operands, client, io, json: flags.has("json") });
  return EXIT.done;
}

/**
 * The longest name that the arguments begin with: `audit verify` before `audit`.
 *
 * @param {readonly string[]} args
 * @returns {Command | null}
 */
function findCommand(args) {
  const [first = "", second = ""] = args;
  const byName = (/** @type {string} */ name) => COMMANDS.find((command) => command.name === name) ?? null;
  return byName(`${first} ${second}`) ?? byName(first);
}

/**
 * @param {unknown} error
 * @param {import("./io.mjs").Io} io
 * @param {boolean} json
 * @returns {number}
 */
function report(error, io, json) {
  const paint = painter(io);
  const say = (/** @type {string} */ text) => io.err(`${paint("31", "Error:")} ${text}\n`);
  if (error instanceof RefusedError) {
    if (json) io.err(`${JSON.stringify(error.problem, null, 2)}\n`);
    else say(describe(error));
    return EXIT.refused;
  }
  if (error instanceof UnreachableError) {
    say(error.message);
    return EXIT.unreachable;
  }
  if (error instanceof UsageError) {
    say(error.message);
    if (error.help !== undefined) io.err(`Try latchkey ${error.help} --help.\n`);
    return EXIT.usage;
  }
  throw error;
}

/** @param {RefusedError} error */
function describe({ message, problem }) {
  const code = typeof problem["code"] === "string" ? ` (${problem["code"]})` : "";
  const request = typeof problem["requestId"] === "string" ? `\n  request ${problem["requestId"]}` : "";
  const errors = Array.isArray(problem["errors"]) ? problem["errors"] : [];
  const faults = errors.map(
    (fault) => `\n  ${fault.pointer === "" ? "body" : String(fault.pointer).slice(1)}: ${fault.detail}`,
  );
  return `${message}${code}${faults.join("")}${request}`;
}
