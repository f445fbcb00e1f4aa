import { PROBLEMS } from "../http/codes.ts";
import type { Problem } from "../http/problem.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { err, ok, type Result } from "../result.ts";
import { check } from "./check.ts";
import { clientIpOf, incomingOf, networkOf, requestFacts } from "./facts.ts";
import type { Surroundings } from "./handler.ts";
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
      demand: {
        workspace: "*",
        environments: null,
        scopes: [],
        adminKeys: "accepted",
        audience: null,
        takesExchangeOnly: false,
      },
      possession: { via: "bearer", proof: null, method: request.method, url: request.url },
      cost: 1,
      look: false,
      routeLimits: [],
      routePolicy: { strict, onMeterUnavailable: "closed", graceSeconds: null },
      waitUntil: (work) => surroundings.ctx.waitUntil(work),
    },
    surroundings.isolate.parts,
  );
  const now = Date.now();
  const result = outcome.ok
    ? { record: outcome.admission.record, status: 200, code: "allowed", cost: 1, time: outcome.at }
    : {
        record: outcome.refusal.record,
        status: PROBLEMS[outcome.refusal.code].status,
        code: outcome.refusal.code,
        cost: 0,
        time: now,
      };
  const facts = {
    ...result,
    requestId,
    // Apart from the event of what the call itself asks about.
    index: CALLER_EVENT,
    method: request.method,
    upstream: null,
    route: OWN_ROUTE,
    latencyMs: now - startedAt,
    authMs: now - startedAt,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 0,
    ...networkOf(incomingOf(request)),
    clientIp: clientIpOf(request),
    userAgent: request.headers.get("User-Agent"),
    degraded: false,
  };
  record(facts, surroundings);
  return outcome.ok ? ok(outcome.admission.record) : err(outcome.refusal);
}

/** The places of a batch's checks go up to 99. */
const CALLER_EVENT = 1_000;
