import type { LogPolicy, RequestBatch } from "../../durable-objects/request-log/api.ts";
import { askRequestLog, type RequestLogNamespace, requestLogByName } from "../../durable-objects/request-log/client.ts";
import { logError } from "../platform/log.ts";
import type { UsageBatch } from "../usage/event.ts";
import type { KeptRequest, LeftOut } from "./kept-request.ts";
import { firstLog, logOfRequest } from "./shard.ts";

/** From the queue to the logs. At least once in, once stored: the log knows each `batchId`. */

/** Gives the ids of batches that are not stored whole, to be brought again. Never rejects. */
export type DeliverRequests = (batches: readonly UsageBatch[]) => Promise<ReadonlySet<string>>;

export function deliverTo(namespace: RequestLogNamespace, policy: LogPolicy): DeliverRequests {
  return async (batches) => {
    const failed = new Set<string>();
    await Promise.all(
      Array.from(splitByLog(batches), async ([name, parts]) => {
        try {
          await askRequestLog(requestLogByName(namespace, name).ingest(parts, policy));
        } catch (error) {
          for (const { batchId } of parts) failed.add(batchId);
          logError(error, { message: "the request log did not take requests; they are retried", log: name });
        }
      }),
    );
    return failed;
  };
}

interface Part {
  readonly batchId: string;
  readonly kept: KeptRequest[];
  readonly left: LeftOut[];
}

/** The same batch is always split alike, but for one whose events are not what they were: then a detail finds no event, and is left away. */
export function splitByLog(batches: readonly UsageBatch[]): ReadonlyMap<string, readonly RequestBatch[]> {
  const logs = new Map<string, Part[]>();
  for (const { batchId, events, requests } of batches) {
    if (requests === undefined) continue;
    const partOf = (name: string): Part => {
      const parts = logs.get(name) ?? [];
      logs.set(name, parts);
      const known = parts.find((part) => part.batchId === batchId);
      if (known !== undefined) return known;
      const part = { batchId, kept: [], left: [] };
      parts.push(part);
      return part;
    };
    const byId = new Map(events.map((event) => [event.id, event]));
    for (const detail of requests.kept) {
      const event = byId.get(detail.eventId);
      if (event === undefined) continue;
      // A key's requests are its own workspace's, whatever a message says.
      const workspace = event.keyId === null ? detail.workspace : event.workspace;
      partOf(logOfRequest(workspace, event.requestId)).kept.push({ event, detail: { ...detail, workspace } });
    }
    for (const left of requests.left) partOf(firstLog(left.workspace)).left.push(left);
  }
  return logs;
}
