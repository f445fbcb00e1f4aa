import { checksOf, timingOf } from "./checks.ts";
import { explain, type KeyNow } from "./explain.ts";
import type { KeptRequest } from "./kept-request.ts";
import { timeText } from "./words.ts";

/** A kept request as the control API shows it. Pure. */

/** A line of a list. */
export function summaryOf({ event, detail }: KeptRequest) {
  return {
    requestId: event.requestId,
    time: timeText(event.time),
    keyId: event.keyId,
    hint: detail.key?.hint ?? null,
    owner: event.owner,
    environment: event.environment,
    method: event.method,
    upstream: event.upstream,
    route: event.route,
    status: event.status,
    code: event.code,
    cost: event.cost,
    degraded: event.degraded,
    totalMs: event.latencyMs,
    kept: detail.why,
  };
}

/** All that is known of one. */
export function timelineOf(kept: KeptRequest, now: KeyNow | null) {
  const { event, detail } = kept;
  const { key } = detail;
  return {
    ...summaryOf(kept),
    eventId: event.id,
    workspace: detail.workspace,
    lineageId: event.lineageId,
    tokenId: event.tokenId ?? null,
    mintedTokenId: event.mintedTokenId ?? null,
    traceId: detail.traceId,
    timing: timingOf(event),
    client: {
      address: event.clientIp,
      country: event.country,
      asn: event.asn,
      colo: event.colo,
      userAgent: event.userAgentFamily,
    },
    bytesIn: event.bytesIn,
    bytesOut: event.bytesOut,
    checks: checksOf(kept),
    record: detail.record,
    lease: detail.lease,
    limits: detail.limits,
    key: key === null ? null : { kind: key.kind, generation: key.generation, state: key.state, now },
    explanation: explain(kept, now),
  };
}
