import { MAX_URI_BYTES } from "../constants.ts";
import type { ProblemCode } from "../http/codes.ts";
import { type Problem, toProblem } from "../http/problem.ts";
import { continueTrace } from "../http/traceparent.ts";
import { addToAnswer } from "./answer.ts";
import { assertRequest } from "./assert.ts";
import { isDeclaredTooLarge } from "./body-limit.ts";
import { check } from "./check.ts";
import type { CompiledRoute } from "./compiled-route.ts";
import { type Credential, readCredential } from "./credential.ts";
import { bindingFacts } from "./facts.ts";
import { forward, type Forwarded } from "./forward.ts";
import { addressOf } from "./identity-headers.ts";
import type { Isolate } from "./isolate.ts";
import { factsOf, type Journey, setOut } from "./journey.ts";
import type { Demand } from "./judge.ts";
import type { Admission } from "./outcome.ts";
import { addCorsHeaders, decidePreflight } from "./preflight.ts";
import { type Facts, record, recordSync } from "./record.ts";
import { type Survey, surveyFields } from "./survey.ts";
import { percentDecoded, withoutParameter } from "./upstream-url.ts";
import { randomHex } from "../platform/random.ts";

/** One request's way, in order: route, credential, check, forward, answer, record. Each step is a file of its own. */

export interface Surroundings {
  readonly env: Env;
  readonly ctx: Pick<ExecutionContext, "waitUntil">;
  readonly isolate: Isolate;
  /** For hashed addresses in events; `null` where none is configured. */
  readonly ipSalt: string | null;
}

export const KEY_MISSING: Problem = {
  code: "key_missing",
  detail: "Send an API key: Authorization: Bearer <key>, or X-API-Key: <key>.",
};

const URI_TOO_LONG: Problem = { code: "uri_too_long", detail: `The URL is longer than ${MAX_URI_BYTES} bytes.` };

/** What nginx calls it: the client closed the request. For the event alone; nobody reads the answer. */
const STATUS_CLIENT_GONE = 499;

export async function handle(request: Request, requestId: string, surroundings: Surroundings): Promise<Response> {
  const journey = setOut(request, requestId);
  const { method, url } = journey;
  const { table } = surroundings.isolate;
  // What is too long is not worth the reading.
  if (url.length > MAX_URI_BYTES) return refuse(URI_TOO_LONG, journey, surroundings);
  const { host } = addressOf(url);
  const pathname = pathnameOf(url);

  const preflight = decidePreflight(table, { method, headers: request.headers, host, pathname });
  if (preflight.kind === "answer") {
    preflight.response.headers.set("X-Request-Id", requestId);
    return preflight.response;
  }
  if (preflight.kind === "pass") {
    return await passPreflight(journey, preflight.match.route, surroundings);
  }

  const match = table.match(method, host, pathname);
  if (match.kind === "not_found") return refuse(ROUTE_NOT_FOUND, journey, surroundings);
  if (match.kind === "ambiguous") {
    return refuse({ code: "request_invalid", detail: match.detail }, journey, surroundings);
  }
  journey.route = match.route;
  return await serve(journey, match.route, surroundings);
}

const ROUTE_NOT_FOUND: Problem = {
  code: "route_not_found",
  detail: "No route answers for this method and path.",
};

/** From the credential on, on a route that is known. */
async function serve(journey: Journey, route: CompiledRoute, surroundings: Surroundings): Promise<Response> {
  const { fields, url, clientIp } = journey;
  const { isolate, ctx } = surroundings;
  const rules = { queryParameter: route.keyInQuery, prefixes: isolate.table.prefixes };
  const credential = readCredential({ headers: fields, url }, rules);
  if (!credential.ok) return refuse(credential.error, journey, surroundings);
  const survey = prepare(journey, route, credential.value);
  if ("code" in survey) return refuse(survey, journey, surroundings);
  if (credential.value === null) return refuse(KEY_MISSING, journey, surroundings);

  journey.via = credential.value.via;
  const outcome = await check(
    {
      presentedKey: credential.value.presentedKey,
      facts: bindingFacts(journey.incoming, clientIp, fields.get("origin") ?? null),
      budget: { address: clientIp },
      demand: demandOf(route),
      possession: { via: credential.value.via, proof: fields.get("dpop") ?? null, method: journey.method, url },
      signable: journey,
      cost: route.cost,
      look: false,
      routeLimits: route.limits,
      routePolicy: route,
      ground: journey,
      waitUntil: (work) => ctx.waitUntil(work),
    },
    isolate.parts,
  );
  const decidedAt = Date.now();
  journey.authMs = decidedAt - journey.startedAt;
  if (!outcome.ok) {
    journey.record = outcome.refusal.record;
    journey.token = outcome.refusal.token ?? null;
    journey.credentialTag = outcome.refusal.credentialTag ?? null;
    journey.time = decidedAt;
    return refuse(outcome.refusal, journey, surroundings);
  }
  const { admission, at } = outcome;
  journey.record = admission.record;
  journey.token = admission.token;
  journey.time = at;
  journey.limits = admission.limits;
  let assertion: string | null = null;
  if (route.assertionSeconds !== null) {
    const { method, requestId } = journey;
    const asserted = await assertRequest({ route, admission, requestId, method, url, askedAt: url }, surroundings);
    if (!asserted.ok) return refuse(asserted.error, journey, surroundings);
    assertion = asserted.value;
  }
  const forwarded = await send(journey, { route, survey, admission, assertion }, surroundings);
  return await answer(forwarded, { route, admission }, journey, surroundings);
}

export function demandOf(route: CompiledRoute): Demand {
  const { environments, scopes, upstream } = route;
  const { workspace, audience } = upstream;
  return { workspace, environments, scopes, adminKeys: "refused", audience, takesExchangeOnly: false };
}

const KEY_IN_URL: Problem = {
  code: "credential_in_query",
  detail: "The URL contains the API key. URLs are logged: send it in a header, and replace this key.",
};

/** A shorter text may stand in a path by chance; only imported keys can be shorter. */
const TELLING_KEY_CHARACTERS = 20;

/** Whether the key stands in the URL anywhere but where the route takes it and Latchkey removes it. */
function isKeyInUrl(url: string, presentedKey: string, keyInQuery: string | null): boolean {
  if (presentedKey.length < TELLING_KEY_CHARACTERS) return false;
  const queryStart = keyInQuery === null ? -1 : url.indexOf("?");
  const rest =
    keyInQuery === null || queryStart < 0
      ? url
      : url.slice(0, queryStart) + withoutParameter(url.slice(queryStart), keyInQuery);
  return rest.includes(presentedKey) || (rest.includes("%") && percentDecoded(rest).includes(presentedKey));
}

/** What can be refused before a key is looked at, so that nothing is charged for it. */
function prepare({ fields, url }: Journey, route: CompiledRoute, credential: Credential | null): Survey | Problem {
  const survey = surveyFields(fields, credential?.presentedKey ?? null);
  if (!survey.ok) return survey.error;
  // Its proof is for this door, and for nobody behind it.
  const isProof = credential?.via === "dpop" && fields.has("dpop");
  if (credential !== null && isKeyInUrl(url, credential.presentedKey, route.keyInQuery)) return KEY_IN_URL;
  if (isDeclaredTooLarge(fields.get("content-length"), route.maxBodyBytes)) {
    return { code: "body_too_large", detail: `The body is larger than ${route.maxBodyBytes} bytes.` };
  }
  return isProof ? { ...survey.value, withheld: [...survey.value.withheld, "dpop"] } : survey.value;
}

interface Sending {
  readonly route: CompiledRoute;
  readonly survey: Survey;
  /** `null`: a preflight, which is nobody's. */
  readonly admission: Admission | null;
  readonly assertion: string | null;
}

function send(
  journey: Journey,
  { route, survey, admission, assertion }: Sending,
  { env, isolate }: Surroundings,
): Promise<Forwarded> {
  const { request, requestId, clientIp, startedAt } = journey;
  const trace = continueTrace(survey.fields.get("traceparent") ?? null, randomHex);
  journey.trace = trace;
  return forward({
    request,
    survey,
    admission,
    assertion,
    route,
    requestId,
    traceparent: trace.traceparent,
    traceContinued: trace.continued,
    clientIp,
    env,
    timingSince: isolate.config.serverTiming === true ? startedAt : null,
  });
}

/** Steps 7 and 8: the client's answer, and the event, which waits for streams of unknown length to end. */
async function answer(
  forwarded: Forwarded,
  { route, admission }: { readonly route: CompiledRoute; readonly admission: Admission },
  journey: Journey,
  surroundings: Surroundings,
): Promise<Response> {
  const ending = endingOf(forwarded, admission, journey, surroundings);
  const now = Date.now();
  const { traffic, upstreamMs } = forwarded;
  const facts = (): Facts =>
    factsOf(journey, {
      status: ending.status,
      code: ending.code,
      cost: ending.cost,
      latencyMs: now - journey.startedAt,
      upstreamMs,
      bytesIn: traffic.bytesIn(),
      bytesOut: traffic.bytesOut(),
      degraded: admission.degraded,
    });
  if (route.audit === "sync") await recordSync(facts(), surroundings, journey);
  else if (traffic.ended === null) record(facts(), surroundings, journey);
  else surroundings.ctx.waitUntil(traffic.ended.then(() => record(facts(), surroundings, journey)));
  return ending.response;
}

interface Ending {
  readonly response: Response;
  readonly status: number;
  readonly code: "allowed" | ProblemCode;
  readonly cost: number;
}

function endingOf(forwarded: Forwarded, admission: Admission, journey: Journey, surroundings: Surroundings): Ending {
  if (forwarded.ok) {
    const { response } = forwarded;
    addCors(response.headers, journey);
    return { response, status: response.status, code: "allowed", cost: admission.cost };
  }
  const { failure } = forwarded;
  journey.refusal = failure;
  // Who leaves early has nothing back: the origin may have done its work.
  const refunded = !failure.clientGone && journey.route?.refundOn.some((reason) => reason === failure.code) === true;
  if (refunded) admission.refund();
  const response = problemOf(failure, journey, surroundings);
  addToAnswer(response.headers, { admission, requestId: journey.requestId, ownMs: null });
  const status = failure.clientGone ? STATUS_CLIENT_GONE : response.status;
  return { response, status, code: failure.code, cost: refunded ? 0 : admission.cost };
}

/** A refusal is an answer and an event too, with what is known. */
function refuse(problem: Problem, journey: Journey, surroundings: Surroundings): Response {
  journey.refusal = problem;
  if (problem.limits !== undefined) journey.limits = problem.limits;
  const response = problemOf(problem, journey, surroundings);
  const facts = factsOf(journey, {
    status: response.status,
    code: problem.code,
    cost: 0,
    latencyMs: Date.now() - journey.startedAt,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 0,
    degraded: false,
  });
  record(facts, surroundings, journey);
  return response;
}

/** A preflight goes to the origin without a key, by the upstream's policy; it charges nothing and is nobody's use. */
async function passPreflight(journey: Journey, route: CompiledRoute, surroundings: Surroundings): Promise<Response> {
  const survey = surveyFields(journey.fields, null);
  if (!survey.ok) return problemOf(survey.error, journey, surroundings);
  const forwarded = await send(
    journey,
    { route, survey: survey.value, admission: null, assertion: null },
    surroundings,
  );
  return forwarded.ok ? forwarded.response : problemOf(forwarded.failure, journey, surroundings);
}

function problemOf(problem: Problem, journey: Journey, { isolate }: Surroundings): Response {
  const response = toProblem(problem, { requestId: journey.requestId, realm: isolate.table.realm });
  addCors(response.headers, journey);
  return response;
}

/** A page of another origin must be able to read refusals too. */
function addCors(headers: Headers, { route, fields }: Journey): void {
  const policy = route?.upstream.preflight;
  if (typeof policy === "object") addCorsHeaders(headers, policy, fields.get("origin") ?? null);
}

/** The path as it was sent: what `URL` would normalise stays as it is. */
export function pathnameOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}
