import { onlyOperand } from "./command.mjs";
import { UsageError } from "./errors.mjs";
import { printJson, readPages } from "./pages.mjs";
import { list, table } from "./terminal.mjs";
import { toPast } from "./values.mjs";

/**
 * @typedef {import("./command.mjs").Command} Command
 * @typedef {import("./command.mjs").Context} Context
 * @typedef {import("./client.mjs").Json} Json
 */

/** Of the time that is asked about; `toPast` reads both. */
const TIMES = /** @type {const} */ ({
  from: { type: "string", value: "TIME", help: "from then on: 2h, 7d, or a time (default a day before --to)" },
  to: { type: "string", value: "TIME", help: "until then (default now)" },
});

/** @param {Context} context */
function timesOf({ flags, io }) {
  const from = flags.text("from");
  const to = flags.text("to");
  return {
    from: from === undefined ? undefined : toPast(from, "from", io.now()),
    to: to === undefined ? undefined : toPast(to, "to", io.now()),
  };
}

/** @type {Command} */
const requests = {
  name: "requests",
  operands: [],
  summary: "refused requests, and a sample of the others",
  notes: "Newest first. latchkey requests explain ID says why one was refused.",
  options: {
    key: { type: "string", value: "ID", help: "of this key" },
    owner: { type: "string", value: "OWNER", help: "of this owner's keys" },
    code: { type: "string", value: "CODE", help: "allowed, key_revoked, scope_insufficient, …" },
    status: { type: "string", value: "STATUS", help: "HTTP status" },
    ...TIMES,
    limit: { type: "string", value: "N", help: "requests to a page (default 50, at most 200)" },
    cursor: { type: "string", value: "CURSOR", help: "the page after" },
    all: { type: "boolean", help: "every page" },
  },
  run(context) {
    const named = Object.fromEntries(
      ["key", "owner", "code", "status"].map((name) => [name, context.flags.text(name)]),
    );
    return readPages(context, "/requests", { ...named, ...timesOf(context) }, (found, { io }) => {
      if (found.length === 0) return io.err("No requests.\n");
      const rows = found.map((one) => [
        one["requestId"],
        one["time"],
        one["status"],
        one["code"],
        one["method"],
        one["route"],
        one["hint"],
        one["owner"],
      ]);
      io.out(table(["id", "time", "status", "code", "method", "route", "key", "owner"], rows, io));
    });
  },
};

const REQUEST_ID = /^req_[0-9a-z]{26}$/;

/** @type {Command} */
const explain = {
  name: "requests explain",
  operands: ["ID"],
  summary: "why a request was refused, check by check, and what would have to change",
  notes: "The id is in X-Request-Id of each answer, and in requestId of each refusal.",
  options: {},
  async run(context) {
    const id = onlyOperand(context, explain);
    if (!REQUEST_ID.test(id)) throw new UsageError("A request's id looks like req_01jd8q3v5x9k2m4n6p8r0s2t4v.");
    const request = await context.client.get(`/requests/${id}`);
    if (context.json) printJson(request, context.io);
    else printRequest(request, context);
  },
};

/**
 * @param {Json} request
 * @param {Context} context
 */
function printRequest(request, { io }) {
  const { explanation, timing, lease, record } = request;
  /** @type {readonly (readonly [string, unknown])[]} */
  const why =
    explanation === null
      ? []
      : [
          ["why", explanation.why],
          ["change", explanation.change],
          ["operator", explanation.operator],
        ];
  io.out(
    list(
      [
        ["id", request["requestId"]],
        ["time", request["time"]],
        ["answer", `${request["status"]} ${request["code"]}`],
        ...why,
        ["request", `${request["method"]} ${request["route"] ?? "on no route"}`],
        ["key", request["keyId"] === null ? null : `${request["keyId"]} (${request["hint"]})`],
        ["owner", request["owner"]],
        ["record", record === null ? null : `${record.from}, ${record.ageMs} ms old`],
        [
          "lease",
          lease === null
            ? null
            : `${lease.from ?? "nobody asked"}${lease.ageMs === null ? "" : `, ${lease.ageMs} ms old`}`,
        ],
        ["times", `${timing.totalMs} ms: ${timing.authMs} to decide, ${timing.upstreamMs ?? 0} upstream`],
        ["trace", request["traceId"]],
      ],
      io,
    ),
  );
  const checks = request["checks"].filter((/** @type {Json} */ one) => one["answer"] !== "not_needed");
  const rows = checks.map((/** @type {Json} */ one) => [
    one["check"],
    one["answer"],
    one["note"] ?? inputText(one["input"]),
  ]);
  io.out(`\n${table(["check", "answer", "what"], rows, io)}`);
}

/** @param {Json} input */
function inputText(input) {
  return Object.entries(input)
    .filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

/** @type {Command} */
const measures = {
  name: "measures",
  operands: [],
  summary: "how well keys work and are looked after, in sixteen figures",
  notes: "Definitions and single keys are in --json.",
  options: { ...TIMES },
  async run(context) {
    if (context.operands.length > 0) throw new UsageError("This command takes flags only.");
    const answer = await context.client.get("/measures", timesOf(context));
    if (context.json) return printJson(answer, context.io);
    const rows = answer["measures"].map((/** @type {Json} */ one) => [
      one["id"],
      one["name"],
      one["value"] === null ? null : Number(one["value"].toPrecision(6)),
      one["unit"],
      targetText(one["target"]),
      one["met"] === null ? one["why"] : one["met"] ? "met" : "not met",
    ]);
    context.io.out(table(["id", "measure", "value", "unit", "target", "state"], rows, context.io));
  },
};

/** @param {Json | null} target */
function targetText(target) {
  if (target === null) return null;
  return "atLeast" in target ? `at least ${target["atLeast"]}` : `at most ${target["atMost"]}`;
}

/** @type {readonly Command[]} */
export const REQUEST_COMMANDS = [requests, explain, measures];
