import { REQUEST_LOG_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import { err, ok, type Result } from "../../src/result.ts";
import type { KeptRequest } from "../../src/request-log/kept-request.ts";
import { logNames, logOfRequest } from "../../src/request-log/shard.ts";
import type { LogPage, LogSearch, RequestLogApi } from "./api.ts";

/** How everything else talks to request logs. */

/** The part of a Durable Object namespace that is needed; `Env["REQUEST_LOG"]` fits, and so does a stand-in in a test. */
export interface RequestLogNamespace {
  getByName(name: string): unknown;
}

/** A stub by the object's full name, `<workspace>/<shard>`. */
export function requestLogByName(namespace: RequestLogNamespace, name: string): RequestLogApi {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  return namespace.getByName(name) as RequestLogApi;
}

/** One call with its time-out. Throws; every call may be repeated. */
export async function askRequestLog<T>(call: Promise<T>): Promise<T> {
  return await within(call, REQUEST_LOG_TIMEOUT_MS, "the request log");
}

export async function findKept(
  namespace: RequestLogNamespace,
  workspace: string,
  requestId: string,
): Promise<Result<readonly KeptRequest[], unknown>> {
  try {
    const log = requestLogByName(namespace, logOfRequest(workspace, requestId));
    return ok(await askRequestLog(log.find(requestId)));
  } catch (cause) {
    return err(cause);
  }
}

/** Asks every log of a workspace, and puts together what they say: up to where each of them has looked. */
export async function searchKept(
  namespace: RequestLogNamespace,
  workspace: string,
  search: LogSearch,
): Promise<Result<LogPage, unknown>> {
  try {
    const asked = logNames(workspace).map((name) => askRequestLog(requestLogByName(namespace, name).search(search)));
    return ok(mergePages(await Promise.all(asked), search.limit));
  } catch (cause) {
    return err(cause);
  }
}

/** Past the first place where one of them stopped, what the others say is not all there is. */
export function mergePages(pages: readonly LogPage[], limit: number): LogPage {
  const stops = pages.flatMap(({ next }) => (next === null ? [] : [next]));
  const stop = stops.toSorted((a, b) => b.time - a.time || (a.eventId < b.eventId ? 1 : -1))[0] ?? null;
  const requests = pages
    .flatMap((page) => page.requests)
    .filter(
      ({ event: { time, id } }) => stop === null || time > stop.time || (time === stop.time && id >= stop.eventId),
    )
    .toSorted(({ event: a }, { event: b }) => b.time - a.time || (a.id < b.id ? 1 : -1));
  const page = requests.slice(0, limit);
  const last = page.at(-1);
  const isCut = requests.length > limit && last !== undefined;
  const left = pages.reduce((sum, one) => sum + one.left, 0);
  return { requests: page, left, next: isCut ? { time: last.event.time, eventId: last.event.id } : stop };
}
