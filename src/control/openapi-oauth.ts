import { z } from "@hono/zod-openapi";
import type { GatewayRoute } from "./openapi-gateway.ts";

/** The OAuth endpoints. Their members have the RFCs' own names, and so have their errors. */

const FORM = "application/x-www-form-urlencoded";

const tokenRequest = z
  .object({
    grant_type: z.enum(["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"]),
    subject_token: z.string().optional().openapi({ description: "With token exchange: the key, token or JWT." }),
    subject_token_type: z
      .enum([
        "urn:latchkey:token-type:api-key",
        "urn:ietf:params:oauth:token-type:access_token",
        "urn:ietf:params:oauth:token-type:jwt",
        "urn:ietf:params:oauth:token-type:id_token",
      ])
      .optional()
      .openapi({ description: "`jwt` and `id_token`: of an issuer that a rule trusts." }),
    actor_token: z.string().optional().openapi({ description: "The key or token of who is to act." }),
    actor_token_type: z.string().optional(),
    requested_token_type: z.string().optional(),
    audience: z.string().optional().openapi({ description: "The upstream's audience.", example: "demo" }),
    resource: z.string().optional().openapi({ description: "Or a URI at which the upstream is served." }),
    scope: z
      .string()
      .optional()
      .openapi({ description: "Default: all that the subject has.", example: "reports:read" }),
    client_id: z.string().optional().openapi({ description: "The key's id, or its owner." }),
    client_secret: z
      .string()
      .optional()
      .openapi({ description: "With `client_credentials`: the key, where not by HTTP Basic." }),
  })
  .openapi("TokenRequest");

const tokenAnswer = z
  .object({
    access_token: z.string(),
    issued_token_type: z.string().optional(),
    token_type: z.enum(["Bearer", "DPoP"]),
    expires_in: z.int().openapi({ description: "Seconds.", example: 300 }),
    scope: z.string(),
  })
  .openapi("TokenAnswer");

const oauthError = z
  .object({ error: z.string().openapi({ example: "invalid_scope" }), error_description: z.string() })
  .openapi("OAuthError", { description: "RFC 6749 §5.2, RFC 8693 §2.2.2." });

const presented = z
  .object({ token: z.string().openapi({ description: "A key or a token." }), token_type_hint: z.string().optional() })
  .openapi("PresentedToken");

const introspectionAnswer = z
  .object({
    active: z.boolean(),
    scope: z.string().optional(),
    client_id: z.string().optional().openapi({ description: "Id of the key." }),
    username: z.string().optional().openapi({ description: "Its owner." }),
    token_type: z.string().optional(),
    exp: z.int().optional(),
    iat: z.int().optional(),
    nbf: z.int().optional(),
    sub: z.string().optional(),
    aud: z.string().optional(),
    iss: z.string().optional(),
    jti: z.string().optional(),
  })
  .openapi("Introspection");

function form(schema: z.ZodType) {
  return { body: { required: true, content: { [FORM]: { schema } } } };
}

function json(schema: z.ZodType) {
  return { "application/json": { schema } };
}

const FAILURES = {
  400: { description: "What is asked cannot be granted: see `error`.", content: json(oauthError) },
  429: { description: "`slow_down`: a limit of the key, or of exchanges.", content: json(oauthError) },
  503: { description: "`temporarily_unavailable`.", content: json(oauthError) },
};

export const OAUTH_ROUTES: readonly GatewayRoute[] = [
  {
    config: {
      method: "post",
      path: "/_latchkey/oauth/token",
      operationId: "exchangeToken",
      tags: ["Tokens"],
      summary: "Exchange a key for a token",
      description:
        "RFC 8693 token exchange, or `client_credentials` with the key as the client's secret. The token is a JWT (RFC 9068) for one upstream, draws on the limits of its key, has at most its scopes, and dies with it. Counts as one use of the key.",
      security: [],
      request: form(tokenRequest),
      responses: {
        200: { description: "The token.", content: json(tokenAnswer) },
        401: { description: "`invalid_client`.", content: json(oauthError) },
        ...FAILURES,
      },
    },
    problems: [],
  },
  {
    config: {
      method: "post",
      path: "/_latchkey/oauth/introspect",
      operationId: "introspectToken",
      tags: ["Tokens"],
      summary: "Whether a key or token stands",
      description: "RFC 7662, by the word of the key's meter at this moment.\n\nNeeds the scope `keys:verify`.",
      security: [{ rootToken: [] }, { adminKey: ["keys:verify"] }],
      request: form(presented),
      responses: {
        200: { description: "What it is; of what is not active, nothing else.", content: json(introspectionAnswer) },
        401: { description: "`invalid_client`.", content: json(oauthError) },
        403: { description: "`insufficient_scope`.", content: json(oauthError) },
        ...FAILURES,
      },
    },
    problems: [],
  },
  {
    config: {
      method: "post",
      path: "/_latchkey/oauth/revoke",
      operationId: "revokeToken",
      tags: ["Tokens"],
      summary: "End a key or token by presenting it",
      description:
        "RFC 7009. Whoever holds a key or a token may end it. A token takes with it what was derived from it, a key all of its tokens. What is unknown is answered the same.",
      security: [],
      request: form(presented),
      responses: { 200: { description: "It does not stand, now or any more." }, ...FAILURES },
    },
    problems: [],
  },
];
