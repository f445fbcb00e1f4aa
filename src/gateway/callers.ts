import type { Problem } from "../http/problem.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { err, ok, type Result } from "../result.ts";
import { check } from "./check.ts";
import { clientIpOf, requestFacts } from "./facts.ts";
import type { Isolate } from "./isolate.ts";

/** Admin keys are checked like every key, by the same steps. */

export interface AdminCheck {
  readonly request: Request;
  readonly presentedKey: string;
  /** Every call asks the meter. Only `keys:verify` goes without: it changes nothing, and is called as often as keys are used. */
  readonly strict: boolean;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** The record of a key that stands, of whatever kind: the caller looks at kind and scopes. */
export async function checkAdminKey(input: AdminCheck, isolate: Isolate): Promise<Result<EdgeRecord, Problem>> {
  const { request, presentedKey, strict, waitUntil } = input;
  const outcome = await check(
    {
      presentedKey,
      facts: requestFacts(request),
      budget: { address: clientIpOf(request) },
      demand: { workspace: "*", environments: null, scopes: [], adminKeys: "accepted" },
      cost: 1,
      routeLimits: [],
      routePolicy: { strict, onMeterUnavailable: "closed", graceSeconds: null },
      waitUntil,
    },
    isolate.parts,
  );
  return outcome.ok ? ok(outcome.admission.record) : err(outcome.refusal);
}
