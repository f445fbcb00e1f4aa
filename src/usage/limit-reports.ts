import type { KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import { reportConditions } from "../../durable-objects/alert-center/client.ts";
import { meterOfLineage, meterOfOwner } from "../../durable-objects/key-meter/client.ts";
import type { Condition } from "../alerts/condition.ts";
import { limitNotices } from "../alerts/limit-notices.ts";
import type { CounterUse } from "../alerts/limit-notices.ts";
import { METER_TIMEOUT_MS, REGISTRY_TIMEOUT_MS } from "../constants.ts";
import { effectiveLimits, type Plans } from "../limits/effective.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { Limit } from "../limits/limit.ts";
import { within } from "../platform/clock.ts";
import { fnv1a } from "../platform/fnv.ts";
import { describeError, logWarning } from "../platform/log.ts";

/**
 * Near-limit notices. The meters are asked, which are the authority, each once an hour while its keys are in use, and each in a minute
 * of its own. What a route's own limits have left is not told: they are not the key's.
 */

export interface LimitReportEnv {
  readonly KEY_REGISTRY: { getByName(name: string): unknown };
  readonly KEY_METER: { getByName(name: string): unknown };
  readonly ALERT_CENTER: { getByName(name: string): unknown };
}

/** What a meter says of itself. */
export interface MeterStanding {
  readonly records: readonly EdgeRecord[];
  readonly counters: readonly CounterUse[];
  /** Of an owner's meter. */
  readonly ownerLimits: readonly Limit[];
}

/** The part of a meter that is asked here. */
interface StandingMeter {
  standing(): Promise<MeterStanding>;
}

/** A last use is exact to the hour. */
const USED_WITHIN_MS = 2 * 3_600_000;
const MAX_LINEAGES = 10_000;
/** In one minute: 12,000 an hour. More are left out, which the log says. */
const MAX_METERS_A_MINUTE = 200;
const CONCURRENCY = 10;
const MINUTE_MS = 60_000;

export async function reportLimits(env: LimitReportEnv, workspace: string, plans: Plans, now: number): Promise<void> {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  const registry = env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi;
  const used = await within(
    registry.lineagesUsedSince(now - USED_WITHIN_MS, MAX_LINEAGES),
    REGISTRY_TIMEOUT_MS,
    "the registry",
  );
  const minute = Math.floor(now / MINUTE_MS) % 60;
  const turn = used.filter((lineageId) => fnv1a(lineageId) % 60 === minute);
  if (turn.length > MAX_METERS_A_MINUTE) logWarning("too many meters to ask for near limits", { workspace });
  const conditions: Condition[] = [];
  const owners = new Set<string>();
  const queue = turn.slice(0, MAX_METERS_A_MINUTE).values();
  const worker = async (): Promise<void> => {
    for (const lineageId of queue) {
      const standing = await ask(env, meterOfLineage(workspace, lineageId));
      const record = standing === null ? undefined : newest(standing.records);
      if (standing === null || record === undefined) continue;
      conditions.push(...ofKey(record, standing, plans, now));
      if (!record.ownerLimited || owners.has(record.owner)) continue;
      owners.add(record.owner);
      const shared = await ask(env, meterOfOwner(workspace, record.owner));
      if (shared !== null) conditions.push(...ofOwner(record.owner, shared, now));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  await reportConditions(env, workspace, conditions);
}

function ofKey(record: EdgeRecord, { counters }: MeterStanding, plans: Plans, now: number): readonly Condition[] {
  const holder = { owner: record.owner, team: null, keyId: record.id, name: `The key ${record.hint}` };
  return limitNotices(holder, effectiveLimits(record, plans, []), counters, now);
}

function ofOwner(owner: string, { counters, ownerLimits }: MeterStanding, now: number): readonly Condition[] {
  return limitNotices({ owner, team: null, keyId: null, name: `The owner ${owner}` }, ownerLimits, counters, now);
}

/** Of a lineage the key that goes on; a replaced one draws on the same counters. */
function newest(records: readonly EdgeRecord[]): EdgeRecord | undefined {
  return records.find(({ state, notAfter }) => state === "active" && notAfter === null);
}

async function ask(env: LimitReportEnv, meter: string): Promise<MeterStanding | null> {
  try {
    // As above: the RPC surface of the class is this interface.
    const asked = env.KEY_METER.getByName(meter) as StandingMeter;
    return await within(asked.standing(), METER_TIMEOUT_MS, "the meter");
  } catch (error) {
    logWarning("a meter did not say how its limits stand", { meter, ...describeError(error) });
    return null;
  }
}
