import { GLOBAL_OPTIONS } from "./command.mjs";

/** @typedef {import("./command.mjs").Command} Command */

/**
 * @param {readonly Command[]} commands
 * @returns {string}
 */
export function overview(commands) {
  const width = Math.max(...commands.map((command) => titleOf(command).length));
  const lines = commands.map((command) => `  ${titleOf(command).padEnd(width)}  ${command.summary}`);
  return `Usage: latchkey COMMAND [options]

Issues, finds, changes, rotates and revokes API keys.

${lines.join("\n")}

${optionsOf(GLOBAL_OPTIONS)}

The token comes from LATCHKEY_TOKEN, else LATCHKEY_ROOT_TOKEN, else .dev.vars in this directory (for a server on this
machine). latchkey COMMAND --help says more of each command.

Exit codes: 0 done, 1 refused by the API, 2 wrong usage, 3 server not reached.
`;
}

/**
 * @param {Command} command
 * @returns {string}
 */
export function helpOn(command) {
  const own = Object.keys(command.options).length === 0 ? "" : `\n${optionsOf(command.options)}\n`;
  const notes = command.notes === undefined ? "" : `\n${command.notes}\n`;
  const summary = command.summary.charAt(0).toUpperCase() + command.summary.slice(1);
  return `Usage: latchkey ${titleOf(command)} [options]\n\n${summary}.\n${notes}${own}\n${optionsOf(GLOBAL_OPTIONS)}\n`;
}

/** @param {Command} command */
function titleOf(command) {
  return [command.name, ...command.operands].join(" ");
}

/** @param {import("./command.mjs").Options} options */
function optionsOf(options) {
  const left = Object.entries(options).map(
    ([name, { short, value }]) =>
      `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
  );
  const width = Math.max(...left.map((text) => text.length));
  return Object.values(options)
    .map(({ help }, index) => `  ${(left[index] ?? "").padEnd(width)}  ${help}`)
    .join("\n");
}
