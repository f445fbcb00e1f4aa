import { UsageError } from "./errors.mjs";

/** Files of hashes: JSON, NDJSON or CSV, told apart by how they begin. */

/** @typedef {Record<string, unknown>} Item */

const LISTS = new Set(["scopes", "tags"]);
const PLAIN = new Set(["name", "owner", "environment", "kind", "plan", "expiresAt", "notBefore", "purpose"]);

/**
 * @param {string} text
 * @returns {readonly Item[]} as the API takes them; hashes that are texts become objects
 */
export function readItems(text) {
  const trimmed = text.replace(/^\uFEFF/, "").trim();
  if (trimmed === "") return [];
  if (trimmed.startsWith("[")) return toItems(parse(trimmed, "The file"));
  if (!trimmed.startsWith("{")) return readCsv(trimmed);
  const lines = trimmed.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length > 1 && isJson(lines[0] ?? ""))
    return lines.map((line, index) => toItem(parse(line, `Line ${index + 1}`)));
  const whole = parse(trimmed, "The file");
  const keys = typeof whole === "object" && whole !== null && "keys" in whole ? whole.keys : [whole];
  return toItems(keys);
}

/**
 * @param {unknown} value
 * @returns {readonly Item[]}
 */
function toItems(value) {
  if (!Array.isArray(value)) throw new UsageError("The file holds no list of items.");
  return value.map(toItem);
}

/**
 * @param {unknown} value
 * @returns {Item}
 */
function toItem(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError("Each item must be an object.");
  const item = /** @type {Item} */ (value);
  const { hash } = item;
  return typeof hash === "string" ? { ...item, hash: toHash(hash, undefined) } : item;
}

/**
 * Which encoding a hash has: 64 hex digits are hex, `+` or `/` make it base64, the rest is base64url.
 *
 * @param {string} value
 * @param {string | undefined} encoding
 */
function toHash(value, encoding) {
  const guessed = /^[0-9a-f]{64}$/i.test(value) ? "hex" : /[+/]/.test(value) ? "base64" : "base64url";
  return { algorithm: "sha256", encoding: encoding ?? guessed, value };
}

/**
 * @param {string} text
 * @returns {readonly Item[]}
 */
function readCsv(text) {
  const [head, ...rows] = splitCsv(text);
  const names = (head ?? []).map((name) => name.trim());
  if (!names.includes("hash"))
    throw new UsageError("The file is neither JSON nor NDJSON, and as CSV it has no column called hash.");
  const unknown = names.find((name) => name !== "hash" && name !== "encoding" && !LISTS.has(name) && !PLAIN.has(name));
  if (unknown !== undefined)
    throw new UsageError("The CSV has a column that is not known; see latchkey keys import --help.");
  return rows.map((row, index) => {
    if (row.length !== names.length)
      throw new UsageError(`Line ${index + 2} has ${row.length} fields instead of ${names.length}.`);
    const fields = Object.fromEntries(names.map((name, column) => [name, (row[column] ?? "").trim()]));
    /** @type {Item} */
    const item = { hash: toHash(fields["hash"] ?? "", fields["encoding"] || undefined) };
    for (const name of names) {
      const value = fields[name] ?? "";
      if (value === "") continue;
      if (LISTS.has(name)) item[name] = value.split(/\s+/);
      else if (PLAIN.has(name)) item[name] = value;
    }
    return item;
  });
}

/**
 * RFC 4180: fields in double quotes may hold commas, line ends and doubled quotes.
 *
 * @param {string} text
 * @returns {readonly (readonly string[])[]}
 */
function splitCsv(text) {
  /** @type {string[][]} */
  const rows = [[]];
  // A field, and what ends it. Sticky, so that nothing is skipped.
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  for (let match = field.exec(text); match !== null; match = field.exec(text)) {
    const [, quoted, bare = "", end = ""] = match;
    rows.at(-1)?.push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    if (field.lastIndex >= text.length && end !== ",") return rows;
    if (end !== ",") rows.push([]);
  }
  throw new UsageError(`Line ${rows.length} of the CSV has a quote where none can stand.`);
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {string} text
 * @param {string} where
 * @returns {unknown}
 */
function parse(text, where) {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's words quote the file, which might hold a key by mistake.
    throw new UsageError(`${where} is not valid JSON.`);
  }
}
