import type { AlertsConfig } from "./alerts/config.ts";
import type { AdminScope } from "./keys/admin-scopes.ts";
import type { Environment, Policy } from "./keys/record.ts";
import type { DetectionPolicy } from "./detection/policy.ts";
import type { Limit } from "./limits/limit.ts";
import type { Sinks } from "./sinks/config.ts";
import type { Retention } from "./usage/retention.ts";

/** What a deployment fronts, as written in `gateway.config.ts`. Reviewed like code; compiled by `gateway/routes.ts`. */
export interface GatewayConfig {
  /** Workspaces that differ from the defaults. Any other workspace name is allowed and has prefix `lk`. */
  readonly workspaces?: Readonly<Record<string, { readonly prefix?: string }>>;
  /** Whether credentials that are not in Latchkey's own form are looked up at all. Default `true`. */
  readonly importedKeys?: boolean;
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly routes?: readonly RouteConfig[];
  /** Named sets of limits that keys refer to with `plan`. */
  readonly plans?: Readonly<Record<string, readonly Limit[]>>;
  /** Scopes that a publishable key may hold. Default: every `*:read`. */
  readonly publishableScopes?: readonly string[];
  /** The realm in `WWW-Authenticate`. Default `latchkey`. */
  readonly realm?: string;
  /** How the client's address stands in events. Default `truncated` (/24, /48). */
  readonly clientIpInEvents?: "whole" | "truncated" | "hashed";
  /** Share of requests that get a log line, 0 to 1. Refusals by Latchkey's own failure are always logged. Default 0.01. */
  readonly logSampleRate?: number;
  /**
   * Lease brokers, objects near the isolates that spare them the way to a key's home meter: how many share the keys of a
   * location, 1 to 256; `false` for none. Default 2.
   */
  readonly leaseBrokers?: false | { readonly shardsPerLocation: number };
  /** Which requests are kept for `GET /_latchkey/v1/requests`, and how long; `false` for none. */
  readonly requestLog?: false | RequestLogConfig;
  /** Send `Server-Timing: latchkey;dur=…`. Default `false`. */
  readonly serverTiming?: boolean;
  /** Short-lived tokens in place of keys. */
  readonly tokens?: TokensConfig;
  readonly usage?: UsageConfig;
  /** What the watch goes by for which keys: `docs/detection.md`. Later rules change what earlier ones said. */
  readonly detection?: DetectionPolicy;
  /** What owners pay for units: for statements. Default: statements without amounts. */
  readonly pricing?: PricingConfig;
  /** Who is told when something is wrong, and where. Without it there is the list of alerts alone. */
  readonly alerts?: AlertsConfig;
  /** Who is given the events themselves, by name: `docs/sinks.md`. Default nobody. */
  readonly sinks?: Sinks;
  /** Pages for people at `/_latchkey/`; `false`: none. Default: sign-in by an admin key or the root token. */
  readonly dashboard?: false | DashboardConfig;
  /** What owners may do by themselves, on the page that `POST /owners/{id}/portal-sessions` opens. Default: look, and rotate. */
  readonly selfService?: SelfServiceConfig;
}

export interface DashboardConfig {
  /** Sign-in through Cloudflare Access, which must stand in front of `/_latchkey/*`. */
  readonly access?: AccessConfig;
}

export interface AccessConfig {
  /** `acme.cloudflareaccess.com`. */
  readonly teamDomain: string;
  /** The application's audience tag. */
  readonly audience: string;
  /** Who may do what: the first role that fits holds, and who fits none is refused. */
  readonly roles: readonly AccessRole[];
}

/** Fits whoever meets one of `emails`, `emailDomain` and `groups`. */
export interface AccessRole {
  readonly emails?: readonly string[];
  /** `example.com`, of the address as the identity provider says it. */
  readonly emailDomain?: string;
  /** Of the claim `groups`, which Access passes on where it is told to. */
  readonly groups?: readonly string[];
  /** Default `default`. */
  readonly workspace?: string;
  readonly scopes: readonly AdminScope[];
}

export interface SelfServiceConfig {
  /** Replace own keys. Default `true`. */
  readonly rotate?: boolean;
  /** Default `false`. */
  readonly issue?: false | SelfIssueConfig;
}

export interface SelfIssueConfig {
  /** What an owner's new keys may be allowed to do: any of these. */
  readonly scopes: readonly string[];
  /** Default both. */
  readonly environments?: readonly Environment[];
  /** Of every key that an owner issues. Default none. */
  readonly plan?: string;
  /** Keys that an owner may have at once, whoever issued them. Default 10. */
  readonly maxKeys?: number;
  /** A new key expires after so many days at the latest. Default 90. */
  readonly maxTtlDays?: number;
}

export interface UsageConfig {
  /** How long sums are kept. Default: minutes 48 hours, hours 90 days, days 25 months. */
  readonly retention?: Partial<Retention>;
}

/** Decimals as text, so that they are what is written: `"0.0025"`. At most nine decimals. */
export interface PricingConfig {
  /** ISO 4217: `EUR`. */
  readonly currency: string;
  /** Of one unit (`cost`) of a key without a plan, or of a plan that is not named below. */
  readonly perUnit: string;
  /** Of one unit of keys that are on these plans when the statement is read. */
  readonly perUnitByPlan?: Readonly<Record<string, string>>;
}

/** Refused requests are kept within bounds; of those that were let in a share is. */
export interface RequestLogConfig {
  /** Share of the requests that were let in, 0 to 1. Default 0.01. */
  readonly sampleRate?: number;
  /** 1 to 90. Default 7. */
  readonly retentionDays?: number;
  /** What one object keeps at the most, 1 to 4,096 MB; then the oldest go. Default 1,024. */
  readonly maxMegabytes?: number;
}

/** Keys, tokens and identities of others are exchanged for tokens at `/_latchkey/oauth/token`. */
export interface TokensConfig {
  /** `iss` of every token: an origin, such as `https://api.example.com`. Default: the origin that a request came to. */
  readonly issuer?: string;
  /** What new signing keys are for. Default `ES256`. */
  readonly algorithm?: "ES256" | "Ed25519" | "RS256";
  /** A signing key is replaced after so many days. Default 30. */
  readonly rotationDays?: number;
  /** How long a token lives where the key's policy does not say, up to 3,600. Default 300. */
  readonly ttlSeconds?: number;
  /** Exchanges of one lineage, counted at its meter beside its own limits; `false` for none. Default 600 a minute. */
  readonly exchangeLimit?: Pick<Limit, "limit" | "window"> | false;
  /** The upstream that a token is for when the exchange names none and several could be meant. */
  readonly defaultUpstream?: string;
  /** Whose JWTs are taken in place of a key, and for what: the first rule that a token meets holds. */
  readonly trust?: readonly TrustRule[];
}

/**
 * Workloads that need no key: a JWT of `issuer` that meets a rule stands for an identity of its own, with a lineage of its own.
 * Patterns: `*` stands for one or more characters but `:` and `/`, `**` (at the end only) for one or more of any.
 */
export interface TrustRule {
  /** Part of the identity, as owner and environment are: under another name the same workload is another one. */
  readonly name: string;
  /** `iss`, to the character. Absent: SPIFFE JWT-SVIDs, which need none; then `subject` fixes the trust domain. */
  readonly issuer?: string;
  /** Where the issuer's public keys are. Default: as its `/.well-known/openid-configuration` says. */
  readonly jwksUri?: string;
  /** The issuer's public keys themselves, for issuers that cannot be reached. */
  readonly jwks?: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  /** `aud`: the one audience that a token has. Default: `TokensConfig.issuer`. */
  readonly audience?: string;
  /** Pattern for `sub`. */
  readonly subject?: string;
  /** Patterns for other claims, by name or, below the top, by JSON pointer: `/kubernetes.io/namespace`. All of them must hold. */
  readonly claims?: Readonly<Record<string, string>>;
  /** Default: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519. */
  readonly algorithms?: readonly ForeignAlgorithm[];
  /** Default `default`. */
  readonly workspace?: string;
  readonly owner: string;
  readonly environment: Environment;
  readonly scopes: readonly string[];
  readonly plan?: string;
  readonly limits?: readonly Limit[];
  /** Every request asks the meter: a revocation stops the identity's tokens at once. Default `false`. */
  readonly strict?: boolean;
  /** How long a token lives, up to 3,600. Default: `TokensConfig.ttlSeconds`. */
  readonly ttlSeconds?: number;
  /** What has a lineage of its own: each `sub`, or the rule as a whole. Default `subject`. */
  readonly identity?: "subject" | "rule";
  /** Identities that this rule may bring into being, ever. Default 10,000. */
  readonly maxIdentities?: number;
}

/** Asymmetric alone: with HS256 whoever can verify could sign. */
export type ForeignAlgorithm =
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA"
  | "Ed25519";

/** A URL, the name of a variable that holds one, or the name of a service binding. */
export type UpstreamTarget = { readonly url: string } | { readonly urlFromEnv: string } | { readonly service: string };

export type UpstreamConfig = UpstreamTarget & {
  /** Host names that this upstream answers for; absent: every host. `*.example.com` matches one label or more. */
  readonly hosts?: readonly string[];
  /** Paths at and below this prefix belong to this upstream; the longest prefix wins. Default `/`. */
  readonly pathPrefix?: string;
  /** Remove the prefix before forwarding. Default `false`. */
  readonly stripPrefix?: boolean;
  /** `true`: a valid key may call paths that no route names (no scope, cost 1). Default `false`: `route_not_found`. */
  readonly open?: boolean;
  /** What tokens for this upstream have as `aud`; no two upstreams share one. Default: its name. */
  readonly audience?: string;
  /** Whose keys may call it; `"*"` for every workspace. Default `default`. */
  readonly workspace?: string;
  /** Environments whose keys may call it. Default both. */
  readonly environments?: readonly Environment[];
  /** Show the origin a signed assertion of who calls, in `X-Latchkey-Assertion`; `true`: good for 30 s. Default `false`. */
  readonly assertion?: boolean | AssertionConfig;
  readonly timeoutSeconds?: number;
  readonly maxBodyBytes?: number;
  /** Give the cost back when the upstream failed in this way. Default none. */
  readonly refundOn?: readonly ("upstream_unreachable" | "upstream_timeout")[];
  /** CORS preflights (`OPTIONS` with `Access-Control-Request-Method`): pass to the origin without a key, answer here, or treat like any request. Default `key`. */
  readonly preflight?: "pass" | "key" | CorsConfig;
};

export interface AssertionConfig {
  /** 1 to 60. */
  readonly ttlSeconds: number;
}

export interface CorsConfig {
  readonly origins: readonly string[];
  readonly methods?: readonly string[];
  readonly headers?: readonly string[];
  readonly exposeHeaders?: readonly string[];
  readonly maxAgeSeconds?: number;
  readonly credentials?: boolean;
}

export interface RouteConfig {
  readonly upstream: string;
  /** `GET`, several, or `*`. `GET` covers `HEAD`. */
  readonly method: string | readonly string[];
  /** `/reports/*`, `/charges`, `/users/:id/keys`. `*` at the end takes the rest, which may be empty. */
  readonly path: string;
  readonly scopes?: readonly string[];
  /** Units that one request costs. Default 1. */
  readonly cost?: number;
  /** Further limits, counted per key lineage, that only this route draws on. Names must not clash with plans'. */
  readonly limits?: readonly Limit[];
  readonly environments?: readonly Environment[];
  /** Each request asks the meter. */
  readonly strict?: boolean;
  readonly onMeterUnavailable?: Policy["onMeterUnavailable"];
  readonly graceSeconds?: number;
  /** `sync`: the event is in the queue before the client gets its answer. Default `async`. */
  readonly audit?: "async" | "sync";
  /** Takes the key in this query parameter too; it is removed before forwarding. */
  readonly keyInQuery?: string;
  /** Default: as its upstream says. */
  readonly assertion?: UpstreamConfig["assertion"];
  readonly timeoutSeconds?: number;
  readonly maxBodyBytes?: number;
  readonly refundOn?: UpstreamConfig["refundOn"];
}

/** Gives `gateway.config.ts` its types. Checked for sense when the Worker starts: see `gateway/routes.ts`. */
export function defineConfig(config: GatewayConfig): GatewayConfig {
  return config;
}
