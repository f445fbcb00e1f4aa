import type { GatewayConfig, RouteConfig, UpstreamConfig } from "../config.ts";
import { DEFAULT_ASSERTION_TTL_SECONDS, MAX_REQUEST_BODY_BYTES, UPSTREAM_TIMEOUT_SECONDS } from "../constants.ts";
import type { Environment } from "../keys/record.ts";
import type { Limit } from "../limits/limit.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import type { CompiledRoute, CompiledTarget, CompiledUpstream, RouteMatch } from "./compiled-route.ts";
import { checkConfig } from "./config-check.ts";
import type { ConfigError } from "./config-findings.ts";
import { RouteTable } from "./route-table.ts";
import { MAX_PATTERN_SEGMENTS, parsePattern } from "./route-pattern.ts";
import type { Segment } from "./route-pattern.ts";

export type { ConfigError } from "./config-findings.ts";
export type { RouteTable } from "./route-table.ts";

const BOTH: readonly Environment[] = ["live", "test"];
const DEFAULT_WORKSPACE = "default";
/** Unlike any literal that someone would write in a pattern. */
const PROBE_SEGMENT = "~probe~";

type Env = Readonly<Record<string, unknown>>;

/**
 * Turns `gateway.config.ts` into the table that requests are looked up in, or names each of its faults. Done once, when
 * the Worker starts: a configuration that is wrong anywhere serves nothing, except that a URL variable which is declared
 * but empty leaves only its own upstream unreachable.
 */
export function compileConfig(config: GatewayConfig, env: Env): Result<RouteTable, readonly ConfigError[]> {
  const faults = checkConfig(config, env);
  if (faults.length > 0) return err(faults);
  const errors: ConfigError[] = [];
  const upstreams = new Map(
    Object.entries(config.upstreams).map(([name, upstream]) => [name, compileUpstream(name, upstream, env)]),
  );
  const table = new RouteTable(config, upstreams);
  for (const upstream of upstreams.values()) {
    const rival = table.addUpstream(upstream, upstream.open ? compileOpenRoute(upstream) : null);
    const detail = `answers for the same host and path prefix as upstreams.${rival}`;
    if (rival !== null) errors.push({ place: `upstreams.${upstream.name}`, detail });
  }
  const routes = compileRoutes(config, upstreams, errors);
  for (const { place, route, pattern, methods } of routes) {
    for (const method of methods) {
      const rival = table.addRoute(pattern, method, route);
      const detail = `matches what ${rival?.id} of the same upstream matches (case does not tell routes apart)`;
      if (rival !== null) errors.push({ place, detail });
    }
  }
  if (errors.length === 0) findUnreachable(table, routes, errors);
  return errors.length > 0 ? err(errors) : ok(table);
}

function compileUpstream(name: string, config: UpstreamConfig, env: Env): CompiledUpstream {
  const { pathPrefix = "/" } = config;
  return {
    name,
    target: compileTarget(config, env),
    audience: config.audience ?? name,
    workspace: config.workspace ?? DEFAULT_WORKSPACE,
    environments: config.environments ?? BOTH,
    hosts: config.hosts ?? null,
    pathPrefix: canonicalPrefix(pathPrefix),
    stripPrefix: config.stripPrefix ?? false,
    open: config.open ?? false,
    preflight: config.preflight ?? "key",
    assertionSeconds: assertionSecondsOf(config.assertion),
    timeoutMs: (config.timeoutSeconds ?? UPSTREAM_TIMEOUT_SECONDS) * 1_000,
    maxBodyBytes: config.maxBodyBytes ?? MAX_REQUEST_BODY_BYTES,
    refundOn: config.refundOn ?? [],
  };
}

function assertionSecondsOf(config: UpstreamConfig["assertion"] = false): number | null {
  if (config === false) return null;
  return config === true ? DEFAULT_ASSERTION_TTL_SECONDS : config.ttlSeconds;
}

function canonicalPrefix(pathPrefix: string): string {
  const pattern = parsePattern(pathPrefix);
  if (!pattern.ok) return pathPrefix;
  return `/${pattern.value.map((segment) => (segment.kind === "literal" ? segment.text : "")).join("/")}`;
}

function compileTarget(config: UpstreamConfig, env: Env): CompiledTarget {
  if ("service" in config) return { kind: "service", binding: config.service };
  if ("url" in config) return { kind: "url", url: new URL(config.url) };
  const value = env[config.urlFromEnv];
  if (typeof value !== "string" || value === "") return { kind: "unset", variable: config.urlFromEnv };
  return { kind: "url", url: new URL(value) };
}

interface RouteDraft {
  readonly place: string;
  readonly route: CompiledRoute;
  readonly pattern: readonly Segment[];
  readonly methods: readonly string[];
}

function compileRoutes(
  config: GatewayConfig,
  upstreams: ReadonlyMap<string, CompiledUpstream>,
  errors: ConfigError[],
): readonly RouteDraft[] {
  const drafts: RouteDraft[] = [];
  const limits = new Map<string, { readonly place: string; readonly limit: Limit }>();
  for (const [index, routeConfig] of (config.routes ?? []).entries()) {
    const place = `routes[${index}]`;
    const upstream = upstreams.get(routeConfig.upstream);
    const pattern = parsePattern(routeConfig.path);
    if (upstream === undefined || !pattern.ok) continue; // Both are faults that were named before.
    const methods = typeof routeConfig.method === "string" ? [routeConfig.method] : routeConfig.method;
    const route = compileRoute(routeConfig, upstream, methods);
    if (route.environments.length === 0) {
      errors.push({
        place: `${place}.environments`,
        detail: `has none that upstreams.${upstream.name} takes`,
      });
    }
    checkShared(limits, route.limits, `${place}.limits`, errors);
    drafts.push({ place, route, pattern: pattern.value, methods });
  }
  return drafts;
}

function compileRoute(config: RouteConfig, upstream: CompiledUpstream, methods: readonly string[]): CompiledRoute {
  const timeoutMs = config.timeoutSeconds === undefined ? upstream.timeoutMs : config.timeoutSeconds * 1_000;
  return {
    id: `${methods.join(",")} ${config.path}`,
    upstream,
    template: config.path,
    scopes: config.scopes ?? [],
    cost: config.cost ?? 1,
    limits: config.limits ?? [],
    strict: config.strict ?? false,
    onMeterUnavailable: config.onMeterUnavailable ?? null,
    graceSeconds: config.graceSeconds ?? null,
    audit: config.audit ?? "async",
    keyInQuery: config.keyInQuery ?? null,
    assertionSeconds: config.assertion === undefined ? upstream.assertionSeconds : assertionSecondsOf(config.assertion),
    timeoutMs,
    maxBodyBytes: config.maxBodyBytes ?? upstream.maxBodyBytes,
    refundOn: config.refundOn ?? upstream.refundOn,
    environments: (config.environments ?? BOTH).filter((environment) => upstream.environments.includes(environment)),
  };
}

function compileOpenRoute(upstream: CompiledUpstream): CompiledRoute {
  return {
    ...compileRoute({ upstream: upstream.name, method: "*", path: "*" }, upstream, ["*"]),
    template: "*",
  };
}

/** One name is one counter of a key's lineage: two routes may share it when they mean the same by it. */
function checkShared(
  known: Map<string, { readonly place: string; readonly limit: Limit }>,
  limits: readonly Limit[],
  place: string,
  errors: ConfigError[],
): void {
  for (const limit of limits) {
    const other = known.get(limit.name);
    if (other === undefined) known.set(limit.name, { place, limit });
    else if (!isSameLimit(other.limit, limit)) {
      errors.push({
        place,
        detail: `has a limit named ${limit.name} that differs from the one of ${other.place}`,
      });
    }
  }
}

function isSameLimit(a: Limit, b: Limit): boolean {
  return a.limit === b.limit && a.kind === b.kind && JSON.stringify(a.window) === JSON.stringify(b.window);
}

/** Asks the finished table for each route on each of its hosts. A rule that never applies is one that someone relies on in vain. */
function findUnreachable(table: RouteTable, drafts: readonly RouteDraft[], errors: ConfigError[]): void {
  for (const { place, route, pattern, methods } of drafts) {
    const { pathPrefix, hosts, name } = route.upstream;
    const paths = probePaths(pattern);
    if (pathPrefix !== "/" && !paths.some((path) => `${path}/`.startsWith(`${pathPrefix}/`))) {
      errors.push({
        place: `${place}.path`,
        detail: `lies outside ${pathPrefix}, the prefix of upstreams.${name}`,
      });
      continue;
    }
    const probeHosts = (hosts ?? ["*"]).map((host) => host.replace("*", PROBE_SEGMENT));
    const matches = probeHosts.flatMap((host) => paths.map((path) => table.match(methods[0] ?? "*", host, path)));
    if (!matches.some((match) => match.kind === "route" && match.route === route)) {
      errors.push({ place: `${place}.path`, detail: whyUnreachable(matches[0]) });
    }
  }
}

/** A path for each length that could make a difference: past the longest pattern only those with a rest can match. */
function probePaths(pattern: readonly Segment[]): readonly string[] {
  const fixed = pattern.filter((segment) => segment.kind !== "rest");
  const start = fixed.map((segment) => (segment.kind === "literal" ? segment.text : PROBE_SEGMENT));
  const longest = fixed.length === pattern.length ? start.length : MAX_PATTERN_SEGMENTS + 1;
  const rests = Array.from({ length: longest - start.length + 1 }, (_, length) =>
    Array<string>(length).fill(PROBE_SEGMENT),
  );
  return rests.map((rest) => `/${[...start, ...rest].join("/")}`);
}

function whyUnreachable(match: RouteMatch | undefined): string {
  if (match?.kind === "route")
    return `is never reached: upstreams.${match.route.upstream.name} takes ${match.route.id}`;
  return "is never reached: its path differs from another one's in case only";
}
