import { waitUntil } from "cloudflare:workers";
import { Hono } from "hono";
import { registryOf } from "../durable-objects/key-registry/client.ts";
import { findKept, searchKept } from "../durable-objects/request-log/client.ts";
import { rotateSigningKeys, signingStatus } from "../durable-objects/signing-keys/client.ts";
import type { Comparison, ComparisonQuery } from "../durable-objects/usage-ledger/api.ts";
import { compareUsage, queryUsage } from "../durable-objects/usage-ledger/client.ts";
import { identifyCaller } from "./control/caller.ts";
import { REGISTRY_READ_TIMEOUT_MS } from "./constants.ts";
import type { ControlDependencies } from "./control/dependencies.ts";
import { requireScope } from "./control/problem.ts";
import { PAGE_SEGMENTS } from "./dashboard/paths.ts";
import { authorize } from "./gateway/authorize.ts";
import { checkAdminKey, checkSessionKey, limitsOfKey } from "./gateway/callers.ts";
import { clientIpOf } from "./gateway/facts.ts";
import { handle, type Surroundings } from "./gateway/handler.ts";
import { addressOf } from "./gateway/identity-headers.ts";
import type { Isolate } from "./gateway/isolate.ts";
import { verifyBatch, verifyOne } from "./gateway/verify-endpoints.ts";
import { whoami } from "./gateway/whoami.ts";
import { problemIndexPage, problemPage, problemPageHeaders } from "./http/problem-page.ts";
import { type Problem, toProblem } from "./http/problem.ts";
import { newRequestId } from "./http/request-id.ts";
import type { AdminScope } from "./keys/admin-scopes.ts";
import { within } from "./platform/clock.ts";
import { healthz, readyz } from "./platform/health.ts";
import { logError } from "./platform/log.ts";
import type { RootToken } from "./platform/root-token.ts";
import { err, ok, type Result } from "./result.ts";
import type { Call } from "./tokens/oauth/call.ts";
import { answerIntrospection } from "./tokens/oauth/introspection.ts";
import { answerRevocation } from "./tokens/oauth/revocation.ts";
import { answerToken } from "./tokens/oauth/token-endpoint.ts";
import { signingPolicyOf } from "./tokens/signing-keys.ts";
import {
  answerJwks,
  answerResourceMetadata,
  answerServerMetadata,
  answerWellKnownOptions,
  isWellKnown,
  JWKS_PATH,
  RESOURCE_METADATA_PATH,
  SERVER_METADATA_PATH,
} from "./tokens/well-known.ts";
import type { MeasureQuestion, MeasuresRead } from "./measures/collect.ts";
import { collectMetrics } from "./usage/metrics.ts";
import type { UsageAnswer, UsageQuery } from "./usage/query.ts";

/**
 * Every path that the Worker answers. `/_latchkey/…` and three under `/.well-known/` are Latchkey's own; every other path belongs to
 * the API that it fronts.
 */

export interface App extends Surroundings {
  readonly root: RootToken;
}

const OWN = "/_latchkey/";
const WELL_KNOWN = "/.well-known/";

type Variables = { Bindings: App };

export async function answer(request: Request, app: App): Promise<Response> {
  const requestId = newRequestId(Date.now());
  try {
    if (!isOwn(request.url)) return await handle(request, requestId, app);
    // For all who ask below. What goes to an origin needs no such memory, which would cost it 4 µs.
    requestIds.set(request, requestId);
    return await own.fetch(request, app);
  } catch (error) {
    logError(error, { part: "app", requestId });
    const detail = "Something went wrong here. It was logged under the request id.";
    return toProblem({ code: "internal_error", detail }, { requestId, realm: app.isolate.table.realm });
  }
}

function isOwn(url: string): boolean {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return url.startsWith(OWN, start) || (url.startsWith(WELL_KNOWN, start) && isWellKnown(url, start));
}

/** In a group of its own: the router puts what stands here between anchors. */
const PAGE_SEGMENT = `(?:${PAGE_SEGMENTS.join("|")})`;

const own = new Hono<Variables>()
  .get("/_latchkey/healthz", () => healthz())
  .get("/_latchkey/readyz", ({ env }) => readyz(env.env))
  .get("/_latchkey/metrics", async ({ req: { raw }, env }) => {
    if (!isControlHost(raw, env)) return refuse(raw, NOT_HERE, env);
    const workspace = await callerWorkspace(raw, "usage:read", env);
    return workspace.ok ? await metrics(raw, workspace.value, env) : refuse(raw, workspace.error, env);
  })
  .get(JWKS_PATH, ({ req: { raw }, env }) => jwks(raw, env))
  .get(SERVER_METADATA_PATH, ({ req: { raw }, env }) => answerServerMetadata(raw, env.isolate.config))
  .get(RESOURCE_METADATA_PATH, ({ req: { raw }, env }) => answerResourceMetadata(raw, env.isolate.config))
  .options("/.well-known/*", () => answerWellKnownOptions())
  .all("/.well-known/*", ({ req: { raw }, env }) => refuse(raw, READ_ONLY, env))
  .get("/_latchkey/problems", () => page(problemIndexPage()))
  .get("/_latchkey/problems/:code", (context) => {
    const html = problemPage(context.req.param("code"));
    if (html !== null) return page(html);
    return refuse(context.req.raw, { code: "not_found", detail: "There is no such code." }, context.env);
  })
  .post("/_latchkey/v1/verify", ({ req: { raw }, env }) => verifyAs(raw, env, verifyOne))
  .post("/_latchkey/v1/verify/batch", ({ req: { raw }, env }) => verifyAs(raw, env, verifyBatch))
  .get("/_latchkey/v1/whoami", async ({ req: { raw }, env }) => toJson(raw, await whoami(raw, env), env))
  .all("/_latchkey/v1/authorize", ({ req: { raw }, env }) => forwardAuth(raw, env))
  // Envoy appends the original path.
  .all("/_latchkey/v1/authorize/*", ({ req: { raw }, env }) => forwardAuth(raw, env))
  .post("/_latchkey/oauth/token", ({ req: { raw }, env }) => answerToken(callOf(raw, env)))
  .post("/_latchkey/oauth/introspect", ({ req: { raw }, env }) =>
    answerIntrospection(callOf(raw, env), (asking) => callerWorkspace(asking, "keys:verify", env)),
  )
  .post("/_latchkey/oauth/revoke", ({ req: { raw }, env }) => answerRevocation(callOf(raw, env)))
  .all("/_latchkey/oauth/:endpoint{token|introspect|revoke}", ({ req: { raw }, env }) =>
    refuse(raw, { code: "method_not_allowed", detail: "This path takes POST.", allow: ["POST"] }, env),
  )
  .all("/_latchkey/", ({ req: { raw }, env }) => dashboard(raw, env))
  .all(`/_latchkey/:page{${PAGE_SEGMENT}}`, ({ req: { raw }, env }) => dashboard(raw, env))
  .all(`/_latchkey/:page{${PAGE_SEGMENT}}/*`, ({ req: { raw }, env }) => dashboard(raw, env))
  .all("/_latchkey/*", ({ req: { raw }, env }) => control(raw, env));

own.onError((error) => {
  // To `answer`, which knows how to say it.
  throw error;
});

const READ_ONLY: Problem = {
  code: "method_not_allowed",
  detail: "This path takes GET, HEAD, OPTIONS.",
  allow: ["GET", "HEAD", "OPTIONS"],
};

async function jwks(request: Request, app: App): Promise<Response> {
  const answered = await answerJwks(request, app.isolate.parts.tokens.keys, (work) => app.ctx.waitUntil(work));
  return answered.ok ? answered.value : refuse(request, answered.error, app);
}

async function forwardAuth(request: Request, app: App): Promise<Response> {
  const authorized = await authorize(request, requestIdOf(request), app);
  if (authorized.ok) return authorized.value;
  const response = refuse(request, authorized.error, app);
  // nginx cannot read a body: this tells it a rate limit from a quota.
  response.headers.set("X-Latchkey-Code", authorized.error.code);
  return response;
}

type Verifying = (
  call: { readonly request: Request; readonly requestId: string; readonly workspace: string },
  app: App,
) => Promise<Result<unknown, Problem>>;

async function verifyAs(request: Request, app: App, verifying: Verifying): Promise<Response> {
  const workspace = await callerWorkspace(request, "keys:verify", app);
  if (!workspace.ok) return refuse(request, workspace.error, app);
  return toJson(
    request,
    await verifying({ request, requestId: requestIdOf(request), workspace: workspace.value }, app),
    app,
  );
}

/** Whose keys the caller may ask about: an admin key its own workspace's, root any one's. */
async function callerWorkspace(request: Request, scope: AdminScope, app: App): Promise<Result<string, Problem>> {
  // Verifying changes nothing and is called as often as keys are used: it alone stands on a lease.
  const strict = scope !== "keys:verify";
  const requestId = requestIdOf(request);
  const caller = await identifyCaller(request, app.root, {
    authenticate: (call, presentedKey) => checkAdminKey({ request: call, requestId, presentedKey, strict }, app),
    clientIp: clientIpOf,
    requestId: requestIdOf,
  });
  if (!caller.ok) return caller;
  const allowed = requireScope(caller.value.scopes, scope);
  return allowed.ok ? ok(caller.value.workspace) : allowed;
}

function callOf(request: Request, surroundings: App): Call {
  return { request, requestId: requestIdOf(request), surroundings };
}

const NOT_HERE: Problem = { code: "not_found", detail: "The control API is not served on this host." };

/** `LATCHKEY_CONTROL_HOST`, when set, is the only host of the control API and of what operators read. */
function isControlHost(request: Request, { env }: App): boolean {
  const only = env.LATCHKEY_CONTROL_HOST;
  return only === "" || addressOf(request.url).host === only;
}

/** Kept once loaded. Values, not promises: one request must not wait for what another began. */
const controlApps = new WeakMap<Isolate, Hono>();

/** The control API is loaded when it is first called: its validation is no part of the gateway's path. */
async function control(request: Request, app: App): Promise<Response> {
  if (!isControlHost(request, app)) return refuse(request, NOT_HERE, app);
  const controlApp = controlApps.get(app.isolate) ?? (await loadControl(app));
  return await controlApp.fetch(request);
}

async function loadControl(app: App): Promise<Hono> {
  const { createControlApp } = await import("./control/app.ts");
  const controlApp = createControlApp(controlDependencies(app));
  controlApps.set(app.isolate, controlApp);
  return controlApp;
}

/** Nothing of the one request that comes first stays with what serves them all. */
function controlDependencies({ env, isolate, ipSalt }: App): ControlDependencies {
  const surroundings: Surroundings = { env, isolate, ipSalt, ctx: { waitUntil } };
  return {
    env,
    config: isolate.config,
    authenticate: (request, presentedKey) =>
      checkAdminKey({ request, requestId: requestIdOf(request), presentedKey, strict: true }, surroundings),
    clientIp: clientIpOf,
    requestId: requestIdOf,
    usage: (workspace, query) => readUsage(env, workspace, query),
    comparison: (workspace, query) => readComparison(env, workspace, query),
    measures: async (workspace, question) => readable(await measuresOf(env, workspace, question)),
    requests: {
      find: async (workspace, id) => readable(await findKept(env.REQUEST_LOG, workspace, id)),
      search: async (workspace, search) => readable(await searchKept(env.REQUEST_LOG, workspace, search)),
    },
    signingKeys: {
      status: () => signingStatus(env.SIGNING_KEYS, signingPolicyOf(isolate.config)),
      rotate: (call) => rotateSigningKeys(env.SIGNING_KEYS, { ...call, policy: signingPolicyOf(isolate.config) }),
    },
    now: () => Date.now(),
  };
}

const dashboards = new WeakMap<Isolate, Hono>();

/** Pages for people, loaded when the first one is asked for. */
async function dashboard(request: Request, app: App): Promise<Response> {
  // As if there were none: the control API answers for what is nobody's.
  if (app.isolate.config.dashboard === false) return await control(request, app);
  if (!isControlHost(request, app)) return refuse(request, NOT_HERE, app);
  const known = dashboards.get(app.isolate) ?? (await loadDashboard(app));
  return await known.fetch(request);
}

async function loadDashboard(app: App): Promise<Hono> {
  const { createDashboard } = await import("./dashboard/app.ts");
  const { env, isolate, ipSalt } = app;
  const surroundings: Surroundings = { env, isolate, ipSalt, ctx: { waitUntil } };
  const created = createDashboard({
    control: controlDependencies(app),
    root: app.root,
    secrets: env,
    checkSessionKey: (request, hash) =>
      checkSessionKey({ request, requestId: requestIdOf(request), hash }, surroundings),
    limitsOfKey: (key) => limitsOfKey(key, surroundings),
    registryStatus: (workspace) =>
      within(registryOf(env.KEY_REGISTRY, workspace).status(), REGISTRY_READ_TIMEOUT_MS, "the key registry"),
    replayGuard: env.REPLAY_GUARD,
    fetch: (url, init) => fetch(url, init),
    waitUntil,
  });
  dashboards.set(isolate, created);
  return created;
}

/** Loaded when it is first asked for: no request on its way needs it. */
async function measuresOf(
  env: Env,
  workspace: string,
  question: MeasureQuestion,
): Promise<Result<MeasuresRead, unknown>> {
  const { readMeasures } = await import("./measures/collect.ts");
  return await readMeasures(env, workspace, question);
}

const TOP = /^\d{1,2}$/;

/** `?top=10`: with single keys, so many of each figure. */
async function metrics(request: Request, workspace: string, { env, isolate }: App): Promise<Response> {
  const asked = new URL(request.url).searchParams.get("top") ?? "0";
  return await collectMetrics(env, workspace, async () => {
    const { scrapeMeasures, MAX_TOP } = await import("./measures/scrape.ts");
    const top = TOP.test(asked) ? Math.min(Number(asked), MAX_TOP) : 0;
    return await scrapeMeasures(env, workspace, { top, pricing: isolate.config.pricing ?? null, now: Date.now() });
  });
}

function readable<T>(asked: Result<T, unknown>): Result<T, Problem> {
  if (asked.ok) return asked;
  logError(asked.error, { part: "control" });
  return err({ code: "storage_unavailable", detail: "This cannot be read right now. Try again shortly." });
}

function page(html: string): Response {
  return new Response(html, { headers: problemPageHeaders() });
}

async function readUsage(env: Env, workspace: string, query: UsageQuery): Promise<Result<UsageAnswer, Problem>> {
  const answered = await queryUsage(env.USAGE_LEDGER, workspace, query);
  if (answered.ok) return answered;
  const { error } = answered;
  if (error.code === "request_invalid") {
    const errors = [{ pointer: `/${error.parameter}`, detail: error.detail, in: "query" }] as const;
    return err({ code: error.code, detail: "The request has faults; see errors.", errors });
  }
  logError(error.cause, { part: "ledger" });
  return err({ code: error.code, detail: error.detail });
}

async function readComparison(
  env: Env,
  workspace: string,
  query: ComparisonQuery,
): Promise<Result<Comparison, Problem>> {
  const answered = await compareUsage(env.USAGE_LEDGER, workspace, query);
  if (answered.ok) return answered;
  const { code, detail, cause } = answered.error;
  logError(cause, { part: "ledger" });
  return err({ code, detail });
}

function toJson(request: Request, result: Result<unknown, Problem>, app: App): Response {
  if (!result.ok) return refuse(request, result.error, app);
  return Response.json(result.value, {
    headers: { "Cache-Control": "no-store", "X-Request-Id": requestIdOf(request) },
  });
}

function refuse(request: Request, problem: Problem, app: App): Response {
  return toProblem(problem, { requestId: requestIdOf(request), realm: app.isolate.table.realm });
}

const requestIds = new WeakMap<Request, string>();

/** One id for one request, whoever asks. */
function requestIdOf(request: Request): string {
  const known = requestIds.get(request);
  if (known !== undefined) return known;
  const made = newRequestId(Date.now());
  requestIds.set(request, made);
  return made;
}
