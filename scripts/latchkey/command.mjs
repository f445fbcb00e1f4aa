import { parseArgs } from "node:util";
import { UsageError } from "./errors.mjs";

/**
 * @typedef {object} Option
 * @property {"string" | "boolean"} type
 * @property {boolean} [multiple]
 * @property {string} [short]
 * @property {string} [value] what stands for the value in the help
 * @property {string} help
 *
 * @typedef {Readonly<Record<string, Option>>} Options
 *
 * @typedef {object} Context
 * @property {Flags} flags
 * @property {readonly string[]} operands what was given besides flags
 * @property {import("./client.mjs").Client} client
 * @property {import("./io.mjs").Io} io
 * @property {boolean} json
 *
 * @typedef {object} Command
 * @property {string} name `keys create`
 * @property {readonly string[]} operands names of what it takes besides flags, such as `ID`
 * @property {string} summary
 * @property {string} [notes]
 * @property {Options} options
 * @property {(context: Context) => Promise<void>} run
 */

/** @type {Options} */
export const GLOBAL_OPTIONS = {
  url: { type: "string", value: "URL", help: "the server (LATCHKEY_URL; default http://localhost:8787)" },
  "token-file": { type: "string", value: "FILE", help: "read the token from a file; - for standard input" },
  workspace: { type: "string", value: "NAME", help: "with the root token: the workspace to act in" },
  json: { type: "boolean", help: "print the API's own JSON" },
  help: { type: "boolean", short: "h", help: "this text" },
};

/** @type {Options} */
export const WRITE_OPTIONS = {
  "idempotency-key": { type: "string", value: "KEY", help: "make a repeat safe; one is made where none is given" },
};

/** @type {Options} */
export const CONDITIONAL_OPTIONS = {
  ...WRITE_OPTIONS,
  "if-generation": { type: "string", value: "N", help: "only if the record still has this generation" },
};

/** Flags by name, each as what it was declared to be. */
export class Flags {
  /** @type {Readonly<Record<string, unknown>>} */
  #values;

  /** @param {Readonly<Record<string, unknown>>} values */
  constructor(values) {
    this.#values = values;
  }

  /**
   * @param {string} name
   * @returns {string | undefined}
   */
  text(name) {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  /**
   * @param {string} name
   * @returns {string[] | undefined}
   */
  list(name) {
    const value = this.#values[name];
    return Array.isArray(value) ? value.map(String) : undefined;
  }

  /** @param {string} name */
  has(name) {
    return this.#values[name] === true;
  }

  /**
   * @param {string} name
   * @param {string} command
   * @returns {string}
   */
  required(name, command) {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`${command} needs --${name}.`, command);
    return value;
  }

  /** The options of a write. */
  writing() {
    const generation = this.text("if-generation");
    if (generation !== undefined && !/^\d{1,15}$/.test(generation))
      throw new UsageError("--if-generation must be a whole number.");
    return {
      idempotencyKey: this.text("idempotency-key"),
      ifMatch: generation === undefined ? undefined : `"g${generation}"`,
    };
  }
}

/**
 * @param {Command} command
 * @param {readonly string[]} args
 * @returns {{ flags: Flags, operands: readonly string[] }}
 */
export function readArguments(command, args) {
  const declared = { ...GLOBAL_OPTIONS, ...command.options };
  const options = Object.fromEntries(
    Object.entries(declared).map(([name, { type, multiple, short }]) => [
      name,
      { type, multiple: multiple ?? false, ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { flags: new Flags(values), operands: positionals };
  } catch (error) {
    // A value could be a key or a token that was put in the wrong place, so the library's words are cut before it.
    const text = error instanceof Error ? (error.message.split(/[.\n]/, 1)[0] ?? "") : "";
    throw new UsageError(`${text}.`, command.name);
  }
}

/**
 * @param {Context} context
 * @param {Command} command
 * @returns {string} the one operand
 */
export function onlyOperand({ operands }, command) {
  const [first] = operands;
  if (first === undefined || operands.length > 1)
    throw new UsageError(`latchkey ${command.name} takes ${command.operands.join(" ")}.`, command.name);
  return first;
}
