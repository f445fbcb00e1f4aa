import { CONDITIONAL_OPTIONS, onlyOperand } from "./command.mjs";
import { RefusedError, UsageError } from "./errors.mjs";
import { printJson, readPages } from "./pages.mjs";
import { list, table } from "./terminal.mjs";
import { usageFormats } from "./usage-formats.mjs";
import { showLimit, toLimit, toObject, toPast } from "./values.mjs";

/**
 * @typedef {import("./command.mjs").Command} Command
 * @typedef {import("./command.mjs").Context} Context
 * @typedef {import("./client.mjs").Json} Json
 */

/** @type {Command} */
const ownersList = {
  name: "owners list",
  operands: [],
  summary: "who keys belong to",
  options: {
    limit: { type: "string", value: "N", help: "owners to a page (default 50, at most 200)" },
    cursor: { type: "string", value: "CURSOR", help: "the page after" },
    all: { type: "boolean", help: "every page" },
  },
  run: (context) =>
    readPages(context, "/owners", {}, (owners, { io }) => {
      if (owners.length === 0) return io.err("No owners.\n");
      const rows = owners.map((one) => [
        one["id"],
        one["name"],
        one["keys"].active,
        one["keys"].total,
        one["limits"].map(showLimit),
        one["disabledAt"] ?? null,
      ]);
      io.out(table(["id", "name", "active", "keys", "limits", "disabled"], rows, io));
    }),
};

/** @type {Command} */
const ownersShow = {
  name: "owners show",
  operands: ["OWNER"],
  summary: "an owner, and the limits that all of its keys share",
  options: {},
  async run(context) {
    printOwner(await context.client.get(ownerPath(context, ownersShow)), context);
  },
};

/** @type {Command} */
const ownersSet = {
  name: "owners set",
  operands: ["OWNER"],
  summary: "make an owner, or change one",
  notes: "What is not named stays as it is. --no-limits takes the shared limits away.",
  options: {
    name: { type: "string", value: "TEXT", help: "a name for people" },
    limit: {
      type: "string",
      multiple: true,
      value: "LIMIT",
      help: "shared by all keys: monthly=10000/month:quota; repeat for more",
    },
    "no-limits": { type: "boolean", help: "no shared limits" },
    metadata: { type: "string", value: "JSON", help: "anything of yours, as a JSON object" },
    email: { type: "string", value: "ADDRESS", help: "whom alerts about its keys go to; empty: nobody" },
    team: { type: "string", value: "TEAM", help: "as routes of alerts name it; empty: none" },
    ...CONDITIONAL_OPTIONS,
  },
  async run(context) {
    const { client, flags } = context;
    const path = ownerPath(context, ownersSet);
    const before = await ownerOrNothing(client, path);
    const metadata = flags.text("metadata");
    const body = {
      name: flags.text("name") ?? before["name"] ?? null,
      limits: flags.has("no-limits") ? [] : (flags.list("limit")?.map(toLimit) ?? before["limits"] ?? []),
      metadata: metadata === undefined ? (before["metadata"] ?? {}) : toObject(metadata, "metadata"),
      ...contactsFrom(flags, before["contacts"] ?? {}),
    };
    const given = flags.writing();
    // PUT is whole: what was read must still be so when it is put back.
    const read = typeof before["generation"] === "number" ? `"g${before["generation"]}"` : undefined;
    printOwner(await client.write("PUT", path, { body, ...given, ifMatch: given.ifMatch ?? read }), context);
  },
};

/**
 * What is not named stays; an empty text takes it away.
 *
 * @param {import("./command.mjs").Flags} flags
 * @param {Json} before
 */
function contactsFrom(flags, before) {
  const members = ["email", "team"].map((name) => [name, flags.text(name) ?? before[name] ?? ""]);
  const contacts = Object.fromEntries(members.filter(([, value]) => value !== ""));
  return Object.keys(contacts).length === 0 ? {} : { contacts };
}

/**
 * @param {"disable" | "enable"} action
 * @param {string} summary
 * @param {string} notes
 * @returns {Command}
 */
function ownersToggle(action, summary, notes) {
  /** @type {Command} */
  const command = {
    name: `owners ${action}`,
    operands: ["OWNER"],
    summary,
    notes,
    options: CONDITIONAL_OPTIONS,
    async run(context) {
      const path = `${ownerPath(context, command)}/${action}`;
      const owner = await context.client.write("POST", path, { body: {}, ...context.flags.writing() });
      printOwner(owner, context);
      if (!context.json && owner["delivery"] === "pending")
        context.io.err("It is stored, and on its way to the keys. Run the same command again to see how it stands.\n");
    },
  };
  return command;
}

const DIMENSIONS = ["key", "owner", "route", "status", "code", "country", "environment", "lineage"];
const FIGURES = ["requests", "allowed", "refused", "cost", "bytesIn", "bytesOut"];

/** @type {Command} */
const usage = {
  name: "usage",
  operands: [],
  summary: "what was asked of the API, by time and by whom",
  options: {
    from: { type: "string", value: "WHEN", help: "7d for seven days ago, a date or a time" },
    to: { type: "string", value: "WHEN", help: "the same; default now" },
    granularity: { type: "string", value: "UNIT", help: "minute, hour (default) or day" },
    "group-by": { type: "string", value: "NAMES", help: `any of ${DIMENSIONS.join(",")}` },
    ...Object.fromEntries(
      DIMENSIONS.map((name) => [
        name,
        { type: /** @type {const} */ ("string"), value: name.toUpperCase(), help: `only this ${name}` },
      ]),
    ),
  },
  async run({ client, flags, io, json, operands }) {
    if (operands.length > 0) throw new UsageError("This command takes flags only.", usage.name);
    const from = flags.text("from");
    const to = flags.text("to");
    const groupBy = flags.text("group-by");
    const report = await client.get("/usage", {
      ...Object.fromEntries(DIMENSIONS.map((name) => [name, flags.text(name)])),
      granularity: flags.text("granularity"),
      groupBy,
      from: from === undefined ? undefined : toPast(from, "from", io.now()),
      to: to === undefined ? undefined : toPast(to, "to", io.now()),
    });
    if (json) return printJson(report, io);
    const groups = (groupBy ?? "").split(",").filter((name) => name !== "");
    const rows = report["series"].map((/** @type {Json} */ row) => [
      row["start"].slice(0, 16).replace("T", " "),
      ...[...groups, ...FIGURES].map((name) => row[name]),
    ]);
    const totals = ["total", ...groups.map(() => ""), ...FIGURES.map((name) => report["totals"][name])];
    io.out(table(["start (UTC)", ...groups, ...FIGURES], [...rows, totals], io));
  },
};

/** @type {Command} */
const audit = {
  name: "audit",
  operands: [],
  summary: "who did what to which key, when, from where",
  options: {
    subject: { type: "string", value: "ID", help: "of a key or an owner" },
    actor: { type: "string", value: "ID", help: "root, or an admin key's id" },
    action: { type: "string", value: "ACTION", help: "key.create, key.revoke, …" },
    from: { type: "string", value: "WHEN", help: "7d for seven days ago, a date or a time" },
    to: { type: "string", value: "WHEN", help: "the same" },
    limit: { type: "string", value: "N", help: "entries to a page (default 50, at most 200)" },
    cursor: { type: "string", value: "CURSOR", help: "the page after" },
    all: { type: "boolean", help: "every page" },
  },
  async run(context) {
    const { flags, io } = context;
    const from = flags.text("from");
    const to = flags.text("to");
    const query = {
      subject: flags.text("subject"),
      actor: flags.text("actor"),
      action: flags.text("action"),
      from: from === undefined ? undefined : toPast(from, "from", io.now()),
      to: to === undefined ? undefined : toPast(to, "to", io.now()),
    };
    await readPages(context, "/audit", query, (entries) => {
      if (entries.length === 0) return io.err("No entries.\n");
      const rows = entries.map((one) => [
        one["sequence"],
        one["time"],
        one["action"],
        one["subject"].id,
        one["actor"].id,
        one["actor"].address,
        one["note"],
      ]);
      io.out(table(["no", "time", "action", "subject", "actor", "from", "note"], rows, io));
    });
  },
};

/** @type {Command} */
const auditVerify = {
  name: "audit verify",
  operands: [],
  summary: "recompute the trail's hash chain",
  notes: "Exit code 1 when it does not hold.",
  options: {},
  async run({ client, io, json }) {
    const found = await client.get("/audit/verify");
    if (json) printJson(found, io);
    else if (found["valid"] === true) io.out(`The chain holds: ${found["entries"]} entries, head ${found["head"]}.\n`);
    if (found["valid"] !== true)
      throw new RefusedError(200, {
        code: "audit_broken",
        detail: `The chain is broken at entry ${found["firstBadSequence"]}.`,
      });
  },
};

/** @type {Command} */
const whoami = {
  name: "whoami",
  operands: [],
  summary: "what the key or token in LATCHKEY_TOKEN is",
  notes: "Works for any key and its tokens, not for the root token, which is no key.",
  options: {},
  async run({ client, io, json }) {
    const identity = await client.get("/whoami");
    if (json) return printJson(identity, io);
    const { limits, ...rest } = identity;
    io.out(
      list(
        Object.entries(rest).filter(([, value]) => value !== null),
        io,
      ),
    );
    if (Array.isArray(limits) && limits.length > 0) {
      const rows = limits.map((/** @type {Json} */ one) => [
        one["name"],
        one["limit"],
        one["remaining"],
        one["resetSeconds"],
      ]);
      io.out(`\n${table(["limit", "units", "left", "seconds to reset"], rows, io)}`);
    }
  },
};

/** @type {readonly Command[]} */
export const OTHER_COMMANDS = [
  ownersList,
  ownersShow,
  ownersSet,
  ownersToggle("disable", "stop all keys of an owner, reversibly", "Their tokens stop with them, within seconds."),
  ownersToggle("enable", "let them work again", "Each key is what it was: one that was disabled or revoked stays so."),
  usage,
  usageFormats,
  audit,
  auditVerify,
  whoami,
];

/**
 * @param {Context} context
 * @param {Command} command
 */
function ownerPath(context, command) {
  const owner = onlyOperand(context, command);
  if (!/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/.test(owner))
    throw new UsageError("OWNER must be the name of an owner.", command.name);
  return `/owners/${encodeURIComponent(owner)}`;
}

/**
 * @param {import("./client.mjs").Client} client
 * @param {string} path
 * @returns {Promise<Json>}
 */
async function ownerOrNothing(client, path) {
  try {
    return await client.get(path);
  } catch (error) {
    if (error instanceof RefusedError && error.status === 404) return {};
    throw error;
  }
}

/**
 * @param {Json} owner
 * @param {Context} context
 */
function printOwner(owner, { io, json }) {
  if (json) return printJson(owner, io);
  io.out(
    list(
      [
        ["id", owner["id"]],
        ["name", owner["name"]],
        ["keys", `${owner["keys"].active} active of ${owner["keys"].total}`],
        ["limits", owner["limits"].map(showLimit)],
        ["metadata", owner["metadata"]],
        ["email", owner["contacts"]?.email],
        ["team", owner["contacts"]?.team],
        ...(owner["disabledAt"] === undefined ? [] : [/** @type {const} */ (["disabledAt", owner["disabledAt"]])]),
        ["generation", owner["generation"]],
      ],
      io,
    ),
  );
}
