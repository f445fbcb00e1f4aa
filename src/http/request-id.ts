import { newId } from "../platform/ids.ts";

/**
 * The id of one request: `req_…`, always ours. One that the client sends is never taken: event ids derive from it, so a
 * client that repeats one would make its own usage vanish as duplicates.
 */
export function newRequestId(now: number): string {
  return newId("req_", now);
}
