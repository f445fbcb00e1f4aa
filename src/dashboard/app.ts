import { Hono } from "hono";
import { holdToRate } from "../control/caller.ts";
import type { Outcome } from "../control/problem.ts";
import type { Problem } from "../http/problem.ts";
import { NAME_PATTERN } from "../control/schemas/names.ts";
import { logError } from "../platform/log.ts";
import { seeOther } from "./answer.ts";
import { serveAsset } from "./assets/assets.ts";
import { ControlCalls } from "./control-calls.ts";
import type { DashboardDependencies } from "./dependencies.ts";
import { readForm } from "./form.ts";
import { alertAction, alertPage, alertsPage, endSilenceAction } from "./pages/alerts.tsx";
import { auditPage } from "./pages/audit.tsx";
import { detectionsPage } from "./pages/detections.tsx";
import { keyAction, keyActionPage } from "./pages/key-actions.tsx";
import { issueKey, newKeyPage } from "./pages/key-new.tsx";
import { keyPage } from "./pages/key.tsx";
import { keysPage } from "./pages/keys.tsx";
import { changeKeyLimits, changeOwnerLimits, keyLimitsPage, ownerLimitsPage } from "./pages/limits.tsx";
import { measuresPage } from "./pages/measures.tsx";
import { onCallPage } from "./pages/on-call.tsx";
import { overviewPage } from "./pages/overview.tsx";
import { ownerAction, ownerActionPage } from "./pages/owner-actions.tsx";
import { findOwner, ownerPage, ownerPortal, ownersPage } from "./pages/owners.tsx";
import { problemAnswer } from "./pages/problem.tsx";
import { requestPage, requestsPage } from "./pages/requests.tsx";
import { bouncePage, signIn, signInPage } from "./pages/sign-in.tsx";
import { usagePage } from "./pages/usage.tsx";
import { HOME_PATH, pageUrl, safeReturn } from "./paths.ts";
import { addPortal } from "./portal/routes.tsx";
import { readCookie, writeCookie } from "./session/cookies.ts";
import { identifyVisitor, isDueForTouch, sessionCookie } from "./session/identify.ts";
import { isSameOrigin, sameToken } from "./session/same-origin.ts";
import { type PageContext, readTheme } from "./view/page.ts";

/** Pages for people. Made once per isolate, when the first page is asked for: nothing of this is on the gateway's path. */

type Page = (context: PageContext, id: string) => Promise<Response>;
type Action = (context: PageContext, form: URLSearchParams, id: string) => Promise<Response>;

/** What is read, by its path below `/_latchkey/`. */
const PAGES: Readonly<Record<string, Page>> = {
  "": overviewPage,
  "on-call": onCallPage,
  alerts: alertsPage,
  "alerts/:id": alertPage,
  detections: detectionsPage,
  measures: measuresPage,
  requests: requestsPage,
  "requests/:id": requestPage,
  usage: usagePage,
  audit: auditPage,
  owners: ownersPage,
  "owners/find": findOwner,
  "owners/:id": ownerPage,
  "owners/:id/:action{(?:disable|enable)}": ownerActionPage,
  "owners/:id/limits": ownerLimitsPage,
  keys: keysPage,
  "keys/new": newKeyPage,
  "keys/:id": keyPage,
  "keys/:id/:action{(?:rotate|revoke|disable|enable)}": keyActionPage,
  "keys/:id/limits": keyLimitsPage,
};

/** What is done, by a form with the session's token. */
const ACTIONS: Readonly<Record<string, Action>> = {
  "keys/new": issueKey,
  "keys/:id/:action{(?:rotate|revoke|disable|enable)}": keyAction,
  "owners/:id/:action{(?:disable|enable)}": ownerAction,
  "keys/:id/limits": changeKeyLimits,
  "owners/:id/limits": changeOwnerLimits,
  "owners/:id/portal": ownerPortal,
  "alerts/:id/:action{(?:acknowledge|resolve|silence)}": alertAction,
  "alerts/silences/:id/end": endSilenceAction,
  "session/end": endSession,
  "session/workspace": chooseWorkspace,
};

const THEME_SECONDS = 365 * 86_400;

export function createDashboard(deps: DashboardDependencies): Hono {
  const app = new Hono();
  app.get(`${HOME_PATH}assets/:file`, ({ req }) => serveAsset(req.path) ?? problemAnswer(req.raw, NOT_THERE));
  app.get(`${HOME_PATH}sign-in`, ({ req }) => signInPage(req.raw, deps));
  app.post(`${HOME_PATH}sign-in`, ({ req }) => formOf(req.raw, (form) => signIn(form, req.raw, deps)));
  app.post(`${HOME_PATH}session/theme`, ({ req }) => formOf(req.raw, (form) => chooseTheme(form, req.raw)));
  for (const [path, page] of Object.entries(PAGES)) {
    app.get(HOME_PATH + path, ({ req }) => visit(req.raw, deps, (context) => page(context, req.param("id") ?? "")));
  }
  for (const [path, action] of Object.entries(ACTIONS)) {
    app.post(HOME_PATH + path, ({ req }) => {
      const id = req.param("id") ?? "";
      return formOf(req.raw, (form) =>
        visit(req.raw, deps, (context) => act(context, form, () => action(context, form, id))),
      );
    });
  }
  addPortal(app, deps, formOf);
  app.notFound(({ req }) => problemAnswer(req.raw, NOT_THERE));
  app.onError((error, { req }) => {
    const requestId = deps.control.requestId(req.raw);
    logError(error, { part: "pages", requestId });
    const detail = `Something went wrong here. It was logged under the request id ${requestId}.`;
    return problemAnswer(req.raw, { code: "internal_error", detail });
  });
  return app;
}

const NOT_THERE: Problem = { code: "not_found", detail: "There is no such page." };

/** For who is signed in; others are asked to. */
async function visit(
  request: Request,
  deps: DashboardDependencies,
  page: (context: PageContext) => Promise<Response>,
): Promise<Response> {
  const identified = await identifyVisitor(request, deps);
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (!identified.ok) {
    // A link from elsewhere comes without the cookie, which is `SameSite=Strict`; one step within this site brings it.
    if (isRead && isFromElsewhere(request)) return await bouncePage(request);
    return await signInPage(request, deps, identified.error);
  }
  const visitor = identified.value;
  const inRate = await holdToRate(visitor.caller, deps.control.env.CONTROL_RATE);
  if (!inRate.ok) return await problemAnswer(request, inRate.error);
  const context: PageContext = {
    request,
    url: new URL(request.url),
    visitor,
    calls: new ControlCalls(visitor.caller, request, deps),
    deps,
    theme: readTheme(readCookie(request, "latchkey-theme")),
    now: deps.control.now(),
  };
  const response = await page(context);
  const { session } = visitor;
  // What a page asks for by itself does not keep its session alive.
  const isByHand = !context.url.searchParams.has("part");
  if (session === null || !isByHand || !isDueForTouch(session, deps) || response.headers.has("Set-Cookie"))
    return response;
  const cookie = await sessionCookie(session, request, deps);
  if (cookie !== null) response.headers.append("Set-Cookie", cookie);
  return response;
}

function isFromElsewhere(request: Request): boolean {
  return request.headers.get("Sec-Fetch-Site") === "cross-site" && !new URL(request.url).searchParams.has("arrived");
}

/** A form that was sent by a page of ours. Looked at before anything else is done for it. */
async function formOf(request: Request, then: (form: URLSearchParams) => Promise<Response>): Promise<Response> {
  if (!isSameOrigin(request)) return await problemAnswer(request, FOREIGN_FORM);
  const form = await readForm(request);
  return form.ok ? await then(form.value) : await problemAnswer(request, form.error);
}

const FOREIGN_FORM: Problem = {
  code: "scope_insufficient",
  detail: "This form did not come from a page of this site. Nothing was changed.",
};

async function act(
  { request, visitor }: PageContext,
  form: URLSearchParams,
  then: () => Promise<Response>,
): Promise<Response> {
  if (sameToken(form.get("csrf"), visitor.csrf)) return await then();
  const detail = "This form belongs to another session. Nothing was changed: open the page again and repeat it.";
  return await problemAnswer(request, { code: "scope_insufficient", detail });
}

async function endSession({ request, visitor }: PageContext): Promise<Response> {
  const gone = writeCookie(request, "latchkey-session", "", 0);
  // Access has a session of its own, which ends at its own address.
  return seeOther(visitor.via === "access" ? "/cdn-cgi/access/logout" : pageUrl("sign-in"), [gone]);
}

async function chooseTheme(form: URLSearchParams, request: Request): Promise<Response> {
  const theme = readTheme(form.get("theme"));
  const cookie = writeCookie(request, "latchkey-theme", theme, theme === "auto" ? 0 : THEME_SECONDS);
  return seeOther(safeReturn(form.get("back")), [cookie]);
}

/** Root is at home in any workspace; whoever has a key is in its own. */
async function chooseWorkspace({ request, visitor, deps }: PageContext, form: URLSearchParams): Promise<Response> {
  const { session } = visitor;
  const workspace = form.get("workspace")?.trim() ?? "";
  const chosen = chosenWorkspace(workspace, visitor.via);
  if (!chosen.ok) return await problemAnswer(request, chosen.error);
  if (session === null || session.subject.kind !== "root") return seeOther(HOME_PATH);
  const cookie = await sessionCookie({ ...session, subject: { ...session.subject, workspace } }, request, deps);
  return seeOther(HOME_PATH, cookie === null ? [] : [cookie]);
}

function chosenWorkspace(workspace: string, via: string): Outcome<null> {
  if (via !== "root") {
    const detail = "You act in your own workspace only.";
    return { ok: false, error: { code: "scope_insufficient", detail } };
  }
  if (NAME_PATTERN.test(workspace)) return { ok: true, value: null };
  const detail = "A workspace's name has letters, digits and . _ : -";
  return { ok: false, error: { code: "request_invalid", detail } };
}
