import { METER_TIMEOUT_MS } from "../../src/constants.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import { within } from "../../src/platform/clock.ts";

/** How an isolate talks to meters. A lease broker would answer the same calls. */

/** Where a lineage's, or an owner's, requests are counted. */
export function meterOfLineage(workspace: string, lineageId: string): string {
  return `${workspace}/${lineageId}`;
}

export function meterOfOwner(workspace: string, owner: string): string {
  return `${workspace}/owner/${owner}`;
}

/**
 * Asks a meter. Throws when it cannot be reached in `METER_TIMEOUT_MS`. Never retried here: a call that may have
 * granted must not be sent twice, and the policy for an unreachable meter serves the client sooner.
 */
export async function acquireFrom(
  namespace: Env["KEY_METER"],
  meter: string,
  request: AcquireRequest,
): Promise<AcquireAnswer> {
  return await within<AcquireAnswer>(namespace.getByName(meter).acquire(request), METER_TIMEOUT_MS, "the meter");
}

/** Hands back what is left. A failure only leaves units unused until their window ends. */
export async function releaseTo(namespace: Env["KEY_METER"], meter: string, request: ReleaseRequest): Promise<void> {
  await within(namespace.getByName(meter).release(request), METER_TIMEOUT_MS, "the meter");
}
