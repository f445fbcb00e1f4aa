import type { Problem } from "../http/problem.ts";
import type { EdgeRecord, KeyHash } from "../keys/record.ts";
import type { LimitView } from "../limits/limit.ts";
import { err, ok, type Result } from "../result.ts";
import type { Parent } from "../tokens/verified-token.ts";
import { check, checkByHash, checkKnown, type CheckInput, type CheckOutcome } from "./check.ts";
import { factsOfCall } from "./checked-event.ts";
import { clientIpOf, incomingOf, requestFacts } from "./facts.ts";
import { type Ground, newGround } from "./ground.ts";
import type { Surroundings } from "./handler.ts";
import { ANY_KEY } from "./judge.ts";
import { record } from "./record.ts";
import { wayOfCheck } from "./way.ts";

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

/** Of the pages. */
const PAGE_ROUTE = "/_latchkey/*";

/** The record of a key that stands, of whatever kind: the caller looks at kind and scopes. */
export async function checkAdminKey(
  input: AdminCheck,
  surroundings: Surroundings,
): Promise<Result<EdgeRecord, Problem>> {
  const startedAt = Date.now();
  const { presentedKey } = input;
  const asked = { presentedKey, ...howAsked(input, surroundings) };
  const { ground } = asked;
  const outcome = await check(asked, surroundings.isolate.parts);
  return settle(outcome, { input, startedAt, route: OWN_ROUTE, via: "bearer", ground }, surroundings);
}

/** The same for a key that was presented when a session began, of which the session keeps the hash: strict, bindings and all. */
export async function checkSessionKey(
  input: Omit<AdminCheck, "presentedKey" | "strict"> & { readonly hash: KeyHash },
  surroundings: Surroundings,
): Promise<Result<EdgeRecord, Problem>> {
  const startedAt = Date.now();
  const asked = howAsked({ ...input, strict: true }, surroundings);
  const outcome = await checkByHash(input.hash, asked, surroundings.isolate.parts);
  const { ground } = asked;
  return settle(outcome, { input, startedAt, route: PAGE_ROUTE, via: null, ground }, surroundings);
}

function howAsked(
  { request, strict }: Pick<AdminCheck, "request" | "strict">,
  { ctx }: Surroundings,
): Omit<CheckInput, "presentedKey"> & { readonly ground: Ground } {
  return {
    facts: requestFacts(request),
    budget: { address: clientIpOf(request) },
    demand: { ...ANY_KEY, takesExchangeOnly: false },
    possession: { via: "bearer", proof: null, method: request.method, url: request.url },
    cost: 1,
    look: false,
    routeLimits: [],
    routePolicy: { strict, onMeterUnavailable: "closed", graceSeconds: null },
    ground: newGround(),
    waitUntil: (work) => ctx.waitUntil(work),
  };
}

interface Asked {
  readonly input: Pick<AdminCheck, "request" | "requestId">;
  readonly startedAt: number;
  readonly route: string;
  readonly via: "bearer" | null;
  readonly ground: Ground;
}

function settle(
  outcome: CheckOutcome,
  { input: { request, requestId }, startedAt, route, via, ground }: Asked,
  surroundings: Surroundings,
): Result<EdgeRecord, Problem> {
  const facts = factsOfCall(outcome, { request, requestId, startedAt });
  // Apart from the event of what the call itself asks about.
  const { headers: fields, url } = request;
  const call = { ground, route: null, via, fields, url, incoming: incomingOf(request) } as const;
  record({ ...facts, index: CALLER_EVENT, route }, surroundings, wayOfCheck(outcome, call));
  return outcome.ok ? ok(outcome.admission.record) : err(outcome.refusal);
}

/** What is left of a key's limits, by its meter's word. Charges nothing and is no use. A key that does not stand has nothing left to tell. */
export async function limitsOfKey(
  key: Parent,
  { isolate, ctx }: Surroundings,
): Promise<Result<readonly LimitView[], Problem>> {
  const outcome = await checkKnown(
    key,
    null,
    {
      presentedKey: "",
      // Whoever looks is not whoever uses it.
      facts: null,
      budget: null,
      demand: ANY_KEY,
      possession: "not asked",
      signable: "not asked",
      cost: 0,
      look: true,
      routeLimits: [],
      routePolicy: { strict: false, onMeterUnavailable: null, graceSeconds: null },
      waitUntil: (work) => ctx.waitUntil(work),
    },
    isolate.parts,
  );
  if (outcome.ok) return ok(outcome.admission.limits);
  const { limits = [] } = outcome.refusal;
  return limits.length > 0 ? ok(limits) : err(outcome.refusal);
}

/** The places of a batch's checks go up to 99. */
const CALLER_EVENT = 1_000;
