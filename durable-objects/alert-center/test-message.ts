import type { AlertSettings } from "../../src/alerts/config.ts";
import { composeMessage } from "../../src/alerts/message.ts";
import type { AlertMessage } from "../../src/alerts/message.ts";
import { goesToOwners } from "../../src/alerts/routing.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { newId } from "../../src/platform/ids.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { AlertRefusal } from "./api.ts";

interface TestCall {
  readonly workspace: string;
  readonly channel: string;
  readonly owner: string | null;
  readonly settings: AlertSettings;
  readonly now: EpochMs;
}

/** A message without an alert. */
export function testMessage({
  workspace,
  channel,
  owner,
  settings,
  now,
}: TestCall): Result<AlertMessage, AlertRefusal> {
  const config = settings.channels[channel];
  if (config === undefined) return err({ code: "not_found", detail: "No such channel." });
  if (goesToOwners(config) !== (owner !== null)) {
    const detail = owner === null ? "Is needed: the channel goes to owners." : "The channel does not go to owners.";
    return err({ code: "request_invalid", detail, pointer: "/owner" });
  }
  const id = newId("msg_", now);
  return ok(
    composeMessage(
      {
        id,
        workspace,
        channel,
        owner,
        action: "notify",
        incident: id,
        severity: "notice",
        at: now,
        told: [],
      },
      settings,
    ),
  );
}
