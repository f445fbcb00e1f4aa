import type { KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import { askLedger, directoryLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import {
  MAX_LISTED_WORKSPACES,
  METER_TIMEOUT_MS,
  RECONCILE_CONCURRENCY,
  RECONCILE_LINEAGES_MAX,
  REGISTRY_TIMEOUT_MS,
} from "../constants.ts";
import { now as systemNow, within } from "../platform/clock.ts";
import { describeError, logError, logWarning } from "../platform/log.ts";
import type { ConsumerEnv } from "./consumer.ts";
import { reportPendingUses } from "./consumer.ts";
import { DEFAULT_WORKSPACE } from "./make-event.ts";
import type { Comparison } from "./reconcile.ts";
import { compareHour, differing } from "./reconcile.ts";
import { ledgerNames } from "./shard.ts";

/** Asks meters and ledgers, and keeps where they differ. For the cron, and on demand. */

export interface ReconcileEnv extends ConsumerEnv {
  readonly KEY_METER: { getByName(name: string): unknown };
}

/** The part of a meter that is asked here. */
interface SpendingMeter {
  /** Cost admitted by clock hour in `[from, to)`, epoch ms. */
  spentByHour(from: number, to: number): Promise<readonly { readonly hour: number; readonly spent: number }[]>;
}

export interface HourReport {
  /** Start of the hour, epoch ms. */
  readonly hour: number;
  readonly compared: readonly Comparison[];
  readonly unchecked: number;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** The minute of the hour in which last uses that were never confirmed are looked for. */
const PENDING_USES_MINUTE = 7;

/** Workspaces that had an event, `default` first; more than can be visited at once take turns, minute by minute. */
export async function listedWorkspaces(env: Pick<ConsumerEnv, "USAGE_LEDGER">): Promise<readonly string[]> {
  const names = await askLedger(
    directoryLedger(env.USAGE_LEDGER).listWorkspaces(MAX_LISTED_WORKSPACES, Math.floor(systemNow() / MINUTE_MS)),
  );
  return [DEFAULT_WORKSPACE, ...names.filter((name) => name !== DEFAULT_WORKSPACE)];
}

/** One minute's share of the work, for `scheduled`. Workspaces fail alone; what is not done is done in a later minute. */
export async function reconcileUsage(env: ReconcileEnv, now: number = systemNow()): Promise<void> {
  const isPendingUsesTime = new Date(now).getUTCMinutes() === PENDING_USES_MINUTE;
  for (const workspace of await listedWorkspaces(env)) {
    try {
      for (const name of ledgerNames(workspace)) {
        await reconcileNextSlice(env, workspace, name);
        if (isPendingUsesTime) await reportPendingUses(name, workspace, env);
      }
    } catch (error) {
      logError(error, { message: "usage was not reconciled; it is tried again", workspace });
    }
  }
}

async function reconcileNextSlice(env: ReconcileEnv, workspace: string, name: string): Promise<void> {
  const ledger = ledgerByName(env.USAGE_LEDGER, name);
  const slice = await askLedger(ledger.nextReconciliation(RECONCILE_LINEAGES_MAX));
  if (slice === null) return;
  const costs = new Map(slice.costs.map(({ lineageId, cost }) => [lineageId, cost]));
  if (slice.first) {
    const known = await lineagesKnownToRegistry(env, workspace, slice.hour);
    const missing = known.filter((lineageId) => !costs.has(lineageId));
    // The registry may know of lineages in later slices: their cost is asked for, not taken to be 0.
    const found = await askLedger(ledger.costByLineageHour(missing, slice.hour, slice.hour + HOUR_MS));
    for (const lineageId of missing) costs.set(lineageId, 0);
    for (const { lineageId, cost } of found) costs.set(lineageId, cost);
  }
  const { compared, unchecked } = await compareWithMeters(env, workspace, slice.hour, costs);
  await askLedger(
    ledger.recordReconciliation({
      hour: slice.hour,
      first: slice.first,
      nextCursor: slice.nextCursor,
      compared,
      unchecked,
    }),
  );
  for (const { lineageId, meter, ledger: counted } of differing(compared)) {
    logWarning("meter and ledger differ", {
      workspace,
      lineageId,
      hour: new Date(slice.hour).toISOString(),
      meter,
      ledger: counted,
    });
  }
}

/**
 * Compares one hour now, the present one too, without keeping the result. For tests and for looking into a difference:
 * leases and events of the last seconds may still be on their way.
 *
 * @param hour any moment of the hour, epoch ms.
 */
export async function reconcileHour(env: ReconcileEnv, workspace: string, hour: number): Promise<HourReport> {
  const from = Math.floor(hour / HOUR_MS) * HOUR_MS;
  const costs = new Map<string, number>();
  for (const name of ledgerNames(workspace)) {
    const ledger = ledgerByName(env.USAGE_LEDGER, name);
    const used = await askLedger(ledger.lineagesUsed(from, from + HOUR_MS, RECONCILE_LINEAGES_MAX));
    for (const lineageId of used) costs.set(lineageId, costs.get(lineageId) ?? 0);
    for (const { lineageId, cost } of await askLedger(ledger.costByLineageHour(used, from, from + HOUR_MS))) {
      costs.set(lineageId, (costs.get(lineageId) ?? 0) + cost);
    }
  }
  return { hour: from, ...(await compareWithMeters(env, workspace, from, costs)) };
}

async function compareWithMeters(
  env: ReconcileEnv,
  workspace: string,
  hour: number,
  costs: ReadonlyMap<string, number>,
): Promise<Pick<HourReport, "compared" | "unchecked">> {
  const spent = new Map<string, number>();
  const answered = new Map<string, number>();
  const queue = costs.entries();
  const worker = async (): Promise<void> => {
    for (const [lineageId, cost] of queue) {
      try {
        // The generated Env knows the class, whose type would pull it in here; this is the part of its RPC surface that is used.
        const meter = env.KEY_METER.getByName(`${workspace}/${lineageId}`) as SpendingMeter;
        const hours = await within(meter.spentByHour(hour, hour + HOUR_MS), METER_TIMEOUT_MS, "the meter");
        spent.set(
          lineageId,
          hours.filter((of) => of.hour === hour).reduce((sum, of) => sum + of.spent, 0),
        );
        answered.set(lineageId, cost);
      } catch (error) {
        logWarning("a meter did not say what it spent", { workspace, lineageId, ...describeError(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: RECONCILE_CONCURRENCY }, worker));
  return { compared: compareHour(spent, answered), unchecked: costs.size - answered.size };
}

/** Lineages that changed or were used since the hour began: one whose every event was lost is among them. */
async function lineagesKnownToRegistry(
  env: ReconcileEnv,
  workspace: string,
  since: number,
): Promise<readonly string[]> {
  try {
    // As above: the RPC surface of the class is this interface.
    const registry = env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi;
    return await within(registry.lineagesUsedSince(since, RECONCILE_LINEAGES_MAX), REGISTRY_TIMEOUT_MS, "the registry");
  } catch (error) {
    logWarning("the registry did not name its lineages", { workspace, ...describeError(error) });
    return [];
  }
}
