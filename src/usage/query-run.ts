import type { LedgerNamespace } from "../../durable-objects/usage-ledger/client.ts";
import { askLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { Problem } from "../http/problem.ts";
import { logError } from "../platform/log.ts";
import type { Result } from "../result.ts";
import { err, ok } from "../result.ts";
import type { UsageAnswer, UsagePoint, UsageQuery, UsageQueryError } from "./query.ts";
import { mergePoints, toUsageAnswer } from "./query.ts";
import { ledgerNames } from "./shard.ts";

/**
 * Asks every ledger of a workspace and adds up what they say. All or nothing: sums of some of them would be wrong.
 * `request_invalid` for a range or a grouping that cannot be answered, `storage_unavailable` when a ledger cannot be asked in time.
 */
export async function queryUsage(
  env: { readonly USAGE_LEDGER: LedgerNamespace },
  workspace: string,
  query: UsageQuery,
): Promise<Result<UsageAnswer, Problem>> {
  try {
    const asked = ledgerNames(workspace).map((name) => askLedger(ledgerByName(env.USAGE_LEDGER, name).query(query)));
    const lists: (readonly UsagePoint[])[] = [];
    let { from, to } = query;
    for (const part of await Promise.all(asked)) {
      if (!part.ok) return err(toProblem(part.error));
      lists.push(part.value.points);
      ({ from, to } = part.value);
    }
    const points = mergePoints(lists);
    return points.ok ? ok(toUsageAnswer(query, { from, to, points: points.value })) : err(toProblem(points.error));
  } catch (error) {
    logError(error, { message: "usage cannot be read", workspace });
    return err({ code: "storage_unavailable", detail: "Usage cannot be read right now. Try again shortly." });
  }
}

function toProblem({ parameter, detail }: UsageQueryError): Problem {
  return {
    code: "request_invalid",
    detail: "The request has faults; see errors.",
    errors: [{ pointer: `/${parameter}`, detail: `The parameter is at fault: ${detail}.`, in: "query" }],
  };
}
