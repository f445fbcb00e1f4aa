import { z } from "@hono/zod-openapi";
import type { GatewayRoute } from "./openapi-gateway.ts";

/** What is served about tokens, for the OpenAPI document. Their RFCs say more than these schemas do. */

const jwks = z
  .object({ keys: z.array(z.record(z.string(), z.string())) })
  .openapi("JsonWebKeySet", { description: "RFC 7517: public keys alone; `kid` is the RFC 7638 thumbprint." });

const metadata = z
  .record(z.string(), z.unknown())
  .openapi("OAuthMetadata", { type: "object", additionalProperties: true });

interface Document {
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>>;
  readonly problems?: GatewayRoute["problems"];
}

/** For everyone, on every host. */
function publicDocument({ problems = [], content, ...about }: Document): GatewayRoute {
  const responses = { 200: { description: "The document.", content } };
  return { config: { method: "get", tags: ["Tokens"], security: [], ...about, responses }, problems };
}

export const TOKEN_ROUTES: readonly GatewayRoute[] = [
  publicDocument({
    path: "/.well-known/jwks.json",
    operationId: "jwks",
    summary: "The public keys of tokens",
    description:
      "The key that signs, the one that will be next, and those whose tokens may still be about. Caches may keep it for five minutes.",
    content: { "application/jwk-set+json": { schema: jwks } },
    problems: ["storage_unavailable"],
  }),
  publicDocument({
    path: "/.well-known/oauth-authorization-server",
    operationId: "serverMetadata",
    summary: "Where the token endpoints are",
    description: "RFC 8414.",
    content: { "application/json": { schema: metadata } },
  }),
  publicDocument({
    path: "/.well-known/oauth-protected-resource",
    operationId: "resourceMetadata",
    summary: "Whose tokens this API takes",
    description: "RFC 9728.",
    content: { "application/json": { schema: metadata } },
  }),
];
