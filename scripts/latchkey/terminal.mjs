/** What a terminal shows: tables that fit, and colours where they are welcome. */

const GAP = "  ";
const LEAST_COLUMN = 6;

/** @type {Readonly<Record<string, string>>} */
const STATUS_COLOURS = { active: "32", rotating: "33", disabled: "33", expired: "90", revoked: "31" };

/**
 * @param {import("./io.mjs").Io} io
 * @returns {(code: string, text: string) => string}
 */
export function painter(io) {
  const { NO_COLOR: noColor, TERM: terminal } = io.env;
  const wanted = io.isTerminal && (noColor === undefined || noColor === "") && terminal !== "dumb";
  return (code, text) => (wanted ? `\u001b[${code}m${text}\u001b[0m` : text);
}

/**
 * A table no wider than the terminal: the widest columns give way first. Without a terminal nothing is cut.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly unknown[])[]} rows
 * @param {import("./io.mjs").Io} io
 * @returns {string}
 */
export function table(head, rows, io) {
  const cells = rows.map((row) => row.map(show));
  const natural = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)));
  const widths = io.isTerminal ? fit(natural, io.columns - GAP.length * (head.length - 1)) : natural;
  const paint = painter(io);
  const line = (/** @type {readonly string[]} */ row) =>
    row.map((cell, column) => cut(cell, widths[column] ?? cell.length));
  const title = paint(
    "1",
    line(head.map((text) => text.toUpperCase()))
      .join(GAP)
      .trimEnd(),
  );
  const body = cells.map((row) =>
    line(row)
      .map((cell) => {
        const colour = STATUS_COLOURS[cell.trim()];
        return colour === undefined ? cell : paint(colour, cell);
      })
      .join(GAP)
      .trimEnd(),
  );
  return `${[title, ...body].join("\n")}\n`;
}

/**
 * Names and values, one to a line.
 *
 * @param {readonly (readonly [string, unknown])[]} fields
 * @param {import("./io.mjs").Io} io
 * @returns {string}
 */
export function list(fields, io) {
  const paint = painter(io);
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields
    .map(([name, value]) => {
      const text = show(value);
      const colour = STATUS_COLOURS[text];
      return `${paint("1", name.padEnd(width))}${GAP}${colour === undefined ? text : paint(colour, text)}\n`;
    })
    .join("");
}

/**
 * @param {readonly number[]} natural
 * @param {number} room
 * @returns {readonly number[]}
 */
function fit(natural, room) {
  const widths = [...natural];
  for (let total = sum(widths); total > room; total -= 1) {
    const widest = widths.indexOf(Math.max(...widths));
    if ((widths[widest] ?? 0) <= LEAST_COLUMN) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

/** @param {readonly number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/**
 * @param {string} text
 * @param {number} width
 */
function cut(text, width) {
  return text.length <= width ? text.padEnd(width) : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/**
 * Text that a terminal cannot mistake for a command.
 *
 * @param {unknown} value
 * @returns {string}
 */
function show(value) {
  const plain = toText(value);
  return plain === "" ? "-" : plain.replace(/\p{Cc}/gu, "?");
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function toText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(" ");
  return JSON.stringify(value);
}
