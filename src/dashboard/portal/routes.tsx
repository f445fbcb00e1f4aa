import type { Hono } from "hono";
import type { Problem } from "../../http/problem.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import { holdToRate } from "../../control/caller.ts";
import { HOME_PATH, pageUrl } from "../paths.ts";
import { problemAnswer } from "../pages/problem.tsx";
import { sameToken } from "../session/same-origin.ts";
import { doorAnswer } from "./frame.tsx";
import {
  type PortalContext,
  portalHome,
  portalIssue,
  portalKey,
  portalNewPage,
  portalRotate,
  portalRotatePage,
} from "./pages.tsx";
import { enter, findVisit, leave } from "./visit.ts";

/** The owner's own paths. None of them looks at the session of an operator, nor does any other path look at an owner's. */

type FormOf = (request: Request, then: (form: URLSearchParams) => Promise<Response>) => Promise<Response>;

const BASE = `${HOME_PATH}portal`;

export function addPortal(app: Hono, deps: DashboardDependencies, formOf: FormOf): void {
  const read = (path: string, page: (context: PortalContext, id: string) => Promise<Response>): void => {
    app.get(BASE + path, ({ req }) => visit(req.raw, deps, (context) => page(context, req.param("id") ?? "")));
  };
  const write = (
    path: string,
    action: (context: PortalContext, form: URLSearchParams, id: string) => Promise<Response>,
  ): void => {
    app.post(BASE + path, ({ req }) =>
      formOf(req.raw, (form) =>
        visit(req.raw, deps, async (context) => {
          if (!sameToken(form.get("csrf"), context.visit.session.csrf)) return await problemAnswer(req.raw, FOREIGN);
          return await action(context, form, req.param("id") ?? "");
        }),
      ),
    );
  };
  app.post(`${BASE}/open`, ({ req }) => formOf(req.raw, (form) => open(form.get("link") ?? "", req.raw, deps)));
  app.get(BASE, ({ req }) => {
    const link = new URL(req.url).searchParams.get("link");
    return link === null ? visit(req.raw, deps, portalHome) : doorWith(link, req.raw);
  });
  read("/keys/new", (context) => portalNewPage(context));
  read("/keys/:id", portalKey);
  read("/keys/:id/rotate", (context, id) => portalRotatePage(context, id));
  write("/keys/new", portalIssue);
  write("/keys/:id/rotate", portalRotate);
  write("/end", async ({ request }) => leave(request));
}

const FOREIGN: Problem = {
  code: "scope_insufficient",
  detail: "This form belongs to another session. Nothing was changed.",
};

async function visit(
  request: Request,
  deps: DashboardDependencies,
  page: (context: PortalContext) => Promise<Response>,
): Promise<Response> {
  const found = await findVisit(request, deps);
  if (found === null) {
    return await doorAnswer(
      request,
      <p>Nobody is signed in here. Go back to where you found the link to this page, and ask for a new one.</p>,
      401,
    );
  }
  const inRate = await holdToRate(found.calls.caller, deps.control.env.CONTROL_RATE);
  if (!inRate.ok) return await problemAnswer(request, inRate.error);
  return await page({ request, url: new URL(request.url), visit: found, deps, now: deps.control.now() });
}

/** Looking at a link does not use it up: programs that read mail and chats look at every link. */
async function doorWith(link: string, request: Request): Promise<Response> {
  return await doorAnswer(
    request,
    <>
      <p class="soft">This link lets you in once, for half an hour.</p>
      <form method="post" action={pageUrl("portal/open")}>
        <input type="hidden" name="link" value={link} />
        <button class="primary">Continue</button>
      </form>
    </>,
    200,
  );
}

async function open(link: string, request: Request, deps: DashboardDependencies): Promise<Response> {
  const entered = await enter(link, request, deps);
  if (entered.ok) return entered.response;
  return await doorAnswer(
    request,
    <p class="note warn" role="alert">
      {entered.why}
    </p>,
    401,
  );
}
