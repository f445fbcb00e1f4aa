import type { CorsConfig } from "../config.ts";
import { originAllowed } from "../keys/bindings.ts";
import type { RouteMatch } from "./compiled-route.ts";
import type { RouteTable } from "./route-table.ts";

/** CORS preflights, by the policy of the upstream that they are for. A browser sends them without a credential. */

export type PreflightDecision =
  /** Not a preflight, or one that is to be treated like any request. */
  | { readonly kind: "none" }
  /** To the origin, without a key. */
  | { readonly kind: "pass"; readonly match: Extract<RouteMatch, { kind: "route" }> }
  | { readonly kind: "answer"; readonly response: Response };

export interface PreflightRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly host: string;
  readonly pathname: string;
}

const NONE: PreflightDecision = { kind: "none" };
const DEFAULT_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/** What a browser needs in order to send a key and a JSON body. */
const DEFAULT_HEADERS = ["Authorization", "Content-Type", "X-API-Key"];
/** What Latchkey adds to answers and a page may want to see. */
const DEFAULT_EXPOSED_HEADERS = [
  "Deprecation",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "Sunset",
  "X-Request-Id",
];
/** Ten minutes: a changed policy is seen soon, and a page does not ask before each call. */
const DEFAULT_MAX_AGE_SECONDS = 600;

/**
 * What to do with a request that may be a preflight (Fetch §3.2.2: `OPTIONS` with both fields). It is let through without
 * a key only for a method and path that lead to a route; anything else is treated like any request.
 */
export function decidePreflight(table: RouteTable, request: PreflightRequest): PreflightDecision {
  if (request.method !== "OPTIONS") return NONE;
  const method = request.headers.get("access-control-request-method");
  const origin = request.headers.get("origin");
  if (method === null || origin === null) return NONE;
  const match = table.match(method, request.host, request.pathname);
  if (match.kind !== "route") return NONE;
  const { preflight } = match.route.upstream;
  if (preflight === "key") return NONE;
  if (preflight === "pass") return { kind: "pass", match };
  return { kind: "answer", response: answerPreflight(preflight, origin) };
}

/** 204; from an origin that is not allowed, without the fields that would let the browser go on. */
function answerPreflight(cors: CorsConfig, origin: string): Response {
  const headers = new Headers({
    Vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
  });
  if (!setAllowOrigin(headers, cors, origin)) return new Response(null, { status: 204, headers });
  headers.set("Access-Control-Allow-Methods", (cors.methods ?? DEFAULT_METHODS).join(", "));
  headers.set("Access-Control-Allow-Headers", (cors.headers ?? DEFAULT_HEADERS).join(", "));
  headers.set("Access-Control-Max-Age", String(cors.maxAgeSeconds ?? DEFAULT_MAX_AGE_SECONDS));
  return new Response(null, { status: 204, headers });
}

/** Adds what a browser needs in order to show an answer, refusals included, to the page that asked. `headers` are changed. */
export function addCorsHeaders(headers: Headers, cors: CorsConfig, origin: string | null): void {
  headers.append("Vary", "Origin");
  if (origin === null || !setAllowOrigin(headers, cors, origin)) return;
  headers.set("Access-Control-Expose-Headers", (cors.exposeHeaders ?? DEFAULT_EXPOSED_HEADERS).join(", "));
}

function setAllowOrigin(headers: Headers, cors: CorsConfig, origin: string): boolean {
  const any = cors.origins.includes("*");
  if (!any && !originAllowed(cors.origins, origin)) return false;
  headers.set("Access-Control-Allow-Origin", any ? "*" : origin);
  if (cors.credentials === true) headers.set("Access-Control-Allow-Credentials", "true");
  return true;
}
