import type { CorsConfig, UpstreamConfig } from "../config.ts";
import type { Environment } from "../keys/record.ts";
import type { Limit } from "../limits/limit.ts";

/** `gateway.config.ts` with every default filled in, as requests meet it. */

export type CompiledTarget =
  | { readonly kind: "url"; readonly url: URL }
  | { readonly kind: "service"; readonly binding: string }
  /** The variable is declared and empty: the upstream answers `upstream_unreachable`, and all else works. */
  | { readonly kind: "unset"; readonly variable: string };

type RefundReason = NonNullable<UpstreamConfig["refundOn"]>[number];

export interface CompiledUpstream {
  readonly name: string;
  readonly target: CompiledTarget;
  /** `aud` of tokens for it. */
  readonly audience: string;
  /** Whose keys may call it; `"*"`: every workspace's. */
  readonly workspace: string;
  readonly environments: readonly Environment[];
  /** `null`: every host. */
  readonly hosts: readonly string[] | null;
  /** `/`, or without a slash at the end: `/billing`. */
  readonly pathPrefix: string;
  readonly stripPrefix: boolean;
  readonly open: boolean;
  readonly preflight: "pass" | "key" | CorsConfig;
  readonly assertionSeconds: number | null;
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly refundOn: readonly RefundReason[];
}

export interface CompiledRoute {
  /** `POST /charges`, `GET,PUT /users/:id`; `* *` for what an open upstream takes beside its routes. */
  readonly id: string;
  readonly upstream: CompiledUpstream;
  /** The path as written; `*` for an open upstream's. Stands in events in place of the path. */
  readonly template: string;
  readonly scopes: readonly string[];
  readonly cost: number;
  readonly limits: readonly Limit[];
  readonly strict: boolean;
  /** `null`: the route does not say, and the key's policy decides. */
  readonly onMeterUnavailable: "open" | "closed" | null;
  readonly graceSeconds: number | null;
  readonly audit: "async" | "sync";
  /** The query parameter that may carry the key. */
  readonly keyInQuery: string | null;
  /** How long an assertion to the origin is good; `null`: it is shown none. */
  readonly assertionSeconds: number | null;
  /** The route's own, else its upstream's. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly refundOn: readonly RefundReason[];
  /** Those that both the route and its upstream take. Never empty. */
  readonly environments: readonly Environment[];
}

export type RouteMatch =
  | { readonly kind: "route"; readonly route: CompiledRoute }
  | { readonly kind: "not_found" }
  /** `request_invalid`: origins may read this path as another route's. */
  | { readonly kind: "ambiguous"; readonly detail: string };
