import { fnv1a } from "../platform/fnv.ts";

/** Which log object keeps which request. Part of what is stored: a request is looked for where it was put. */

/** Objects per workspace. What comes is bounded, so that one bears it; more of them look for a request where they did not put it before. */
const LOG_SHARDS: number = 1;

/** By the request, not by its key: whoever looks for one knows no more than its id. */
export function logOfRequest(workspace: string, requestId: string): string {
  return `${workspace}/${LOG_SHARDS === 1 ? 0 : fnv1a(requestId) % LOG_SHARDS}`;
}

/** Where what was left out is counted. */
export function firstLog(workspace: string): string {
  return `${workspace}/0`;
}

/** Every log object of a workspace. */
export function logNames(workspace: string): readonly string[] {
  return Array.from({ length: LOG_SHARDS }, (_none, shard) => `${workspace}/${shard}`);
}
