import { Hono } from "hono";
import { toProblem } from "../http/problem.ts";
import type { Problem } from "../http/problem.ts";
import { logError } from "../platform/log.ts";
import { RootToken } from "../platform/root-token.ts";
import { err } from "../result.ts";
import { holdToRate, identifyCaller } from "./caller.ts";
import type { ControlDependencies } from "./dependencies.ts";
import { renderDocsPage } from "./docs-page.ts";
import { describeApi } from "./openapi.ts";
import type { Answer, Operation } from "./operation.ts";
import { CONTROL_BASE, DOCS_PATH, OPENAPI_PATH, OPERATIONS } from "./operations.ts";
import { NOT_FOUND } from "./problem.ts";
import type { Outcome } from "./problem.ts";

/** The document and its page say nothing about anybody; they change with a deployment. */
const PUBLIC_CACHE = "public, max-age=300";

/**
 * The control API, its OpenAPI document and its page: everything under `/_latchkey` that this file names. Made once per isolate.
 */
export function createControlApp(deps: ControlDependencies): Hono {
  const app = new Hono();
  const root = new RootToken(deps.env.LATCHKEY_ROOT_TOKEN);
  const refuse = (request: Request, problem: Problem): Response =>
    toProblem(problem, { requestId: deps.requestId(request), realm: deps.config.realm ?? "latchkey" });

  for (const operation of OPERATIONS) {
    app.on(operation.method.toUpperCase(), routePath(operation), async (context) => {
      const request = context.req.raw;
      const outcome = await serve(operation, request, context.req.param("id") ?? "", { deps, root });
      return outcome.ok ? toResponse(outcome.value, deps.requestId(request)) : refuse(request, outcome.error);
    });
  }
  app.get(OPENAPI_PATH, (context) => {
    const origin = new URL(context.req.url).origin;
    return context.json(describeApi(origin), 200, { "Cache-Control": PUBLIC_CACHE });
  });
  app.get(DOCS_PATH, (context) => renderDocsPage(describeApi(new URL(context.req.url).origin), PUBLIC_CACHE));

  // After the operations: what reaches these has a known path and another method.
  for (const [path, methods] of methodsByPath()) {
    const allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
    app.options(path, () => new Response(null, { status: 204, headers: { Allow: allow.join(", ") } }));
    app.all(path, (context) =>
      refuse(context.req.raw, { code: "method_not_allowed", detail: `This path takes ${allow.join(", ")}.`, allow }),
    );
  }
  app.notFound((context) =>
    refuse(context.req.raw, { code: "not_found", detail: "The control API has no such path." }),
  );
  app.onError((error, context) => {
    const request = context.req.raw;
    logError(error, { part: "control", requestId: deps.requestId(request) });
    return refuse(request, {
      code: "internal_error",
      detail: "Something went wrong here. It was logged under the request id.",
    });
  });
  return app;
}

/** RFC 7111: the first line has the names of the columns. */
const CSV_TYPE = "text/csv; charset=utf-8; header=present";

interface Served {
  readonly deps: ControlDependencies;
  readonly root: RootToken;
}

/** Who, how often, and only then what. */
async function serve(
  operation: Operation,
  request: Request,
  id: string,
  { deps, root }: Served,
): Promise<Outcome<Answer>> {
  const caller = await identifyCaller(request, root, deps);
  if (!caller.ok) return caller;
  const inRate = await holdToRate(caller.value, deps.env.CONTROL_RATE);
  if (!inRate.ok) return inRate;
  // A stray percent sign stays as it came: nothing is named like that.
  if (id.includes("%")) return err(NOT_FOUND);
  return await operation.run(request, caller.value, id, deps);
}

/** Nothing here is for a cache: answers hold records, and one of them a key. */
function toResponse({ status, body, csv, headers: own }: Answer, requestId: string): Response {
  const headers = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Request-Id": requestId,
    ...own,
  };
  if (csv === undefined) return Response.json(body, { status, headers });
  return new Response(csv, { status, headers: { ...headers, "Content-Type": CSV_TYPE } });
}

function routePath(operation: Operation): string {
  return CONTROL_BASE + operation.path.replace("{id}", ":id");
}

function methodsByPath(): ReadonlyMap<string, readonly string[]> {
  const paths = new Map<string, string[]>([
    [OPENAPI_PATH, ["GET"]],
    [DOCS_PATH, ["GET"]],
  ]);
  for (const operation of OPERATIONS) {
    const path = routePath(operation);
    paths.set(path, [...(paths.get(path) ?? []), operation.method.toUpperCase()]);
  }
  return paths;
}
