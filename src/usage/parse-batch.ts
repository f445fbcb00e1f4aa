import type { Result } from "../result.ts";
import { err, ok } from "../result.ts";
import { idFloor } from "../platform/ids.ts";
import { BATCH_MEMORY_DAYS, MAX_COST } from "../constants.ts";
import { parseBatchRequests } from "../request-log/parse-kept.ts";
import type { UsageBatch, UsageEvent } from "./event.ts";

/** What comes out of the queue is as unknown as what comes from outside: an old or a newer version may have put it there. */

export const BATCH_ID_PREFIX = "bat_";
const BATCH_ID = /^bat_[0-9a-hjkmnp-tv-z]{26}$/;
const CODE = /^[a-z][a-z_]{0,39}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;

const MAX_BATCH_EVENTS = 5_000;
export const MAX_ID_CHARACTERS = 64;
export const MAX_TEXT_CHARACTERS = 1_024;
/** Bytes or ms of one request: ten thousand such requests still sum exactly. */
export const MAX_MEASURE = 1_000_000_000_000;
/** A digest, and the number of a network (RFC 6793). */
const MAX_32_BITS = 0xffffffff;
/** Clocks of the edge differ by far less. */
const MAX_AHEAD_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Why a batch cannot be counted. `batch_forgotten`: too old to know whether it was counted before. */
export type BatchProblem = "batch_invalid" | "version_unknown" | "event_invalid" | "batch_forgotten";

/**
 * A batch, or why it can never be one. All or nothing: a batch with one bad event is left whole for the dead-letter queue,
 * so that it can be repaired and sent again.
 *
 * @param now epoch ms.
 */
export function parseBatch(body: unknown, now: number): Result<UsageBatch, BatchProblem> {
  if (!isObject(body)) return err("batch_invalid");
  if (body["v"] !== 1) return err("version_unknown");
  const { batchId, events } = body;
  if (!isBatchId(batchId)) return err("batch_invalid");
  if (!Array.isArray(events) || events.length === 0 || events.length > MAX_BATCH_EVENTS) return err("batch_invalid");
  if (batchId >= idFloor(BATCH_ID_PREFIX, now + MAX_AHEAD_MS)) return err("batch_invalid");
  if (isForgotten(batchId, now)) return err("batch_forgotten");
  const latest = now + MAX_AHEAD_MS;
  for (const event of events) {
    if (!isUsageEvent(event) || event.time > latest) return err("event_invalid");
  }
  const requests = parseBatchRequests(body["requests"]);
  return ok({
    v: 1,
    batchId,
    // Every event was checked above; `every` with a type guard would lose the reason.
    events: events as readonly UsageEvent[],
    ...(requests === null ? {} : { requests }),
  });
}

export function isBatchId(value: unknown): value is string {
  return typeof value === "string" && BATCH_ID.test(value);
}

/** Whether the ledger may have let go of the batch's id: then it must not be counted, for it may have been counted before. */
export function isForgotten(batchId: string, now: number): boolean {
  return batchId < idFloor(BATCH_ID_PREFIX, Math.max(0, now - BATCH_MEMORY_DAYS * DAY_MS));
}

export function isUsageEvent(value: unknown): value is UsageEvent {
  if (!isObject(value)) return false;
  return (
    isText(value["id"], MAX_ID_CHARACTERS) &&
    isText(value["requestId"], MAX_TEXT_CHARACTERS) &&
    isCount(value["time"], Number.MAX_SAFE_INTEGER) &&
    typeof value["workspace"] === "string" &&
    NAME.test(value["workspace"]) &&
    isTextOrNull(value["keyId"], MAX_ID_CHARACTERS) &&
    isTextOrNull(value["lineageId"], MAX_ID_CHARACTERS) &&
    isTextOrNull(value["owner"], MAX_ID_CHARACTERS) &&
    (value["environment"] === null || value["environment"] === "live" || value["environment"] === "test") &&
    isText(value["method"], MAX_ID_CHARACTERS) &&
    isTextOrNull(value["upstream"], MAX_TEXT_CHARACTERS) &&
    isTextOrNull(value["route"], MAX_TEXT_CHARACTERS) &&
    isCount(value["status"], 999) &&
    typeof value["code"] === "string" &&
    CODE.test(value["code"]) &&
    isCount(value["cost"], MAX_COST) &&
    isCount(value["latencyMs"], MAX_MEASURE) &&
    isCount(value["authMs"], MAX_MEASURE) &&
    isCountOrNull(value["upstreamMs"], MAX_MEASURE) &&
    isCount(value["bytesIn"], MAX_MEASURE) &&
    isCount(value["bytesOut"], MAX_MEASURE) &&
    isTextOrNull(value["country"], MAX_ID_CHARACTERS) &&
    isCountOrNull(value["asn"], MAX_32_BITS) &&
    isTextOrNull(value["clientIp"], MAX_ID_CHARACTERS) &&
    typeof value["degraded"] === "boolean" &&
    isTextOrAbsent(value["tokenId"], MAX_ID_CHARACTERS) &&
    isTextOrAbsent(value["mintedTokenId"], MAX_ID_CHARACTERS) &&
    (value["credentialTag"] === undefined || isCount(value["credentialTag"], MAX_32_BITS))
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown, most: number): value is string {
  return typeof value === "string" && value.length <= most;
}

function isTextOrNull(value: unknown, most: number): value is string | null {
  return value === null || isText(value, most);
}

function isTextOrAbsent(value: unknown, most: number): value is string | undefined {
  return value === undefined || isText(value, most);
}

/** A whole number from 0 to `most`: sums of them stay exact. */
function isCount(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= most;
}

function isCountOrNull(value: unknown, most: number): value is number | null {
  return value === null || isCount(value, most);
}
