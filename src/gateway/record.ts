import { logRequest } from "../platform/log.ts";
import { makeEvent, type RequestFactsForEvent } from "../usage/make-event.ts";
import { recordEvent, recordEventSync } from "../usage/record-event.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { Surroundings } from "./handler.ts";

/** Step 8: one event for one request, and for a share of them a log line. */

/** What the steps before have found out. */
export interface Facts extends Omit<RequestFactsForEvent, "record" | "ipPolicy" | "ipSalt"> {
  readonly record: EdgeRecord | null;
}

const DEFAULT_LOG_SAMPLE_RATE = 0.01;

/** Into the buffer; in the queue within a second or so. */
export function record(facts: Facts, surroundings: Surroundings): void {
  const event = eventOf(facts, surroundings);
  recordEvent(event, surroundings.ctx, surroundings.env, Date.now());
}

/**
 * Settles when the event is in the queue. When neither queue nor ledger took it in time, it is tried again like any other:
 * the origin has acted already, and an error now would tell the client otherwise.
 */
export async function recordSync(facts: Facts, surroundings: Surroundings): Promise<void> {
  const event = eventOf(facts, surroundings);
  await recordEventSync(event, surroundings.ctx, surroundings.env, Date.now());
}

function eventOf(facts: Facts, { isolate, ipSalt }: Surroundings) {
  const { config } = isolate;
  const event = makeEvent({ ...facts, ipPolicy: config.clientIpInEvents ?? "truncated", ipSalt });
  logRequest(event, { hint: facts.record?.hint ?? null, sampleRate: config.logSampleRate ?? DEFAULT_LOG_SAMPLE_RATE });
  return event;
}
