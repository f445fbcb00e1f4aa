import { isSampled, logRequest } from "../platform/log.ts";
import type { KeptFor } from "../request-log/kept-request.ts";
import type { UsageEvent } from "../usage/event.ts";
import { makeEvent, type RequestFactsForEvent } from "../usage/make-event.ts";
import { keepRequest, leaveRequest, recordEvent, recordEventSync } from "../usage/record-event.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { Surroundings } from "./handler.ts";
import { detailOf, workspaceOf } from "./request-detail.ts";
import type { Way } from "./way.ts";

/** Step 8: one event for one request, for a share of them a log line, and for some what each check stood on. */

/** What the steps before have found out. */
export interface Facts extends Omit<RequestFactsForEvent, "record" | "ipPolicy" | "ipSalt"> {
  readonly record: EdgeRecord | null;
}

const DEFAULT_LOG_SAMPLE_RATE = 0.01;

/** Into the buffer; in the queue within a second or so. `way`: where it may be kept how the request was decided. */
export function record(facts: Facts, surroundings: Surroundings, way: Way | null = null): void {
  const event = eventOf(facts, surroundings);
  if (way !== null) keep(event, facts, way, surroundings);
  recordEvent(event, surroundings.ctx, surroundings.env, Date.now());
}

/**
 * Settles when the event is in the queue. When neither queue nor ledger took it in time, it is tried again like any other:
 * the origin has acted already, and an error now would tell the client otherwise.
 */
export async function recordSync(facts: Facts, surroundings: Surroundings, way: Way | null = null): Promise<void> {
  const event = eventOf(facts, surroundings);
  if (way !== null) keep(event, facts, way, surroundings);
  await recordEventSync(event, surroundings.ctx, surroundings.env, Date.now());
}

function eventOf(facts: Facts, { isolate, ipSalt }: Surroundings) {
  const { config } = isolate;
  const event = makeEvent({ ...facts, ipPolicy: config.clientIpInEvents ?? "truncated", ipSalt });
  logRequest(event, { hint: facts.record?.hint ?? null, sampleRate: config.logSampleRate ?? DEFAULT_LOG_SAMPLE_RATE });
  return event;
}

/** Most requests end here at the second line. What is kept is bounded by the minute, for each key and for each workspace. */
function keep(event: UsageEvent, { record: known }: Facts, way: Way, { isolate }: Surroundings): void {
  const { requestLog, table } = isolate;
  const why = requestLog === null ? null : reasonToKeep(event, way, requestLog.sampleRate);
  if (requestLog === null || why === null) return;
  const { keyId, code, id: eventId } = event;
  const workspace = workspaceOf(way, known);
  if (requestLog.budget.take({ workspace, keyId, code, why }, Date.now()))
    keepRequest(detailOf({ way, record: known, eventId, why, prefixes: table.prefixes }));
  else if (why === "refused") leaveRequest({ workspace, keyId, code, time: event.time, count: 1 });
}

/**
 * A client that says that its trace is recorded is heard within the bounds for its key alone: many libraries say so of every request, and
 * anyone may.
 */
function reasonToKeep({ code, requestId }: UsageEvent, { trace }: Way, sampleRate: number): KeptFor | null {
  if (code !== "allowed") return "refused";
  if (isSampled(requestId, sampleRate)) return "sampled";
  return trace?.sampled === true && sampleRate > 0 ? "traced" : null;
}
