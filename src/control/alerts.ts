import { z } from "@hono/zod-openapi";
import { DEFAULT_LIST_LIMIT } from "../constants.ts";
import { err, ok } from "../result.ts";
import { askAlerts, showAlert, timeOf, writeAlerts } from "./alert-calls.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import type { Answer, Call } from "./operation.ts";
import { fromRegistry, NOT_FOUND } from "./problem.ts";
import type { Outcome } from "./problem.ts";
import {
  alertKindSchema,
  alertSchema,
  alertStateSchema,
  alertWithHistorySchema,
  pageOf,
  severitySchema,
} from "./schemas/alert.ts";
import { noMembersSchema, ownerIdSchema, pageQuery } from "./schemas/common.ts";

/** `/alerts`: what is wrong, since when, and who has it in hand. */

const ONE_ALERT = {
  path: "/alerts/{id}",
  idPattern: /^alt_[0-9a-hjkmnp-tv-z]{26}$/,
  idExample: "alt_01jd8q3v5x9k2m4n6p8r0s2t4v",
  tag: "Alerts",
} as const;

export const listAlerts = defineOperation({
  method: "get",
  path: "/alerts",
  scope: "alerts:read",
  operationId: "listAlerts",
  tag: "Alerts",
  summary: "List alerts",
  description:
    "Newest first. Alerts stand here whether or not anybody is told of them. Resolved ones are kept for 30 days.",
  query: z.strictObject({
    state: alertStateSchema.optional(),
    severity: severitySchema.optional(),
    kind: alertKindSchema.optional(),
    owner: ownerIdSchema.optional(),
    ...pageQuery,
  }),
  write: false,
  success: { status: 200, description: "One page.", schema: pageOf(alertSchema, "AlertPage") },
  problems: [],
  async handle(call) {
    const { limit = DEFAULT_LIST_LIMIT, cursor = null, ...filter } = call.query;
    const listed = await askAlerts(call, (center) => center.list(filter, limit, cursor));
    if (!listed.ok) return listed;
    if (!listed.value.ok) return err(fromRegistry(listed.value.error, false));
    const { data, nextCursor } = listed.value.value;
    return ok({ status: 200, body: { data: data.map((alert) => showAlert(alert, call)), nextCursor } });
  },
});

export const readAlert = defineOperation({
  ...ONE_ALERT,
  method: "get",
  scope: "alerts:read",
  operationId: "readAlert",
  summary: "Read an alert with its history",
  description: "What is wrong, with the numbers that it stands on, who was told, and what became of it.",
  write: false,
  success: { status: 200, description: "The alert.", schema: alertWithHistorySchema },
  problems: ["not_found"],
  async handle(call) {
    const found = await askAlerts(call, (center) => center.get(call.id));
    if (!found.ok) return found;
    if (found.value === null) return err(NOT_FOUND);
    const history = found.value.history.map((entry) => ({ ...entry, at: timeOf(entry.at) }));
    return ok({ status: 200, body: { ...showAlert(found.value.alert, call), history } });
  },
});

const TURN = {
  ...ONE_ALERT,
  method: "post",
  scope: "alerts:write",
  body: noMembersSchema,
  bodyRequired: false,
  write: true,
  success: { status: 200, description: "The alert.", schema: alertSchema },
  problems: ["not_found", "conflict", "idempotency_conflict"],
} as const;

export const acknowledgeAlert = defineOperation({
  ...TURN,
  path: "/alerts/{id}/acknowledge",
  operationId: "acknowledgeAlert",
  summary: "Say that somebody has it in hand",
  description:
    "It is not told again until it is over, or gets worse: then it fires anew. PagerDuty hears of it once all alerts of an incident are acknowledged. 409 for one that is resolved.",
  handle: (call) => turn(call, "acknowledge"),
});

export const resolveAlert = defineOperation({
  ...TURN,
  path: "/alerts/{id}/resolve",
  operationId: "resolveAlert",
  summary: "Say that it is over",
  description:
    "Whoever was told of it is told so. What still holds is reported again, and is then a new alert: to have quiet, make a silence.",
  handle: (call) => turn(call, "resolve"),
});

async function turn(call: Call<unknown, unknown>, to: "acknowledge" | "resolve"): Promise<Outcome<Answer>> {
  const found = await askAlerts(call, (center) => center.get(call.id));
  if (!found.ok) return found;
  if (found.value === null) return err(NOT_FOUND);
  const { kind, owner } = found.value.alert;
  const audited = { action: `alert.${to}`, id: call.id, after: { kind, owner }, note: null };
  const written = await writeAlerts(call, audited, (center, context) => center[to](call.id, context));
  if (!written.ok) return written;
  return ok({ status: 200, body: showAlert(written.value.value, call), headers: replayHeader(written.value) });
}
