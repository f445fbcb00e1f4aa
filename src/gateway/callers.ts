import type { Problem } from "../http/problem.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { err, ok, type Result } from "../result.ts";
import { check } from "./check.ts";
import { factsOfCall } from "./checked-event.ts";
import { clientIpOf, requestFacts } from "./facts.ts";
import type { Surroundings } from "./handler.ts";
import { ANY_KEY } from "./judge.ts";
import { record } from "./record.ts";

/** Admin keys are checked like every key, by the same steps, and their use is an event like every use. */

export interface AdminCheck {
  readonly request: Request;
  readonly requestId: string;
  readonly presentedKey: string;
  /** Every call asks the meter. Only `keys:verify` goes without: it changes nothing, and is called as often as keys are used. */
  readonly strict: boolean;
}

/** Stands in events for every path of Latchkey's own API. */
const OWN_ROUTE = "/_latchkey/v1/*";

/** The record of a key that stands, of whatever kind: the caller looks at kind and scopes. */
export async function checkAdminKey(
  input: AdminCheck,
  surroundings: Surroundings,
): Promise<Result<EdgeRecord, Problem>> {
  const startedAt = Date.now();
  const { request, requestId, presentedKey, strict } = input;
  const outcome = await check(
    {
      presentedKey,
      facts: requestFacts(request),
      budget: { address: clientIpOf(request) },
      demand: { ...ANY_KEY, takesExchangeOnly: false },
      possession: { via: "bearer", proof: null, method: request.method, url: request.url },
      cost: 1,
      look: false,
      routeLimits: [],
      routePolicy: { strict, onMeterUnavailable: "closed", graceSeconds: null },
      waitUntil: (work) => surroundings.ctx.waitUntil(work),
    },
    surroundings.isolate.parts,
  );
  const facts = factsOfCall(outcome, { request, requestId, startedAt });
  // Apart from the event of what the call itself asks about.
  record({ ...facts, index: CALLER_EVENT, route: OWN_ROUTE }, surroundings);
  return outcome.ok ? ok(outcome.admission.record) : err(outcome.refusal);
}

/** The places of a batch's checks go up to 99. */
const CALLER_EVENT = 1_000;
