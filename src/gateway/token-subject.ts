import { LEASE_TTL_MS, METER_UNREACHABLE_MEMORY_MS } from "../constants.ts";
import { meterOfLineage } from "../../durable-objects/key-meter/client.ts";
import type { EdgeRecord, KeyHash, RecordRef } from "../keys/record.ts";
import type { AcquireRequest } from "../limits/acquire.ts";
import { hourOf } from "../limits/window.ts";
import { counters } from "../platform/counters.ts";
import { logError } from "../platform/log.ts";
import { err, ok, type Result } from "../result.ts";
import type { TokenCache } from "../tokens/token-cache.ts";
import type { TokenKeys } from "../tokens/token-keys.ts";
import { isOver, type Parent, refOf, type VerifiedToken } from "../tokens/verified-token.ts";
import { type VerificationFault, verifyToken } from "../tokens/verify-token.ts";
import type { AdmissionParts } from "./admit.ts";
import type { CheckInput } from "./check.ts";
import { type Ground, noteRecord } from "./ground.ts";
import { ageOf } from "./record-cache.ts";

/** Step 4 for a token: what it says, and its parent's record. From there on the request goes the way of the parent's own requests. */

export interface TokenParts {
  readonly keys: TokenKeys;
  readonly cache: TokenCache;
  /** The configured issuer; `null` where each host is its own. */
  readonly issuer: string | null;
}

export interface TokenParties extends AdmissionParts {
  readonly tokens: TokenParts;
}

/** A token in use is remembered under its digest (`known`); its keys must still stand, which costs no I/O. */
export async function findToken(
  { presentedKey, waitUntil }: Pick<CheckInput, "presentedKey" | "waitUntil">,
  digest: KeyHash,
  known: VerifiedToken | null,
  { keys, cache, issuer }: TokenParts,
): Promise<Result<VerifiedToken, VerificationFault>> {
  const now = Date.now();
  if (known !== null) {
    if (isOver(known, now)) {
      cache.drop(digest);
      return err("token_expired");
    }
    if (keys.stands(known.kid, now, waitUntil) === true) return ok(known);
  }
  const verified = await verifyToken(presentedKey, { keys, issuer, now, waitUntil });
  if (verified.ok) cache.put(digest, verified.value);
  else cache.drop(digest);
  return verified;
}

/**
 * The parent's record: of this isolate's memory, else from its meter, which answers a caller that knows none with the newest. KV is
 * not asked: records stand there under hashes, and a token does not tell its parent's.
 */
export async function findParent(
  parent: Parent,
  parts: TokenParties,
  ground?: Ground,
): Promise<Result<EdgeRecord, "unknown" | "unavailable">> {
  const now = Date.now();
  const { keyId, lineageId, workspace } = parent;
  const ref = refOf(parent);
  const known = parts.cache.entryOf(ref, now);
  if (known !== null) {
    counters.recordHits++;
    noteRecord(ground, "isolate", ageOf(known, now));
    return ok(known.record);
  }
  counters.recordMisses++;
  noteRecord(ground, "meter", 0);
  const lease = parts.book.of(keyId);
  if (lease.unreachableUntil > now) return staleParent(ref, parts);
  const address = { meter: meterOfLineage(workspace, lineageId), keyId, shardKey: ref };
  try {
    const answer = await parts.meters.acquire(address, askForRecord(keyId, parts.book.holder, now), false);
    return answer.outcome === "stale" ? ok(parts.cache.put(ref, answer.record, Date.now())) : err("unknown");
  } catch (error) {
    counters.meterFailures++;
    logError(error, { part: "meter" });
    lease.unreachableUntil = Date.now() + METER_UNREACHABLE_MEMORY_MS;
    return staleParent(ref, parts);
  }
}

/** However old: whether it may still be admitted on is the key's policy to say, as for the key itself. */
function staleParent(ref: RecordRef, { cache }: TokenParties): Result<EdgeRecord, "unknown" | "unavailable"> {
  const record = cache.getStale(ref);
  return record === null ? err("unavailable") : ok(record);
}

/** Generation 0 is older than every record, so that the answer is `stale` and carries the newest. */
function askForRecord(keyId: string, holder: string, now: number): AcquireRequest {
  const nothing = { cost: 0, want: 0, urgent: 0, holdings: [], returned: [], spent: [] } as const;
  return { holder, keyId, generation: 0, limits: [], hour: hourOf(now), ttlMs: LEASE_TTL_MS, ...nothing };
}
