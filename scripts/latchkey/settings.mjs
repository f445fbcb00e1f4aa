import path from "node:path";
import { UsageError } from "./errors.mjs";

/**
 * Where the API is and what opens it.
 *
 * @typedef {object} Settings
 * @property {URL} base
 * @property {string} token
 * @property {string | null} workspace
 */

const DEFAULT_URL = "http://localhost:8787";
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * A token never stands on the command line, where the shell's history and every user's `ps` would show it.
 *
 * @param {{ url?: string | undefined, "token-file"?: string | undefined, workspace?: string | undefined }} flags
 * @param {import("./io.mjs").Io} io
 * @returns {Promise<Settings>}
 */
export async function readSettings(flags, io) {
  const base = readUrl(flags.url ?? io.env["LATCHKEY_URL"] ?? DEFAULT_URL);
  const isLocal = LOOPBACK.has(base.hostname) || base.hostname.endsWith(".localhost");
  if (base.protocol === "http:" && !isLocal)
    io.err(`Warning: ${base.origin} is not https; the token travels in the clear.\n`);
  const token = (await readToken(flags["token-file"], isLocal, io)).trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError("The token is empty, or holds characters that no token has.");
  return { base, token, workspace: flags.workspace ?? io.env["LATCHKEY_WORKSPACE"] ?? null };
}

/**
 * @param {string} text
 * @returns {URL}
 */
function readUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol))
    throw new UsageError("The server must be an http or https URL.");
  return url;
}

/**
 * @param {string | undefined} file
 * @param {boolean} isLocal
 * @param {import("./io.mjs").Io} io
 * @returns {Promise<string>}
 */
async function readToken(file, isLocal, io) {
  if (file === "-") return await io.readStdin();
  if (file !== undefined) {
    try {
      return await io.readFile(path.resolve(io.cwd, file));
    } catch {
      throw new UsageError(`The token file ${file} cannot be read.`);
    }
  }
  const fromEnvironment = io.env["LATCHKEY_TOKEN"] ?? io.env["LATCHKEY_ROOT_TOKEN"];
  if (fromEnvironment !== undefined && fromEnvironment !== "") return fromEnvironment;
  // The token of a local run must not be sent to some other server.
  const fromDevVars = isLocal ? await readDevVars(io) : null;
  if (fromDevVars !== null) return fromDevVars;
  throw new UsageError("No token: set LATCHKEY_TOKEN, or give --token-file FILE (- for standard input).");
}

/**
 * @param {import("./io.mjs").Io} io
 * @returns {Promise<string | null>}
 */
async function readDevVars(io) {
  let text;
  try {
    text = await io.readFile(path.join(io.cwd, ".dev.vars"));
  } catch {
    return null;
  }
  const value = /^\s*(?:export\s+)?LATCHKEY_ROOT_TOKEN\s*=\s*(.*?)\s*$/m.exec(text)?.[1];
  return value === undefined || value === "" ? null : value.replace(/^(["'])(.*)\1$/, "$2");
}
