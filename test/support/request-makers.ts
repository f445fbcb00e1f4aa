import type { KeptRequest, RequestDetail } from "../../src/request-log/kept-request.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { usageEvent } from "./usage-makers.ts";

/** A kept request that was refused for want of a scope, with what a test wants otherwise. */
export function keptRequest(
  event: Partial<UsageEvent> & Pick<UsageEvent, "time">,
  detail: Partial<RequestDetail> = {},
): KeptRequest {
  const made = usageEvent({ status: 403, code: "scope_insufficient", cost: 0, upstreamMs: null, ...event });
  return { event: made, detail: requestDetail({ eventId: made.id, workspace: made.workspace, ...detail }) };
}

export function requestDetail(changes: Partial<RequestDetail> = {}): RequestDetail {
  return {
    v: 1,
    eventId: "evt_a",
    why: "refused",
    workspace: "default",
    traceId: null,
    via: "bearer",
    form: "own",
    told: "The key lacks the scope reports:read.",
    retryAfterSeconds: null,
    violated: [],
    limits: [],
    key: {
      hint: "lk_live_AbCd…wxyz",
      kind: "secret",
      state: "active",
      generation: 1,
      scopes: ["charges:read", "charges:write"],
      scopeCount: 2,
      notBefore: null,
      expiresAt: null,
      notAfter: null,
      exchangeOnly: false,
      signature: null,
      bindings: {},
    },
    asked: {
      scopes: ["reports:read"],
      environments: ["live", "test"],
      workspace: "default",
      cost: 5,
      strict: false,
      timeoutMs: 30_000,
      maxBodyBytes: 1_000,
    },
    record: { from: "isolate", ageMs: 1_200 },
    lease: { from: "isolate", by: "broker", granted: false, ageMs: 2_300, leftMs: 2_200 },
    origin: null,
    certificate: false,
    ...changes,
  };
}
