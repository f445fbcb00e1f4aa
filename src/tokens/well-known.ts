import { createHash } from "node:crypto";
import type { GatewayConfig } from "../config.ts";
import { JWKS_MAX_AGE_SECONDS } from "../constants.ts";
import type { Problem } from "../http/problem.ts";
import { err, ok, type Result } from "../result.ts";
import { issuerOf } from "./issuer.ts";
import { PROOF_ALGORITHMS } from "./proof-algorithms.ts";
import type { TokenKeys, WaitUntil } from "./token-keys.ts";

/** What clients and origins read about tokens, without a credential: the public keys, and where everything is. */

/** Latchkey's own on every host. Issuers are origins, so nothing is ever inserted after these (RFC 8414 §3.1). */
export const JWKS_PATH = "/.well-known/jwks.json";
export const SERVER_METADATA_PATH = "/.well-known/oauth-authorization-server";
export const RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource";
const WELL_KNOWN_PATHS: ReadonlySet<string> = new Set([JWKS_PATH, SERVER_METADATA_PATH, RESOURCE_METADATA_PATH]);

/** Whether the path that begins at `start` of `url` is one of them. Every other one under `/.well-known/` is the API's. */
export function isWellKnown(url: string, start: number): boolean {
  const query = url.indexOf("?", start);
  return WELL_KNOWN_PATHS.has(query < 0 ? url.slice(start) : url.slice(start, query));
}

const JWKS_TYPE = "application/jwk-set+json";
/** Pages of other origins may read all of this. */
const CORS = { "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag" } as const;
const PUBLIC_CACHE = `public, max-age=${JWKS_MAX_AGE_SECONDS}`;

/** RFC 7517 §5. Where there are no keys yet, nobody is to remember that. */
export async function answerJwks(
  request: Request,
  keys: TokenKeys,
  waitUntil: WaitUntil,
): Promise<Result<Response, Problem>> {
  const published = await keys.published(waitUntil);
  if (!published.ok) {
    return err({ code: "storage_unavailable", detail: "The public keys cannot be read right now. Try again shortly." });
  }
  const cache = published.value.keys.length === 0 ? "no-store" : PUBLIC_CACHE;
  return ok(answerDocument(request, published.value, { type: JWKS_TYPE, cache }));
}

/** RFC 8414. */
export function answerServerMetadata(request: Request, config: GatewayConfig): Response {
  const issuer = issuerOf(config, request.url);
  const metadata = {
    issuer,
    token_endpoint: `${issuer}/_latchkey/oauth/token`,
    token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
    jwks_uri: issuer + JWKS_PATH,
    // There is no authorization endpoint; the member is required all the same (§2).
    response_types_supported: [],
    grant_types_supported: ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
    introspection_endpoint: `${issuer}/_latchkey/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "Bearer"],
    revocation_endpoint: `${issuer}/_latchkey/oauth/revoke`,
    // Who holds a key or token may end it.
    revocation_endpoint_auth_methods_supported: ["none"],
    // RFC 9449 §5.1, RFC 8705 §3.3.
    dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    tls_client_certificate_bound_access_tokens: true,
    protected_resources: [originOf(request.url)],
  };
  return answerDocument(request, metadata, { type: "application/json", cache: PUBLIC_CACHE });
}

/** RFC 9728: the API that this host fronts. */
export function answerResourceMetadata(request: Request, config: GatewayConfig): Response {
  const metadata = {
    resource: originOf(request.url),
    authorization_servers: [issuerOf(config, request.url)],
    bearer_methods_supported: ["header"],
    dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    tls_client_certificate_bound_access_tokens: true,
  };
  return answerDocument(request, metadata, { type: "application/json", cache: PUBLIC_CACHE });
}

/** A preflight: simple requests need none, but a library may send fields of its own. */
export function answerWellKnownOptions(): Response {
  const headers = { ...CORS, Allow: "GET, HEAD, OPTIONS", "Access-Control-Allow-Methods": "GET, HEAD" };
  return new Response(null, { status: 204, headers: { ...headers, "Access-Control-Allow-Headers": "*" } });
}

function originOf(url: string): string {
  return issuerOf({ upstreams: {} }, url);
}

interface Form {
  readonly type: string;
  readonly cache: string;
}

function answerDocument(request: Request, document: unknown, { type, cache }: Form): Response {
  const body = JSON.stringify(document);
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  const headers = { ...CORS, "Cache-Control": cache, ETag: etag, "X-Content-Type-Options": "nosniff" };
  if (namesTag(request.headers.get("If-None-Match"), etag)) return new Response(null, { status: 304, headers });
  return new Response(body, { headers: { ...headers, "Content-Type": type } });
}

/** RFC 9110 §13.1.2: compared weakly, as caches may have marked it weak. */
function namesTag(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag);
}
