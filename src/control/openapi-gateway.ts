import { z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { MAX_COST, MAX_TOKEN_CHARACTERS, MAX_VERIFY_BATCH } from "../constants.ts";
import type { ProblemCode } from "../http/codes.ts";
import { environmentSchema, recordKindSchema, scopeSchema, sentTimeSchema, statusSchema } from "./schemas/common.ts";
import { bindingsSchema, policySchema } from "./schemas/key.ts";

/** Calls whose handlers are the gateway's. Only their description is here: the gateway carries no schemas. */

type RouteConfig = Parameters<OpenAPIHono["openAPIRegistry"]["registerPath"]>[0];

export interface GatewayRoute {
  readonly config: RouteConfig;
  readonly problems: readonly ProblemCode[];
}

const VERIFIER_SECURITY = [{ rootToken: [] }, { adminKey: ["keys:verify"] }];
const KEY_SECURITY = [{ key: [] }, { keyHeader: [] }, { keyBasic: [] }];

const KEY_PROBLEMS: readonly ProblemCode[] = [
  "credential_conflict",
  "key_missing",
  "key_invalid",
  "key_expired",
  "key_revoked",
  "key_disabled",
  "key_not_yet_valid",
  "signature_required",
  "token_invalid",
  "token_expired",
  "token_revoked",
  "token_required",
  "dpop_proof_invalid",
  "dpop_nonce_required",
  "ip_not_allowed",
  "origin_not_allowed",
  "country_not_allowed",
  "certificate_required",
  "rate_limited",
  "quota_exhausted",
  "too_many_failures",
  "verification_unavailable",
];
const VERIFIER_PROBLEMS: readonly ProblemCode[] = [
  "request_invalid",
  "key_missing",
  "key_invalid",
  "scope_insufficient",
  "body_too_large",
  "unsupported_media_type",
  "rate_limited",
  "verification_unavailable",
];

const limitStateSchema = z
  .object({ name: z.string(), limit: z.int(), remaining: z.int(), resetSeconds: z.number() })
  .openapi("LimitState", { example: { name: "burst", limit: 100, remaining: 57, resetSeconds: 12 } });

const verifyInput = z
  .object({
    key: z.string().max(MAX_TOKEN_CHARACTERS).openapi({ description: "The key or token as its bearer presented it." }),
    scopes: z.array(scopeSchema).optional().openapi({ description: "What the key must cover." }),
    cost: z
      .int()
      .min(0)
      .max(MAX_COST)
      .default(1)
      .openapi({ description: "Units to charge; 0 looks without charging." }),
    ip: z.string().optional().openapi({ description: "The client's address, for bindings.", example: "203.0.113.7" }),
    origin: z.string().optional().openapi({ description: "The client's `Origin`, for bindings." }),
    country: z.string().optional().openapi({ description: "The client's country, for bindings.", example: "DE" }),
    host: z.string().optional().openapi({ description: "The host that the route is looked up for." }),
    method: z
      .string()
      .optional()
      .openapi({ description: "With `path`: the route's scopes, cost and limits apply.", example: "GET" }),
    path: z.string().optional().openapi({ example: "/reports/7" }),
    dpop: z
      .string()
      .optional()
      .openapi({ description: "The field `DPoP` that came with `Authorization: DPoP`, for `method` and `url`." }),
    url: z.string().optional().openapi({ description: "With `dpop`: the whole URL that was called." }),
  })
  .openapi("Verification", { example: { key: "<the key>", scopes: ["reports:read"] } });

const verifyAnswer = z
  .object({
    valid: z.boolean(),
    code: z.string().openapi({ description: "`valid`, or a problem code.", example: "valid" }),
    keyId: z.string().optional(),
    lineageId: z.string().optional(),
    owner: z.string().optional(),
    workspace: z.string().optional(),
    environment: environmentSchema.optional(),
    scopes: z.array(z.string()).optional(),
    tokenId: z.string().optional().openapi({ description: "Of a token: its `jti`." }),
    audience: z.string().optional().openapi({ description: "Of a token: whom it is for. Compare it with yourself." }),
    dpopNonce: z
      .string()
      .optional()
      .openapi({ description: "With `dpop_nonce_required`: for your answer's `DPoP-Nonce`." }),
    metadata: z.record(z.string(), z.unknown()).optional().openapi({ type: "object", additionalProperties: true }),
    expiresAt: sentTimeSchema.nullable().optional(),
    limits: z.array(limitStateSchema),
    detail: z.string().optional().openapi({ description: "Why not, in words." }),
    retryAfterSeconds: z.number().optional().openapi({ description: "With `rate_limited` and `quota_exhausted`." }),
  })
  .openapi("VerificationAnswer");

const identity = z
  .object({
    keyId: z.string(),
    lineageId: z.string(),
    workspace: z.string(),
    owner: z.string(),
    environment: environmentSchema,
    kind: recordKindSchema,
    status: statusSchema,
    hint: z.string(),
    scopes: z.array(z.string()),
    plan: z.string().nullable(),
    bindings: bindingsSchema,
    policy: policySchema,
    metadata: z.record(z.string(), z.unknown()).openapi({ type: "object", additionalProperties: true }),
    notBefore: sentTimeSchema.nullable(),
    expiresAt: sentTimeSchema.nullable(),
    notAfter: sentTimeSchema.nullable(),
    limits: z.array(limitStateSchema),
  })
  .openapi("Identity");

const tokenIdentity = z
  .object({
    tokenId: z.string().openapi({ description: "`jti`" }),
    audience: z.string().openapi({ description: "Whom it is for." }),
    expiresAt: sentTimeSchema.openapi({ description: "Its own end, `exp`. With its key it may end sooner." }),
    keyId: z.string(),
    lineageId: z.string(),
    workspace: z.string(),
    owner: z.string(),
    environment: environmentSchema,
    scopes: z.array(z.string()).openapi({ description: "Those that the token was given and its key still has." }),
    limits: z.array(limitStateSchema),
  })
  .openapi("TokenIdentity");

const dependency = z
  .object({
    state: z.enum(["up", "down", "off"]).openapi({ description: "`off`: not set up." }),
    latencyMs: z.number(),
  })
  .openapi("DependencyHealth", { example: { state: "up", latencyMs: 3 } });

const readiness = z
  .object({
    status: z.enum(["ok", "degraded", "down"]).openapi({
      description:
        "`degraded`: keys are checked, but changes, events or usage wait, or no token can be signed. `down`: keys that are not known yet cannot be checked.",
    }),
    checks: z.object({
      keys: dependency,
      meter: dependency,
      registry: dependency,
      ledger: dependency,
      queue: dependency,
      signing: dependency,
    }),
  })
  .openapi("Readiness");

function json(schema: z.ZodType) {
  return { "application/json": { schema } };
}

const identityHeaders = Object.fromEntries(
  [
    ["X-Latchkey-Key-Id", "Id of the key."],
    ["X-Latchkey-Owner", "Whose key it is."],
    ["X-Latchkey-Environment", "`live` or `test`."],
    ["X-Latchkey-Scopes", "Scopes, separated by spaces."],
    ["X-Latchkey-Workspace", "The key's workspace."],
  ].map(([name, description]) => [name, { description, schema: { type: "string" as const } }]),
);

const originalRequest = [
  ["X-Original-Method", "Method of the request to be allowed (nginx)."],
  ["X-Original-URI", "Its path and query (nginx)."],
  ["X-Forwarded-Method", "Its method (Traefik, Caddy)."],
  ["X-Forwarded-Uri", "Its path and query (Traefik, Caddy)."],
  ["X-Forwarded-Host", "Its host (Traefik, Caddy)."],
].map(([name = "", description = ""]) => ({
  name,
  in: "header" as const,
  description,
  schema: { type: "string" as const },
}));

function authorizeRoute(method: "get" | "post"): GatewayRoute {
  return {
    config: {
      method,
      path: "/_latchkey/v1/authorize",
      operationId: method === "get" ? "authorize" : "authorizePost",
      tags: ["Checking"],
      summary: "Forward auth",
      description:
        "For `auth_request` of nginx, `forwardAuth` of Traefik, `forward_auth` of Caddy and `ext_authz` of Envoy. The key stands in the request itself. Any method is answered alike.",
      security: KEY_SECURITY,
      parameters: originalRequest,
      responses: { 200: { description: "Let it pass, with these headers.", headers: identityHeaders } },
    },
    problems: [...KEY_PROBLEMS, "scope_insufficient", "environment_mismatch"],
  };
}

export const GATEWAY_ROUTES: readonly GatewayRoute[] = [
  {
    config: {
      method: "post",
      path: "/_latchkey/v1/verify",
      operationId: "verify",
      tags: ["Checking"],
      summary: "Check a key",
      description:
        "The same check as the proxy's. A key that is not valid is still a 200: look at `valid`.\n\nNeeds the scope `keys:verify`.",
      security: VERIFIER_SECURITY,
      request: { body: { required: true, content: json(verifyInput) } },
      responses: { 200: { description: "What was found.", content: json(verifyAnswer) } },
    },
    problems: VERIFIER_PROBLEMS,
  },
  {
    config: {
      method: "post",
      path: "/_latchkey/v1/verify/batch",
      operationId: "verifyBatch",
      tags: ["Checking"],
      summary: "Check many keys",
      description: `Up to ${MAX_VERIFY_BATCH} at once; answers are in the order of the questions.\n\nNeeds the scope \`keys:verify\`.`,
      security: VERIFIER_SECURITY,
      request: {
        body: {
          required: true,
          content: json(
            z.object({ keys: z.array(verifyInput).min(1).max(MAX_VERIFY_BATCH) }).openapi("VerificationBatch"),
          ),
        },
      },
      responses: {
        200: {
          description: "An answer for each.",
          content: json(z.object({ results: z.array(verifyAnswer) }).openapi("VerificationBatchAnswer")),
        },
      },
    },
    problems: VERIFIER_PROBLEMS,
  },
  authorizeRoute("get"),
  authorizeRoute("post"),
  {
    config: {
      method: "get",
      path: "/_latchkey/v1/whoami",
      operationId: "whoami",
      tags: ["Checking"],
      summary: "What the key or token in this request is",
      description:
        "Its scopes, its deadlines, and each limit with what is left. Costs nothing. A token is told nothing of its key that it does not say itself.",
      security: KEY_SECURITY,
      responses: {
        200: { description: "The key's own view, or the token's.", content: json(z.union([identity, tokenIdentity])) },
      },
    },
    problems: KEY_PROBLEMS,
  },
  {
    config: {
      method: "get",
      path: "/_latchkey/healthz",
      operationId: "healthz",
      tags: ["Health"],
      summary: "Alive",
      description: "Answers as long as the Worker runs; asks nothing else.",
      security: [],
      responses: { 200: { description: "It runs." } },
    },
    problems: [],
  },
  {
    config: {
      method: "get",
      path: "/_latchkey/readyz",
      operationId: "readyz",
      tags: ["Health"],
      summary: "Ready",
      description: "Each dependency with its state and latency. 200 while keys can be checked.",
      security: [],
      responses: {
        200: { description: "Keys can be checked.", content: json(readiness) },
        503: { description: "They cannot.", content: json(readiness) },
      },
    },
    problems: [],
  },
  {
    config: {
      method: "get",
      path: "/_latchkey/metrics",
      operationId: "metrics",
      tags: ["Health"],
      summary: "Metrics",
      description: "Prometheus text format 0.0.4.\n\nNeeds the scope `usage:read`.",
      security: [{ rootToken: [] }, { adminKey: ["usage:read"] }],
      responses: {
        200: { description: "Prometheus text.", content: { "text/plain": { schema: { type: "string" } } } },
      },
    },
    problems: ["key_missing", "key_invalid", "scope_insufficient", "rate_limited", "verification_unavailable"],
  },
];
