import type { UsageBatch, UsageEvent } from "../../src/usage/event.ts";
import { newId } from "../../src/platform/ids.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";

/** An event of an allowed request, with what a test wants otherwise. */
export function usageEvent(changes: Partial<UsageEvent> & Pick<UsageEvent, "time">): UsageEvent {
  const requestId = changes.requestId ?? newId("req_", changes.time);
  return {
    id: requestId.replace("req_", "evt_"),
    requestId,
    workspace: "default",
    keyId: "key_a",
    lineageId: "lin_a",
    owner: "acme",
    environment: "live",
    method: "GET",
    upstream: "demo",
    route: "/reports/*",
    status: 200,
    code: "allowed",
    cost: 1,
    latencyMs: 12,
    authMs: 1,
    upstreamMs: 10,
    bytesIn: 10,
    bytesOut: 100,
    country: "DE",
    asn: 64_500,
    colo: "FRA",
    clientIp: "203.0.113.0/24",
    userAgentFamily: "curl",
    degraded: false,
    ...changes,
  };
}

export function usageBatch(events: readonly UsageEvent[], now: number): UsageBatch {
  return { v: 1, batchId: newId(BATCH_ID_PREFIX, now), events };
}

/** A refused request whose key nobody knows. */
export function strangerEvent(time: number): UsageEvent {
  return usageEvent({
    time,
    keyId: null,
    lineageId: null,
    owner: null,
    environment: null,
    status: 401,
    code: "key_invalid",
    cost: 0,
  });
}
