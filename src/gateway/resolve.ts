import { KV_CACHE_TTL_SECONDS, KV_TIMEOUT_MS } from "../constants.ts";
import { isEdgeRecord, recordKey } from "../keys/edge-record.ts";
import type { EdgeRecord, KeyHash } from "../keys/record.ts";
import { counters } from "../platform/counters.ts";
import { logError } from "../platform/log.ts";
import { within } from "../platform/clock.ts";
import { ageOf, type RecordCache } from "./record-cache.ts";

export type Resolved =
  /** `staleMs`: KV did not answer, and so long ago this one was known to be the newest. */
  | { readonly found: EdgeRecord; readonly staleMs?: number }
  | { readonly found: null; readonly reason: "unknown" | "unavailable" };

/**
 * Step 4: from hash to record: isolate cache, else KV. A failing store does not stop keys that this isolate knows: the
 * meter, not KV, is the authority. Keys that nobody here knows do not get in.
 */
export async function resolve(hash: KeyHash, cache: RecordCache, store: KVNamespace, now: number): Promise<Resolved> {
  if (cache.isMiss(hash, now)) return { found: null, reason: "unknown" };
  counters.recordMisses++;
  counters.kvReads++;
  let stored: unknown;
  try {
    const read = store.get(recordKey(hash), { type: "json", cacheTtl: KV_CACHE_TTL_SECONDS });
    stored = await within(read, KV_TIMEOUT_MS, "KV");
  } catch (error) {
    logError(error, { part: "resolve" });
    const known = cache.entryOf(hash, 0);
    return known === null
      ? { found: null, reason: "unavailable" }
      : { found: known.record, staleMs: ageOf(known, now) };
  }
  if (stored === null || stored === undefined) {
    cache.putMiss(hash, now);
    return { found: null, reason: "unknown" };
  }
  if (!isEdgeRecord(stored)) {
    logError(new TypeError("the record in KV has an unknown shape"), { part: "resolve" });
    return { found: null, reason: "unavailable" };
  }
  return { found: cache.put(hash, stored, now) };
}
