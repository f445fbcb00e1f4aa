import { readFile } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { isatty } from "node:tty";

/**
 * Everything that the command line touches, so that a test can stand in for it.
 *
 * @typedef {object} Io
 * @property {Readonly<Record<string, string | undefined>>} env
 * @property {string} cwd
 * @property {(text: string) => void} out standard output: what was asked for, nothing else
 * @property {(text: string) => void} err standard error: everything said besides
 * @property {boolean} isTerminal whether standard output is one
 * @property {boolean} canAsk whether a question can be asked: both ends are a terminal
 * @property {number} columns width of the terminal
 * @property {typeof fetch} fetch
 * @property {(path: string) => Promise<string>} readFile
 * @property {() => Promise<string>} readStdin
 * @property {(question: string) => Promise<string>} ask
 * @property {() => number} now epoch ms
 */

const [STDIN, STDOUT, STDERR] = [0, 1, 2];
const DEFAULT_COLUMNS = 80;

/** @returns {Io} */
export function processIo() {
  return {
    env: process.env,
    cwd: process.cwd(),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: isatty(STDOUT),
    canAsk: isatty(STDIN) && isatty(STDERR),
    columns: process.stdout.columns ?? DEFAULT_COLUMNS,
    fetch: (input, init) => fetch(input, init),
    readFile: (path) => readFile(path, "utf8"),
    readStdin,
    ask,
    now: () => Date.now(),
  };
}

/** @returns {Promise<string>} */
async function readStdin() {
  process.stdin.setEncoding("utf8");
  let text = "";
  for await (const part of process.stdin) text += part;
  return text;
}

/**
 * On standard error, so that standard output holds the answer alone.
 *
 * @param {string} question
 */
async function ask(question) {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } finally {
    lines.close();
  }
}
