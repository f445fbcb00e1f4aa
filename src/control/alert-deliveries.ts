import { z } from "@hono/zod-openapi";
import { settingsOf } from "../alerts/config.ts";
import { goesToOwners } from "../alerts/routing.ts";
import { DEFAULT_LIST_LIMIT } from "../constants.ts";
import { err, ok } from "../result.ts";
import { askAlerts, showDelivery, writeAlerts } from "./alert-calls.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import { fromRegistry, invalid, NOT_FOUND } from "./problem.ts";
import { deliverySchema, pageOf } from "./schemas/alert.ts";
import { noMembersSchema, ownerIdSchema, pageQuery } from "./schemas/common.ts";

/** `/alert-deliveries`: every message, and what became of it. `/alert-channels/{name}/test`: whether a channel works. */

const CHANNEL_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const listDeliveries = defineOperation({
  method: "get",
  path: "/alert-deliveries",
  scope: "alerts:read",
  operationId: "listAlertDeliveries",
  tag: "Alerts",
  summary: "List messages and their delivery",
  description: "Newest first. Finished ones are kept for 30 days, 5,000 at the most. Never an address or a secret.",
  query: z.strictObject({
    channel: z.string().regex(CHANNEL_PATTERN, "Must be the name of a channel.").optional(),
    state: z.enum(["pending", "delivered", "failed", "dropped"]).optional(),
    ...pageQuery,
  }),
  write: false,
  success: { status: 200, description: "One page.", schema: pageOf(deliverySchema, "AlertDeliveryPage") },
  problems: [],
  async handle(call) {
    const { limit = DEFAULT_LIST_LIMIT, cursor = null, ...filter } = call.query;
    const listed = await askAlerts(call, (center) => center.listDeliveries(filter, limit, cursor));
    if (!listed.ok) return listed;
    if (!listed.value.ok) return err(fromRegistry(listed.value.error, false));
    const { data, nextCursor } = listed.value.value;
    return ok({ status: 200, body: { data: data.map(showDelivery), nextCursor } });
  },
});

export const replayDelivery = defineOperation({
  method: "post",
  path: "/alert-deliveries/{id}/replay",
  idPattern: /^dlv_[0-9a-hjkmnp-tv-z]{26}$/,
  idExample: "dlv_01jd8q3v5x9k2m4n6p8r0s2t4v",
  scope: "alerts:write",
  operationId: "replayAlertDelivery",
  tag: "Alerts",
  summary: "Send a message again",
  description:
    "The same message with the same id, by what the channel's configuration says now. 409 while it is still being delivered.",
  body: noMembersSchema,
  bodyRequired: false,
  write: true,
  success: { status: 201, description: "The new delivery.", schema: deliverySchema },
  problems: ["not_found", "conflict", "idempotency_conflict"],
  async handle(call) {
    const found = await askAlerts(call, (center) => center.getDelivery(call.id));
    if (!found.ok) return found;
    if (found.value === null) return err(NOT_FOUND);
    const { channel } = found.value;
    const audited = { action: "alert.replay", id: call.id, after: { channel }, note: null };
    const written = await writeAlerts(call, audited, (center, context) => center.replay(call.id, context));
    if (!written.ok) return written;
    return ok({ status: 201, body: showDelivery(written.value.value), headers: replayHeader(written.value) });
  },
});

export const testChannel = defineOperation({
  method: "post",
  path: "/alert-channels/{id}/test",
  idPattern: CHANNEL_PATTERN,
  idExample: "chat",
  scope: "alerts:write",
  operationId: "testAlertChannel",
  tag: "Alerts",
  summary: "Send a test message to a channel",
  description:
    "By its name under `alerts.channels` of `gateway.config.ts`. Read the delivery to see what came of it. At PagerDuty it opens an incident of severity `info`.",
  body: z
    .strictObject({
      owner: ownerIdSchema.optional().openapi({ description: "For channels that go to owners: which one's address." }),
    })
    .openapi("AlertChannelTest", { example: {} }),
  bodyRequired: false,
  write: true,
  success: { status: 201, description: "The delivery, which is on its way.", schema: deliverySchema },
  problems: ["not_found", "conflict", "idempotency_conflict"],
  async handle(call) {
    const settings = settingsOf(call.deps.config.alerts);
    const channel = Object.hasOwn(settings.channels, call.id) ? settings.channels[call.id] : undefined;
    if (channel === undefined) return err(NOT_FOUND);
    const owner = call.body.owner ?? null;
    if (goesToOwners(channel) !== (owner !== null)) {
      const detail = owner === null ? "Is required: the channel goes to owners." : "The channel does not go to owners.";
      return invalid([{ pointer: "/owner", detail }]);
    }
    const audited = { action: "alert.test", id: call.id, after: owner === null ? null : { owner }, note: null };
    const written = await writeAlerts(call, audited, (center, context) =>
      center.testChannel(call.id, owner, settings, context),
    );
    if (!written.ok) return written;
    return ok({ status: 201, body: showDelivery(written.value.value), headers: replayHeader(written.value) });
  },
});
