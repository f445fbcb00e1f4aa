import { CONDITIONAL_OPTIONS, WRITE_OPTIONS, onlyOperand } from "./command.mjs";
import { UsageError } from "./errors.mjs";
import { KEY_OPTIONS, keyMembers } from "./key-flags.mjs";
import { printIssued, printKeys, printRecord, printRevoked } from "./key-output.mjs";
import { readPages } from "./pages.mjs";
import { toDeadline, toObject, toPast, toSeconds } from "./values.mjs";

/** @typedef {import("./command.mjs").Command} Command */

/** @type {import("./command.mjs").Options} */
const QUIET = { quiet: { type: "boolean", short: "q", help: "print the key alone" } };

/** @type {Command} */
const create = {
  name: "keys create",
  operands: [],
  summary: "issue a key; it is shown this once",
  notes: "Into a pipe, or with --quiet, standard output gets the key alone.",
  options: {
    owner: { type: "string", value: "OWNER", help: "whose key it is (required)" },
    environment: { type: "string", short: "e", value: "live|test", help: "required" },
    kind: { type: "string", value: "KIND", help: "secret (default), publishable or admin" },
    ...KEY_OPTIONS,
    name: { type: "string", value: "TEXT", help: "a name for people (required)" },
    ...WRITE_OPTIONS,
    ...QUIET,
  },
  async run(context) {
    const { flags, client, io } = context;
    const kind = flags.text("kind");
    const body = {
      ...keyMembers(flags, io.now()),
      name: flags.required("name", create.name),
      owner: flags.required("owner", create.name),
      environment: flags.required("environment", create.name),
      scopes: flags.list("scope") ?? [],
      ...(kind === undefined ? {} : { kind }),
    };
    printIssued(await client.write("POST", "/keys", { body, ...flags.writing() }), context);
  },
};

/** @type {Command} */
const list = {
  name: "keys list",
  operands: [],
  summary: "find keys",
  options: {
    owner: { type: "string", value: "OWNER", help: "of this owner" },
    environment: { type: "string", short: "e", value: "live|test", help: "of this environment" },
    status: { type: "string", value: "STATUS", help: "active, rotating, disabled, expired or revoked" },
    kind: { type: "string", value: "KIND", help: "secret, publishable, admin or workload" },
    scope: { type: "string", value: "SCOPE", help: "that hold this scope" },
    tag: { type: "string", value: "TAG", help: "with this tag" },
    plan: { type: "string", value: "PLAN", help: "on this plan" },
    "expires-before": { type: "string", value: "WHEN", help: "30d from now, a date or a time" },
    "last-used-before": { type: "string", value: "WHEN", help: "90d ago, a date or a time; also those never used" },
    "created-after": { type: "string", value: "WHEN", help: "7d for seven days ago, a date or a time" },
    query: { type: "string", value: "WORDS", help: "words of name, owner or purpose, or the start of an id or hint" },
    limit: { type: "string", value: "N", help: "keys to a page (default 50, at most 200)" },
    cursor: { type: "string", value: "CURSOR", help: "the page after" },
    all: { type: "boolean", help: "every page" },
  },
  async run(context) {
    const { flags, io } = context;
    const expires = flags.text("expires-before");
    const used = flags.text("last-used-before");
    const created = flags.text("created-after");
    const query = {
      ...Object.fromEntries(
        ["owner", "environment", "status", "kind", "scope", "tag", "plan"].map((name) => [name, flags.text(name)]),
      ),
      q: flags.text("query"),
      expiresBefore: expires === undefined ? undefined : (toDeadline(expires, "expires-before", io.now()) ?? undefined),
      lastUsedBefore: used === undefined ? undefined : toPast(used, "last-used-before", io.now()),
      createdAfter: created === undefined ? undefined : toPast(created, "created-after", io.now()),
    };
    await readPages(context, "/keys", query, printKeys);
  },
};

/** @type {Command} */
const show = {
  name: "keys show",
  operands: ["ID"],
  summary: "everything about a key but the key",
  options: {},
  async run(context) {
    printRecord(await context.client.get(`/keys/${id(context, show)}`), context);
  },
};

/** @type {Command} */
const update = {
  name: "keys update",
  operands: ["ID"],
  summary: "change a key",
  notes: "Only what is named changes; a list that is named is replaced. --patch takes any JSON merge patch.",
  options: {
    ...KEY_OPTIONS,
    patch: { type: "string", value: "JSON", help: "a JSON merge patch, applied over the other flags" },
    ...CONDITIONAL_OPTIONS,
  },
  async run(context) {
    const { flags, client, io } = context;
    const patch = flags.text("patch");
    const body = { ...keyMembers(flags, io.now()), ...(patch === undefined ? {} : toObject(patch, "patch")) };
    if (Object.keys(body).length === 0) throw new UsageError("Nothing to change was named.", update.name);
    printRecord(await client.write("PATCH", `/keys/${id(context, update)}`, { body, ...flags.writing() }), context);
  },
};

/** @type {Command} */
const rotate = {
  name: "keys rotate",
  operands: ["ID"],
  summary: "replace a key; the old one goes on for the overlap",
  notes: "Limits go on counting where they are. Into a pipe, or with --quiet, standard output gets the new key alone.",
  options: {
    overlap: {
      type: "string",
      value: "DURATION",
      help: "how long the old key goes on working (default 24h); 0 ends it at once",
    },
    expires: { type: "string", value: "WHEN", help: "of the new key; as for create" },
    ...CONDITIONAL_OPTIONS,
    ...QUIET,
  },
  async run(context) {
    const { flags, client, io } = context;
    const overlap = flags.text("overlap");
    const expires = flags.text("expires");
    const body = {
      ...(overlap === undefined ? {} : { overlapSeconds: toSeconds(overlap, "overlap") }),
      ...(expires === undefined ? {} : { expiresAt: toDeadline(expires, "expires", io.now()) }),
    };
    printIssued(
      await client.write("POST", `/keys/${id(context, rotate)}/rotate`, { body, ...flags.writing() }),
      context,
    );
  },
};

/** @type {Command} */
const revoke = {
  name: "keys revoke",
  operands: ["ID"],
  summary: "stop a key everywhere, for good",
  notes: "Asks first when there is a terminal to ask on.",
  options: {
    reason: { type: "string", value: "REASON", help: "leaked, retired, compromised, policy or other (required)" },
    note: { type: "string", value: "TEXT", help: "for the audit trail" },
    yes: { type: "boolean", short: "y", help: "do not ask" },
    ...CONDITIONAL_OPTIONS,
  },
  async run(context) {
    const { flags, client, io } = context;
    const keyId = id(context, revoke);
    const reason = flags.required("reason", revoke.name);
    if (io.canAsk && !flags.has("yes")) {
      const { hint, name, owner } = await client.get(`/keys/${keyId}`);
      const answer = await io.ask(`Revoke ${hint} (${name}, of ${owner}) for good? [y/N] `);
      if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError("Nothing was revoked.");
    }
    const note = flags.text("note");
    const body = { reason, ...(note === undefined ? {} : { note }) };
    printRevoked(await client.write("POST", `/keys/${keyId}/revoke`, { body, ...flags.writing() }), context);
  },
};

/**
 * @param {"disable" | "enable"} action
 * @param {string} summary
 * @returns {Command}
 */
function toggle(action, summary) {
  /** @type {Command} */
  const command = {
    name: `keys ${action}`,
    operands: ["ID"],
    summary,
    options: CONDITIONAL_OPTIONS,
    async run(context) {
      const path = `/keys/${id(context, command)}/${action}`;
      printRecord(await context.client.write("POST", path, { body: {}, ...context.flags.writing() }), context);
    },
  };
  return command;
}

/** @type {readonly Command[]} */
export const KEY_COMMANDS = [
  create,
  list,
  show,
  update,
  rotate,
  revoke,
  toggle("disable", "stop a key, reversibly"),
  toggle("enable", "let a disabled key work again"),
];

/**
 * @param {import("./command.mjs").Context} context
 * @param {Command} command
 * @returns {string} fit for a path; what is not an id may be a key that was pasted, so it is not sent
 */
function id(context, command) {
  const text = onlyOperand(context, command);
  if (!/^key_[0-9a-z]{26}$/.test(text))
    throw new UsageError("ID must be a key's id, key_…, as shown by latchkey keys list.", command.name);
  return text;
}
