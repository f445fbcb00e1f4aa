import { LEDGER_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import type { Result } from "../../src/result.ts";
import { err, ok } from "../../src/result.ts";
import type { UsageAnswer, UsagePoint, UsageQuery, UsageQueryError } from "../../src/usage/query.ts";
import { mergePoints, toUsageAnswer } from "../../src/usage/query.ts";
import { DEFAULT_WORKSPACE } from "../../src/usage/make-event.ts";
import { ledgerName, ledgerNames } from "../../src/usage/shard.ts";
import type { Comparison, ComparisonQuery, UsageLedgerApi } from "./api.ts";

/** How everything else talks to ledger objects. */

/** The part of a Durable Object namespace that is needed; `Env["USAGE_LEDGER"]` fits, and so does a stand-in in a test. */
export interface LedgerNamespace {
  getByName(name: string): unknown;
}

/** A stub by the object's full name, `<workspace>/<shard>`. */
export function ledgerByName(namespace: LedgerNamespace, name: string): UsageLedgerApi {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  return namespace.getByName(name) as UsageLedgerApi;
}

/** The one ledger that keeps the list of workspaces. */
export function directoryLedger(namespace: LedgerNamespace): UsageLedgerApi {
  return ledgerByName(namespace, ledgerName(DEFAULT_WORKSPACE, "0"));
}

/** One call with its time-out. Throws; whether to call again is the caller's to know (`ingest` may always be repeated). */
export async function askLedger<T>(call: Promise<T>, timeoutMs = LEDGER_TIMEOUT_MS): Promise<T> {
  return await within(call, timeoutMs, "the usage ledger");
}

/** A ledger could not be asked, or not in time. */
export interface LedgerUnavailable {
  readonly code: "storage_unavailable";
  readonly detail: string;
  /** For the log: the runtime's own words. */
  readonly cause: unknown;
}

const UNREADABLE = "Usage cannot be read right now. Try again shortly.";

/** Asks every ledger of a workspace and adds up what they say. All or nothing: sums of some of them would be wrong. */
export async function queryUsage(
  namespace: LedgerNamespace,
  workspace: string,
  query: UsageQuery,
): Promise<Result<UsageAnswer, UsageQueryError | LedgerUnavailable>> {
  try {
    const asked = ledgerNames(workspace).map((name) => askLedger(ledgerByName(namespace, name).query(query)));
    const lists: (readonly UsagePoint[])[] = [];
    let { from, to } = query;
    for (const part of await Promise.all(asked)) {
      if (!part.ok) return part;
      lists.push(part.value.points);
      ({ from, to } = part.value);
    }
    const points = mergePoints(lists);
    return points.ok ? ok(toUsageAnswer(query, { from, to, points: points.value })) : points;
  } catch (cause) {
    return err({ code: "storage_unavailable", detail: UNREADABLE, cause });
  }
}

/** Asks every ledger of a workspace: compared is what all of them have compared. */
export async function compareUsage(
  namespace: LedgerNamespace,
  workspace: string,
  query: ComparisonQuery,
): Promise<Result<Comparison, LedgerUnavailable>> {
  try {
    const parts = await Promise.all(
      ledgerNames(workspace).map((name) => askLedger(ledgerByName(namespace, name).comparison(query))),
    );
    return ok({
      comparedUntil: Math.min(...parts.map(({ comparedUntil }) => comparedUntil)),
      differenceUnits: parts.reduce((sum, { differenceUnits }) => sum + differenceUnits, 0),
      unchecked: parts.reduce((sum, { unchecked }) => sum + unchecked, 0),
    });
  } catch (cause) {
    return err({ code: "storage_unavailable", detail: UNREADABLE, cause });
  }
}
