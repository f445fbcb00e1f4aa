import { printJson } from "./pages.mjs";
import { list, painter, table } from "./terminal.mjs";
import { showLimit } from "./values.mjs";

/**
 * @typedef {import("./client.mjs").Json} Json
 * @typedef {import("./command.mjs").Context} Context
 */

/**
 * @param {readonly Json[]} records
 * @param {Context} context
 */
export function printKeys(records, { io }) {
  if (records.length === 0) return io.err("No keys.\n");
  const rows = records.map((one) => [
    one["id"],
    one["status"],
    one["name"],
    one["owner"],
    one["environment"],
    one["hint"],
    one["scopes"],
    day(one["expiresAt"]),
    day(one["lastUsedAt"]),
  ]);
  io.out(table(["id", "status", "name", "owner", "env", "key", "scopes", "expires", "last used"], rows, io));
}

/**
 * @param {Json} record
 * @param {Context} context
 */
export function printRecord(record, { io, json }) {
  if (json) return printJson(record, io);
  io.out(list(fieldsOf(record), io));
}

/**
 * The one time that a key is seen. Into a pipe goes the key alone, so that it can go straight into a secrets manager.
 *
 * @param {Json} record
 * @param {Context} context
 */
export function printIssued(record, { flags, io, json }) {
  if (json) return printJson(record, io);
  const key = record["key"];
  if (typeof key !== "string") {
    io.err("This was done before under the same --idempotency-key; the key was shown then, and is not shown again.\n");
    io.err(list(fieldsOf(record), io));
    return;
  }
  if (flags.has("quiet")) return io.out(`${key}\n`);
  if (!io.isTerminal) {
    io.err(list(fieldsOf(record), io));
    return io.out(`${key}\n`);
  }
  const paint = painter(io);
  io.out(list(fieldsOf(record), io));
  io.out(`\n${paint("1", "The key, shown this once:")}\n\n  ${paint("36", key)}\n\n`);
}

/**
 * @param {Json} record
 * @param {Context} context
 */
export function printRevoked(record, { io, json }) {
  if (json) return printJson(record, io);
  const when =
    record["delivery"] === "delivered"
      ? `No request passes anywhere after ${record["effectiveBy"]}.`
      : "It is stored, and will reach the gateways as soon as the key's meter answers; it is tried until then.";
  io.out(`Revoked ${record["hint"]} (${record["id"]}) at ${record["revokedAt"]}.\n${when}\n`);
}

/**
 * @param {Json} record
 * @returns {readonly (readonly [string, unknown])[]}
 */
function fieldsOf(record) {
  const always = ["id", "status", "name", "owner", "environment", "kind", "scopes"];
  const whenSet = [
    "ownStatus",
    "plan",
    "purpose",
    "tags",
    "notBefore",
    "expiresAt",
    "notAfter",
    "rotatedFrom",
    "revokedAt",
    "revokedReason",
  ];
  return [
    ...always.map((name) => /** @type {const} */ ([name, record[name]])),
    ["key", record["hint"]],
    ...whenSet.filter((name) => isSet(record[name])).map((name) => /** @type {const} */ ([name, record[name]])),
    ...(isSet(record["limits"]) ? [/** @type {const} */ (["limits", record["limits"].map(showLimit)])] : []),
    ...["bindings", "policy", "metadata"]
      .filter((name) => isSet(record[name]))
      .map((name) => /** @type {const} */ ([name, record[name]])),
    ["created", `${record["createdAt"]} by ${record["createdBy"]}`],
    ["lastUsedAt", record["lastUsedAt"]],
    ["generation", record["generation"]],
  ];
}

/** @param {unknown} value */
function isSet(value) {
  if (value === null || value === undefined) return false;
  return typeof value !== "object" || Object.keys(value).length > 0;
}

/** @param {unknown} time */
function day(time) {
  return typeof time === "string" ? time.slice(0, 10) : null;
}
