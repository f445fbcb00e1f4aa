import { WATCH_TIMEOUT_MS } from "../../src/constants.ts";
import { sightingsIn } from "../../src/usage/sightings.ts";
import { within } from "../../src/platform/clock.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { logError } from "../../src/platform/log.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import type { WatchPolicy } from "../../src/detection/policy.ts";
import type { WatchApi } from "./api.ts";

/** How everything else talks to the watch. */

/** The part of a Durable Object namespace that is needed; `Env["WATCH"]` fits. */
export interface WatchNamespace {
  getByName(name: string): unknown;
}

export function watchOf(namespace: WatchNamespace, workspace: string): WatchApi {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  return namespace.getByName(workspace) as WatchApi;
}

/** Never rejects: what the watch is not told is missing from what it judges, and from nothing else. */
export async function tellWatch(
  namespace: WatchNamespace,
  workspace: string,
  events: readonly UsageEvent[],
  policy: WatchPolicy,
): Promise<void> {
  try {
    const call = watchOf(namespace, workspace).observe(sightingsIn(events, fnv1a), policy);
    await within(call, WATCH_TIMEOUT_MS, "the watch");
  } catch (error) {
    logError(error, { message: "the watch was not told of some requests", workspace, events: events.length });
  }
}
