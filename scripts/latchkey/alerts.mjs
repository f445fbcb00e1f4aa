import { UsageError } from "./errors.mjs";
import { onlyOperand, WRITE_OPTIONS } from "./command.mjs";
import { printJson, readPages } from "./pages.mjs";
import { list, table } from "./terminal.mjs";
import { toDeadline } from "./values.mjs";

/**
 * @typedef {import("./command.mjs").Command} Command
 * @typedef {import("./command.mjs").Context} Context
 * @typedef {import("./client.mjs").Json} Json
 */

/** @type {import("./command.mjs").Options} */
const PAGES = {
  limit: { type: "string", value: "N", help: "entries to a page (default 50, at most 200)" },
  cursor: { type: "string", value: "CURSOR", help: "the page after" },
  all: { type: "boolean", help: "every page" },
};

/** @type {Command} */
const alerts = {
  name: "alerts",
  operands: [],
  summary: "what is wrong, and who has it in hand",
  notes: "Newest first; resolved ones for 30 days.",
  options: {
    state: { type: "string", value: "STATE", help: "firing, acknowledged, silenced or resolved" },
    severity: { type: "string", value: "SEVERITY", help: "page, ticket or notice" },
    kind: { type: "string", value: "KIND", help: "spike, key_expiring, …" },
    owner: { type: "string", value: "OWNER", help: "whose keys it is about" },
    ...PAGES,
  },
  run(context) {
    const names = ["state", "severity", "kind", "owner"];
    const query = Object.fromEntries(names.map((name) => [name, context.flags.text(name)]));
    return readPages(context, "/alerts", query, (found, { io }) => {
      if (found.length === 0) return io.err("No alerts.\n");
      const rows = found.map((one) => [
        one["id"],
        one["severity"],
        one["state"],
        one["kind"],
        one["owner"],
        one["startedAt"],
        one["subjects"][0]?.summary ?? one["title"],
      ]);
      io.out(table(["id", "severity", "state", "kind", "owner", "since", "what"], rows, io));
    });
  },
};

/** @type {Command} */
const show = {
  name: "alerts show",
  operands: ["ID"],
  summary: "one alert: what it stands on, who was told, and what became of it",
  options: {},
  async run(context) {
    printAlert(await context.client.get(`/alerts/${idOf(context, show)}`), context);
  },
};

/**
 * @param {"acknowledge" | "resolve"} action
 * @param {string} summary
 * @param {string} notes
 * @returns {Command}
 */
function turn(action, summary, notes) {
  /** @type {Command} */
  const command = {
    name: `alerts ${action}`,
    operands: ["ID"],
    summary,
    notes,
    options: WRITE_OPTIONS,
    async run(context) {
      const path = `/alerts/${idOf(context, command)}/${action}`;
      printAlert(await context.client.write("POST", path, { body: {}, ...context.flags.writing() }), context);
    },
  };
  return command;
}

/** @type {Command} */
const silence = {
  name: "alerts silence",
  operands: [],
  summary: "tell nobody of some alerts for a while",
  notes: "All that is named must hold. What still fires at the end is told then. --everything silences all.",
  options: {
    owner: { type: "string", multiple: true, value: "OWNER", help: "alerts about its keys; repeat for more" },
    team: { type: "string", multiple: true, value: "TEAM", help: "alerts of this team" },
    kind: { type: "string", multiple: true, value: "KIND", help: "alerts of this kind" },
    severity: { type: "string", multiple: true, value: "SEVERITY", help: "page, ticket or notice" },
    everything: { type: "boolean", help: "every alert" },
    until: { type: "string", value: "WHEN", help: "2h for in two hours, a date or a time; at most 28 days" },
    reason: { type: "string", value: "TEXT", help: "why, for those who come after you" },
    ...WRITE_OPTIONS,
  },
  async run(context) {
    const { client, flags, io, operands, json } = context;
    if (operands.length > 0) throw new UsageError("This command takes flags only.", silence.name);
    const named = { owners: "owner", teams: "team", kinds: "kind", severities: "severity" };
    const match = Object.fromEntries(
      Object.entries(named).flatMap(([member, flag]) => {
        const values = flags.list(flag);
        return values === undefined ? [] : [[member, values]];
      }),
    );
    if ((Object.keys(match).length === 0) !== flags.has("everything"))
      throw new UsageError("Say which alerts, or --everything, and not both.", silence.name);
    const until = toDeadline(flags.required("until", silence.name), "until", io.now());
    const body = { match, until, reason: flags.required("reason", silence.name) };
    const made = await client.write("POST", "/alert-silences", { body, ...flags.writing() });
    if (json) printJson(made, io);
    else io.out(`${made["id"]} until ${made["endsAt"]}\n`);
  },
};

/** @type {Command} */
const test = {
  name: "alerts test",
  operands: ["CHANNEL"],
  summary: "send a test message to a channel",
  options: {
    owner: { type: "string", value: "OWNER", help: "for channels that go to owners: whose address" },
    ...WRITE_OPTIONS,
  },
  async run(context) {
    const { client, flags, io, json } = context;
    const channel = onlyOperand(context, test);
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(channel))
      throw new UsageError("CHANNEL must be the name of a channel.", test.name);
    const owner = flags.text("owner");
    const body = owner === undefined ? {} : { owner };
    const made = await client.write("POST", `/alert-channels/${channel}/test`, { body, ...flags.writing() });
    if (json) printJson(made, io);
    else io.out(`${made["id"]} is on its way: latchkey alerts deliveries --channel ${channel}\n`);
  },
};

/** @type {Command} */
const deliveries = {
  name: "alerts deliveries",
  operands: [],
  summary: "messages that were sent, and what became of them",
  options: {
    channel: { type: "string", value: "CHANNEL", help: "only this channel" },
    state: { type: "string", value: "STATE", help: "pending, delivered, failed or dropped" },
    ...PAGES,
  },
  run(context) {
    const query = { channel: context.flags.text("channel"), state: context.flags.text("state") };
    return readPages(context, "/alert-deliveries", query, (found, { io }) => {
      if (found.length === 0) return io.err("No messages.\n");
      const rows = found.map((one) => [
        one["id"],
        one["createdAt"],
        one["channel"],
        one["state"],
        one["attempts"],
        one["lastError"],
        one["nextAt"],
      ]);
      io.out(table(["id", "made", "channel", "state", "attempts", "error", "next"], rows, io));
    });
  },
};

/** @type {readonly Command[]} */
export const ALERT_COMMANDS = [
  alerts,
  show,
  turn("acknowledge", "say that somebody has it in hand", "It is not told again until it is over, or gets worse."),
  turn("resolve", "say that it is over", "What still holds is reported again, and is then a new alert."),
  silence,
  test,
  deliveries,
];

/**
 * @param {Context} context
 * @param {Command} command
 */
function idOf(context, command) {
  const id = onlyOperand(context, command);
  if (!/^alt_[0-9a-z]{26}$/.test(id)) throw new UsageError("ID must be the id of an alert: alt_…", command.name);
  return id;
}

/**
 * @param {Json} alert
 * @param {Context} context
 */
function printAlert(alert, { io, json }) {
  if (json) return printJson(alert, io);
  const by = (/** @type {Json | null} */ mark) => (mark === null ? null : `${mark["at"]} by ${mark["by"]}`);
  io.out(
    list(
      [
        ["id", alert["id"]],
        ["what", alert["title"]],
        ["severity", alert["severity"]],
        ["state", alert["state"]],
        ["owner", alert["owner"]],
        ["since", alert["startedAt"]],
        ["acknowledged", by(alert["acknowledged"])],
        ["resolved", by(alert["resolved"])],
        ["told", alert["told"].map((/** @type {Json} */ one) => one["destination"])],
        ["runbook", alert["runbook"]],
      ],
      io,
    ),
  );
  const rows = alert["subjects"].map((/** @type {Json} */ one) => [one["subject"], one["since"], one["summary"]]);
  if (rows.length > 0) io.out(`\n${table(["subject", "since", "what"], rows, io)}`);
  if (alert["moreSubjects"] > 0) io.out(`and about ${alert["moreSubjects"]} more\n`);
}
