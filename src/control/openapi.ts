import { OpenAPIHono, z } from "@hono/zod-openapi";
import { PROBLEMS } from "../http/codes.ts";
import type { ProblemCode } from "../http/codes.ts";
import { PROBLEM_TEXTS } from "../http/problem-texts.ts";
import { problemParts } from "../http/problem.ts";
import { importDocumentSchema, importKeys } from "./key-import.ts";
import { GATEWAY_ROUTES } from "./openapi-gateway.ts";
import { OAUTH_ROUTES } from "./openapi-oauth.ts";
import { TOKEN_ROUTES } from "./openapi-tokens.ts";
import { API_DESCRIPTION, TAGS } from "./openapi-text.ts";
import type { Operation } from "./operation.ts";
import { CONTROL_BASE, OPERATIONS } from "./operations.ts";
import { KEY_ID_PATTERN } from "./schemas/names.ts";
import { problemSchema } from "./schemas/common.ts";

/** The OpenAPI 3.1 document: from the same operations and schemas that serve and validate. */

type Registry = OpenAPIHono["openAPIRegistry"];
type RouteConfig = Parameters<Registry["registerPath"]>[0];
export type ApiDocument = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;

/** What is served elsewhere than by the control API. */
const OTHER_ROUTES = [...GATEWAY_ROUTES, ...OAUTH_ROUTES, ...TOKEN_ROUTES];

let made: ApiDocument | null = null;

/** @param origin of this deployment as the caller reached it, such as `https://api.example.com`. */
export function describeApi(origin: string): ApiDocument {
  made ??= generate();
  return { ...made, servers: [{ url: origin, description: "This deployment" }] };
}

function generate(): ApiDocument {
  const registry = new OpenAPIHono();
  addComponents(registry.openAPIRegistry);
  for (const operation of OPERATIONS) registry.openAPIRegistry.registerPath(describeOperation(operation));
  for (const route of OTHER_ROUTES) registry.openAPIRegistry.registerPath(withProblems(route.config, route.problems));
  return registry.getOpenAPI31Document({
    openapi: "3.1.1",
    info: {
      title: "Latchkey",
      version: "1",
      description: API_DESCRIPTION,
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    tags: [...TAGS],
  });
}

function addComponents(registry: Registry): void {
  registry.register("Problem", problemSchema);
  registry.registerComponent("securitySchemes", "rootToken", {
    type: "http",
    scheme: "bearer",
    description:
      "The value of `LATCHKEY_ROOT_TOKEN`. Acts in the workspace `default`, or in the one that `X-Latchkey-Workspace` names. Meant for issuing the first admin key.",
  });
  registry.registerComponent("securitySchemes", "adminKey", {
    type: "http",
    scheme: "bearer",
    description:
      "A key of kind `admin`. Acts in its own workspace, with the scopes that it holds; `admin:*` stands for all of them.",
  });
  registry.registerComponent("securitySchemes", "key", {
    type: "http",
    scheme: "bearer",
    description: "Any Latchkey key.",
  });
  registry.registerComponent("securitySchemes", "keyHeader", { type: "apiKey", in: "header", name: "X-API-Key" });
  registry.registerComponent("securitySchemes", "keyBasic", {
    type: "http",
    scheme: "basic",
    description: "The key as user name, with an empty password.",
  });
  registry.registerComponent("parameters", "IdempotencyKey", {
    name: "Idempotency-Key",
    in: "header",
    description:
      "A repeat within 24 hours gets the first answer (`Idempotent-Replayed: true`), without the secret a second time. The same key with another body is 409.",
    schema: { type: "string", minLength: 1, maxLength: 255 },
    example: "6f1e0c2a-5c1e-4a57-9d0f-0a4e2f3b8a11",
  });
  registry.registerComponent("parameters", "IfMatch", {
    name: "If-Match",
    in: "header",
    description: "The `ETag` that you saw. When the state is another by now: 412, and nothing is changed.",
    schema: { type: "string" },
    example: '"g3"',
  });
  registry.registerComponent("parameters", "Workspace", {
    name: "X-Latchkey-Workspace",
    in: "header",
    description: "For the root token alone: the workspace to act in. Absent: `default`.",
    schema: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$" },
    example: "default",
  });
  for (const code of usedCodes()) {
    registry.registerComponent("examples", code, { summary: PROBLEMS[code].title, value: exampleOf(code) });
  }
  const text = { type: "string" } as const;
  registry.registerComponent("headers", "RequestId", { description: "Names this request in logs.", schema: text });
  registry.registerComponent("headers", "ETag", {
    description: "Send it back as `If-Match`.",
    schema: text,
    example: '"g1"',
  });
  registry.registerComponent("headers", "Location", { description: "Where the record is.", schema: text });
  registry.registerComponent("headers", "IdempotentReplayed", {
    description: "`true` when this is an earlier answer.",
    schema: text,
  });
  registry.registerComponent("headers", "RetryAfter", { description: "Seconds to wait.", schema: { type: "integer" } });
  registry.registerComponent("headers", "Challenge", {
    description: "RFC 6750.",
    schema: text,
    example: 'Bearer realm="latchkey"',
  });
}

function header(name: string): { readonly $ref: string } {
  return { $ref: `#/components/headers/${name}` };
}

function parameter(name: string): { readonly $ref: string } {
  return { $ref: `#/components/parameters/${name}` };
}

const CALLER_PROBLEMS: readonly ProblemCode[] = [
  "credential_conflict",
  "key_missing",
  "key_invalid",
  "key_expired",
  "key_revoked",
  "key_disabled",
  "scope_insufficient",
  "ip_not_allowed",
  "rate_limited",
  "too_many_failures",
  "verification_unavailable",
  "storage_unavailable",
  "internal_error",
];

function problemsOf(operation: Operation): readonly ProblemCode[] {
  const ofBody: readonly ProblemCode[] =
    operation.body === undefined ? [] : ["body_too_large", "unsupported_media_type"];
  return ["request_invalid", ...CALLER_PROBLEMS, ...operation.problems, ...ofBody];
}

function usedCodes(): ReadonlySet<ProblemCode> {
  return new Set([...OPERATIONS.flatMap(problemsOf), ...OTHER_ROUTES.flatMap((route) => route.problems)]);
}

function describeOperation(operation: Operation): RouteConfig {
  const { success } = operation;
  const config: RouteConfig = {
    method: operation.method,
    path: CONTROL_BASE + operation.path,
    operationId: operation.operationId,
    tags: [operation.tag],
    summary: operation.summary,
    description: `${operation.description}\n\nNeeds the scope \`${operation.scope}\`.`,
    security: [{ rootToken: [] }, { adminKey: [operation.scope] }],
    parameters: [
      parameter("Workspace"),
      ...(operation.write ? [parameter("IdempotencyKey")] : []),
      ...(operation.ifMatch === true ? [parameter("IfMatch")] : []),
    ],
    request: describeRequest(operation),
    responses: {
      [success.status]: {
        description: success.description,
        headers: {
          "X-Request-Id": header("RequestId"),
          ...(operation.write ? { "Idempotent-Replayed": header("IdempotentReplayed") } : {}),
          ...Object.fromEntries((success.headers ?? []).map((name) => [name, header(name)])),
        },
        content: {
          "application/json": { schema: success.schema },
          ...(success.csv === true ? { "text/csv": { schema: z.string() } } : {}),
        },
      },
    },
  };
  return withProblems(config, problemsOf(operation));
}

function describeRequest(operation: Operation): NonNullable<RouteConfig["request"]> {
  const request: NonNullable<RouteConfig["request"]> = {};
  if (operation.idPattern !== undefined) {
    const isKey = operation.idPattern === KEY_ID_PATTERN;
    const id = z.string().openapi({
      description: isKey ? "Id of a key." : "Name of an owner.",
      pattern: operation.idPattern.source,
      ...(operation.idExample === undefined ? {} : { example: operation.idExample }),
    });
    request.params = z.object({ id });
  }
  // Every query schema here is an object of parameters.
  if (operation.query !== undefined) request.query = operation.query as z.ZodObject;
  const body = operation === importKeys ? importDocumentSchema : operation.body;
  if (body !== undefined) {
    const media = { schema: body };
    request.body = {
      required: operation.bodyRequired ?? true,
      content:
        operation.mergePatch === true
          ? { "application/merge-patch+json": media, "application/json": media }
          : { "application/json": media },
    };
  }
  return request;
}

/** Adds a response for each status that these codes have, with an example for each code. */
function withProblems(config: RouteConfig, codes: readonly ProblemCode[]): RouteConfig {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of codes) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses = Object.fromEntries(
    [...byStatus].map(([status, group]) => [status, problemResponse(status, group)]),
  );
  return { ...config, responses: { ...config.responses, ...responses } };
}

function problemResponse(status: number, codes: readonly ProblemCode[]) {
  const named = codes.map((code) => [code, { $ref: `#/components/examples/${code}` }] as const);
  return {
    description: codes.map((code) => `\`${code}\``).join(", "),
    headers: {
      "X-Request-Id": header("RequestId"),
      ...(status === 401 || status === 403 ? { "WWW-Authenticate": header("Challenge") } : {}),
      ...(status === 429 || status === 503 ? { "Retry-After": header("RetryAfter") } : {}),
    },
    content: {
      "application/problem+json": {
        schema: { $ref: "#/components/schemas/Problem" },
        examples: Object.fromEntries(named),
      },
    },
  };
}

function exampleOf(code: ProblemCode): unknown {
  const problem = {
    code,
    detail: PROBLEM_TEXTS[code].example,
    ...(code === "request_invalid"
      ? { errors: [{ pointer: "/limits/0/window", detail: "Has none of the allowed forms." }] }
      : {}),
    ...(code === "rate_limited" || code === "quota_exhausted" ? { violated: ["burst"] } : {}),
  };
  return problemParts(problem, { requestId: "req_01jd8q3v5x9k2m4n6p8r0s2t4v", realm: "latchkey" }).body;
}
