import type { EdgeRecord, KeyHash } from "../keys/record.ts";
import { type Introduction, requestFor } from "../limits/introduction.ts";
import type { Payment } from "../limits/lease.ts";
import { takeAnswer } from "../limits/lease-exchange.ts";
import { hourOf } from "../limits/window.ts";
import { counters } from "../platform/counters.ts";
import type { CheckInput, CheckParts } from "./check.ts";
import { noteHeld, noteRecord } from "./ground.ts";
import { type Resolved, resolve } from "./resolve.ts";

/**
 * Step 4 for a key that this isolate does not know: the broker nearby gives its record and admits the request in hand, in one
 * hop; where there is none, or it cannot say, the record is read from KV and the request is admitted in the next step.
 */
export type Met =
  | { readonly found: EdgeRecord; readonly prepaid: Payment | null }
  | (Resolved & { readonly found: null });

export async function meet(hash: KeyHash, input: CheckInput, parts: CheckParts, now: number): Promise<Met> {
  const { cache, store } = parts;
  noteRecord(input.ground, "miss", 0);
  if (cache.isMiss(hash, now)) return { found: null, reason: "unknown" };
  // A look must be the meter's word, and so must a strict route's admission.
  const met = input.look || input.routePolicy.strict ? null : await introduce(hash, input, parts, now);
  if (met !== null) return met;
  noteRecord(input.ground, "kv", 0);
  const resolved = await resolve(hash, cache, store, now);
  // KV did not answer, and the one in memory has to do.
  if (resolved.found !== null && resolved.staleMs !== undefined) noteRecord(input.ground, "isolate", resolved.staleMs);
  return resolved.found === null ? resolved : { found: resolved.found, prepaid: null };
}

async function introduce(hash: KeyHash, input: CheckInput, parts: CheckParts, now: number): Promise<Met | null> {
  const { cache, book } = parts;
  // The table's own has no prototype, which a call cannot carry either.
  const plans = { ...parts.plans };
  const { routeLimits, cost } = input;
  // A route is more than that, and more than a call can carry.
  const { strict, onMeterUnavailable, graceSeconds } = input.routePolicy;
  const routePolicy = { strict, onMeterUnavailable, graceSeconds };
  const asked: Introduction = { hash, holder: book.holder, plans, routeLimits, routePolicy, cost, hour: hourOf(now) };
  const introduced = await parts.meters.introduce(asked);
  if (introduced === null) return null;
  counters.recordMisses++;
  noteRecord(input.ground, "broker", 0);
  const answeredAt = Date.now();
  if (introduced.outcome === "unknown") {
    cache.putMiss(hash, now, introduced.forMs);
    return { found: null, reason: "unknown" };
  }
  const { answer } = introduced;
  const record = cache.put(hash, introduced.record, answeredAt);
  const request = requestFor(introduced.record, asked, answeredAt);
  if (answer === null || request === null) return { found: record, prepaid: null };
  const lease = book.of(record.id);
  const prepaid = takeAnswer(lease, { request, sentAt: now }, answer, answeredAt);
  if (answer.outcome === "granted") {
    lease.grantedBy = "broker";
    book.touch(record.id, lease);
    noteHeld(input.ground, lease, answeredAt);
    if (input.ground !== undefined) input.ground.leaseFrom = "broker";
  }
  return { found: record, prepaid };
}
