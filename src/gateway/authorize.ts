import type { Problem } from "../http/problem.ts";
import { err, ok, type Result } from "../result.ts";
import { assertRequest } from "./assert.ts";
import { check, type CheckOutcome } from "./check.ts";
import { factsOfCall } from "./checked-event.ts";
import type { CompiledRoute } from "./compiled-route.ts";
import { type Credential, readCredential } from "./credential.ts";
import { clientIpOf, incomingOf, requestFacts } from "./facts.ts";
import { authorizedAnswer, readOriginalRequest } from "./forward-auth.ts";
import { type Ground, newGround } from "./ground.ts";
import { demandOf, KEY_MISSING, pathnameOf, type Surroundings } from "./handler.ts";
import { addressOf } from "./identity-headers.ts";
import { record, recordSync } from "./record.ts";
import { wayOfCheck } from "./way.ts";

/**
 * Forward auth: another proxy asks whether a request may pass. The key stands in the request itself; method, host and
 * path are the original's. The same check as for a proxied request, and the same charge.
 */
export async function authorize(
  request: Request,
  requestId: string,
  surroundings: Surroundings,
): Promise<Result<Response, Problem>> {
  const startedAt = Date.now();
  const decided = await decide(request, requestId, surroundings);
  const { outcome, method, route } = decided;
  const facts = {
    ...factsOfCall(outcome, { request, requestId, startedAt }),
    method,
    upstream: route?.upstream.name ?? null,
    route: route?.template ?? null,
  };
  const { headers, url } = request;
  const call = { ground: decided.ground, route, via: decided.via, fields: headers, url, incoming: incomingOf(request) };
  const way = wayOfCheck(outcome, call);
  if (route?.audit === "sync") await recordSync(facts, surroundings, way);
  else record(facts, surroundings, way);
  return outcome.ok ? ok(authorizedAnswer(outcome.admission, decided.assertion, requestId)) : err(outcome.refusal);
}

interface Decided {
  readonly outcome: CheckOutcome;
  /** The original's. */
  readonly method: string;
  readonly route: CompiledRoute | null;
  /** For the origin; `null` where it is shown none. */
  readonly assertion: string | null;
  readonly via: Credential["via"] | null;
  readonly ground: Ground;
}

async function decide(request: Request, requestId: string, surroundings: Surroundings): Promise<Decided> {
  const { isolate, ctx } = surroundings;
  const original = readOriginalRequest(request);
  if (!original.ok) return refused(hasCredential(request) ? original.error : KEY_MISSING, request.method, null);
  const { method, url } = original.value;
  const match = isolate.table.match(method, addressOf(url).host, pathnameOf(url));
  if (match.kind === "not_found") return refused(ROUTE_NOT_FOUND, method, null);
  if (match.kind === "ambiguous") return refused({ code: "request_invalid", detail: match.detail }, method, null);
  const { route } = match;

  const source = { headers: request.headers, url };
  const credential = readCredential(source, { queryParameter: route.keyInQuery, prefixes: isolate.table.prefixes });
  if (!credential.ok) return refused(credential.error, method, route);
  if (credential.value === null) return refused(KEY_MISSING, method, route);
  const { via } = credential.value;
  const ground = newGround();
  const outcome = await check(
    {
      presentedKey: credential.value.presentedKey,
      facts: requestFacts(request),
      budget: { address: clientIpOf(request) },
      demand: demandOf(route),
      possession: { via, proof: request.headers.get("DPoP"), method, url },
      cost: route.cost,
      look: false,
      routeLimits: route.limits,
      routePolicy: route,
      ground,
      waitUntil: (work) => ctx.waitUntil(work),
    },
    isolate.parts,
  );
  if (!outcome.ok) return { outcome, method, route, via, ground, assertion: null };
  const { admission } = outcome;
  const asserted = await assertRequest(
    { route, admission, requestId, method, url, askedAt: request.url },
    surroundings,
  );
  if (asserted.ok) return { outcome, method, route, via, ground, assertion: asserted.value };
  return {
    outcome: { ok: false, refusal: { ...asserted.error, record: admission.record } },
    method,
    route,
    via,
    ground,
    assertion: null,
  };
}

const ROUTE_NOT_FOUND: Problem = {
  code: "route_not_found",
  detail: "No route answers for the original method and path.",
};

function refused({ code, detail }: Problem, method: string, route: CompiledRoute | null): Decided {
  const outcome = { ok: false, refusal: { code, detail, record: null } } as const;
  return { outcome, method, route, via: null, ground: newGround(), assertion: null };
}

/** Whoever brings no key hears that first, however the proxy is set up. */
function hasCredential({ headers }: Request): boolean {
  return headers.has("authorization") || headers.has("x-api-key");
}
