import { z } from "@hono/zod-openapi";
import type { NewQuiet } from "../../durable-objects/alert-center/api.ts";
import { MAX_AHEAD_DAYS, MAX_SILENCE_DAYS } from "../../durable-objects/alert-center/bounds.ts";
import type { Quiet } from "../alerts/silence.ts";
import { DEFAULT_LIST_LIMIT, MAX_NOTE_CHARACTERS } from "../constants.ts";
import { newId } from "../platform/ids.ts";
import { err, ok } from "../result.ts";
import { askAlerts, showQuiet, writeAlerts } from "./alert-calls.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import type { Answer, Call } from "./operation.ts";
import { fromRegistry, invalid, NOT_FOUND } from "./problem.ts";
import type { Outcome } from "./problem.ts";
import { matcherSchema, pageOf, quietSchema } from "./schemas/alert.ts";
import { pageQuery, plainText, timeSchema } from "./schemas/common.ts";

/** `/alert-silences` and `/maintenance-windows`: what is not told for a while, who said so, and why. */

const DAY_MS = 86_400_000;

const LIST = {
  method: "get",
  scope: "alerts:read",
  tag: "Alerts",
  query: z.strictObject(pageQuery),
  write: false,
  success: { status: 200, description: "One page.", schema: pageOf(quietSchema, "AlertSilencePage") },
  problems: [],
} as const;

const ADD = {
  method: "post",
  scope: "alerts:write",
  tag: "Alerts",
  write: true,
  success: { status: 201, description: "It holds.", schema: quietSchema },
  problems: ["conflict", "idempotency_conflict"],
} as const;

const END = {
  method: "delete",
  scope: "alerts:write",
  tag: "Alerts",
  write: true,
  success: { status: 200, description: "It is over.", schema: quietSchema },
  problems: ["not_found", "idempotency_conflict"],
} as const;

const reasonSchema = plainText(MAX_NOTE_CHARACTERS).openapi({ example: "Looking into it: case 4711" });

export const listSilences = defineOperation({
  ...LIST,
  path: "/alert-silences",
  operationId: "listAlertSilences",
  summary: "List silences",
  description: "Newest first, those that are over too, for 30 days.",
  handle: (call) => list(call, "silence"),
});

export const addSilence = defineOperation({
  ...ADD,
  path: "/alert-silences",
  operationId: "addAlertSilence",
  summary: "Silence alerts from now on",
  description: `Until a time at most ${MAX_SILENCE_DAYS} days ahead. Alerts go on beginning and ending; what still fires at the end is told then.`,
  body: z.strictObject({ match: matcherSchema, until: timeSchema, reason: reasonSchema }).openapi("NewAlertSilence", {
    example: { match: { owners: ["acme"], kinds: ["spike"] }, until: "2027-01-31T12:00:00Z", reason: "Load test" },
  }),
  handle(call) {
    const { match, until, reason } = call.body;
    const quiet = { type: "silence", matcher: match, startsAt: call.now, endsAt: Date.parse(until), reason } as const;
    return add(call, quiet, "/until");
  },
});

export const endSilence = defineOperation({
  ...END,
  path: "/alert-silences/{id}",
  idPattern: /^sil_[0-9a-hjkmnp-tv-z]{26}$/,
  idExample: "sil_01jd8q3v5x9k2m4n6p8r0s2t4v",
  operationId: "endAlertSilence",
  summary: "End a silence now",
  description: "It stays in the list, with its new end.",
  handle: (call) => end(call, "silence"),
});

export const listMaintenance = defineOperation({
  ...LIST,
  path: "/maintenance-windows",
  operationId: "listMaintenanceWindows",
  summary: "List maintenance windows",
  description: "Newest first, those that are over too, for 30 days.",
  handle: (call) => list(call, "maintenance"),
});

export const addMaintenance = defineOperation({
  ...ADD,
  path: "/maintenance-windows",
  operationId: "addMaintenanceWindow",
  summary: "Plan a maintenance window",
  description: `At most ${MAX_SILENCE_DAYS} days long, and at most ${MAX_AHEAD_DAYS} ahead. In it, what matches is not told.`,
  body: z
    .strictObject({ match: matcherSchema, startsAt: timeSchema, endsAt: timeSchema, reason: reasonSchema })
    .openapi("NewMaintenanceWindow", {
      example: {
        match: {},
        startsAt: "2027-01-31T01:00:00Z",
        endsAt: "2027-01-31T03:00:00Z",
        reason: "The origin moves",
      },
    }),
  handle(call) {
    const { match, startsAt, endsAt, reason } = call.body;
    const times = { startsAt: Date.parse(startsAt), endsAt: Date.parse(endsAt) };
    return add(call, { type: "maintenance", matcher: match, ...times, reason }, "/endsAt");
  },
});

export const endMaintenance = defineOperation({
  ...END,
  path: "/maintenance-windows/{id}",
  idPattern: /^mnt_[0-9a-hjkmnp-tv-z]{26}$/,
  idExample: "mnt_01jd8q3v5x9k2m4n6p8r0s2t4v",
  operationId: "endMaintenanceWindow",
  summary: "End a maintenance window, or call it off",
  description: "It stays in the list, with its new end.",
  handle: (call) => end(call, "maintenance"),
});

async function list(
  call: Call<{ readonly limit?: number | undefined; readonly cursor?: string | undefined }, unknown>,
  type: Quiet["type"],
): Promise<Outcome<Answer>> {
  const { limit = DEFAULT_LIST_LIMIT, cursor = null } = call.query;
  const listed = await askAlerts(call, (center) => center.listQuiets(type, limit, cursor));
  if (!listed.ok) return listed;
  if (!listed.value.ok) return err(fromRegistry(listed.value.error, false));
  const { data, nextCursor } = listed.value.value;
  return ok({ status: 200, body: { data: data.map(showQuiet), nextCursor } });
}

async function add(
  call: Call<unknown, unknown>,
  quiet: Omit<NewQuiet, "id">,
  endPointer: string,
): Promise<Outcome<Answer>> {
  const { startsAt, endsAt, matcher, reason, type } = quiet;
  if (endsAt <= Math.max(startsAt, call.now)) return invalid([{ pointer: endPointer, detail: "Must be later." }]);
  if (endsAt - startsAt > MAX_SILENCE_DAYS * DAY_MS) {
    return invalid([{ pointer: endPointer, detail: `Must be at most ${MAX_SILENCE_DAYS} days after its start.` }]);
  }
  if (startsAt - call.now > MAX_AHEAD_DAYS * DAY_MS) {
    return invalid([{ pointer: "/startsAt", detail: `Must be at most ${MAX_AHEAD_DAYS} days ahead.` }]);
  }
  // Drawn here, so that the audit trail can name it before it holds.
  const id = newId(type === "silence" ? "sil_" : "mnt_", call.now);
  const after = { match: matcher, startsAt: new Date(startsAt).toISOString(), endsAt: new Date(endsAt).toISOString() };
  const audited = { action: `alert.${type}`, id, after, note: reason };
  const written = await writeAlerts(call, audited, (center, context) => center.addQuiet({ ...quiet, id }, context));
  if (!written.ok) return written;
  return ok({ status: 201, body: showQuiet(written.value.value), headers: replayHeader(written.value) });
}

async function end(call: Call<unknown, unknown>, type: Quiet["type"]): Promise<Outcome<Answer>> {
  const found = await askAlerts(call, (center) => center.getQuiet(type, call.id));
  if (!found.ok) return found;
  if (found.value === null) return err(NOT_FOUND);
  const audited = { action: `alert.${type}_end`, id: call.id, after: null, note: null };
  const written = await writeAlerts(call, audited, (center, context) => center.endQuiet(type, call.id, context));
  if (!written.ok) return written;
  return ok({ status: 200, body: showQuiet(written.value.value), headers: replayHeader(written.value) });
}
