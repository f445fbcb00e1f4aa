import type { GatewayConfig } from "../config.ts";
import type { Limit } from "../limits/limit.ts";
import type { CompiledRoute, CompiledUpstream, RouteMatch } from "./compiled-route.ts";
import { PATH_AMBIGUOUS, PATH_PLAIN, canonicalPath, furtherReadings, surveyPath } from "./path-reading.ts";
import { RouteMatcher } from "./route-matcher.ts";
import type { Found } from "./route-matcher.ts";
import type { Segment } from "./route-pattern.ts";

const DEFAULT_PREFIX = "lk";
const DEFAULT_REALM = "latchkey";

const NOT_FOUND: RouteMatch = { kind: "not_found" };
const CASE_AMBIGUOUS: RouteMatch = {
  kind: "ambiguous",
  detail: "The path differs in upper and lower case from that of another route. Write it as documented.",
};
const PATH_UNREADABLE: RouteMatch = {
  kind: "ambiguous",
  detail:
    "The path can be read in more than one way. Send it without encoded slashes, dot segments, empty segments and parameters.",
};

/** What a deployment fronts, ready to be asked. Made by `compileConfig`; nothing changes in it once it serves. */
export class RouteTable {
  readonly upstreams: ReadonlyMap<string, CompiledUpstream>;
  /** Prefixes of this deployment's keys, the default one among them. */
  readonly prefixes: ReadonlySet<string>;
  readonly importedKeys: boolean;
  readonly realm: string;
  /** Without a prototype: a plan named `constructor` on a record finds nothing. */
  readonly plans: Readonly<Record<string, readonly Limit[]>>;
  readonly #strict = new RouteMatcher(false);
  readonly #folded = new RouteMatcher(true);
  readonly #found = new Map<CompiledRoute, Found>();
  /** Some literal of a pattern has upper-case letters: a plain path may differ from it in case. */
  #casedPatterns = false;

  constructor(config: GatewayConfig, upstreams: ReadonlyMap<string, CompiledUpstream>) {
    const workspaces = Object.values(config.workspaces ?? {});
    this.upstreams = upstreams;
    this.prefixes = new Set([DEFAULT_PREFIX, ...workspaces.map(({ prefix }) => prefix ?? DEFAULT_PREFIX)]);
    this.importedKeys = config.importedKeys ?? true;
    this.realm = config.realm ?? DEFAULT_REALM;
    this.plans = Object.assign(Object.create(null), config.plans);
  }

  get routes(): readonly CompiledRoute[] {
    return [...this.#found.keys()];
  }

  /** For `compileConfig`: the name of an upstream with the same host and prefix, or `null`. */
  addUpstream(upstream: CompiledUpstream, openRoute: CompiledRoute | null): string | null {
    const open = openRoute === null ? null : this.#foundFor(openRoute);
    this.#casedPatterns ||= /[A-Z]/.test(upstream.pathPrefix);
    return this.#strict.addUpstream({ upstream, open }) ?? this.#folded.addUpstream({ upstream, open });
  }

  /** For `compileConfig`: a route that matches the same, or `null`. */
  addRoute(pattern: readonly Segment[], method: string, route: CompiledRoute): CompiledRoute | null {
    const found = this.#foundFor(route);
    this.#casedPatterns ||= pattern.some((segment) => segment.kind === "literal" && /[A-Z]/.test(segment.text));
    return this.#strict.addRoute(pattern, method, found) ?? this.#folded.addRoute(pattern, method, found);
  }

  #foundFor(route: CompiledRoute): Found {
    const present = this.#found.get(route);
    if (present !== undefined) return present;
    const found: Found = { kind: "route", route };
    this.#found.set(route, found);
    return found;
  }

  /**
   * The route of a request. `host` as in the `Host` field, `pathname` as it was sent, without query. Where origins may
   * read the path as another route's, or as none's, the answer is `ambiguous`: see `path-reading.ts` for the rule.
   */
  match(method: string, host: string, pathname: string): RouteMatch {
    const verb = method.toUpperCase();
    const survey = surveyPath(pathname);
    if (survey === PATH_AMBIGUOUS) return this.#matchEveryReading(verb, host, pathname);
    const found = this.#strict.find(host, verb, pathname);
    if (found === null) return NOT_FOUND;
    if (survey === PATH_PLAIN && !this.#casedPatterns) return found;
    return this.#folded.find(host, verb, pathname.toLowerCase()) === found ? found : CASE_AMBIGUOUS;
  }

  #matchEveryReading(method: string, host: string, pathname: string): RouteMatch {
    const canonical = canonicalPath(pathname);
    if (canonical === null) return PATH_UNREADABLE;
    const found = this.#strict.find(host, method, canonical);
    if (found === null) return NOT_FOUND;
    if (this.#folded.find(host, method, canonical.toLowerCase()) !== found) return CASE_AMBIGUOUS;
    const readings = furtherReadings(pathname);
    if (readings === null) return PATH_UNREADABLE;
    for (const reading of readings) {
      if (this.#strict.find(host, method, reading) !== found) return PATH_UNREADABLE;
      if (this.#folded.find(host, method, reading.toLowerCase()) !== found) return PATH_UNREADABLE;
    }
    return found;
  }

  /** The upstream that a path belongs to by its strict reading, whether or not a route names it. */
  upstreamFor(host: string, pathname: string): CompiledUpstream | null {
    const canonical = canonicalPath(pathname);
    return canonical === null ? null : this.#strict.upstreamFor(host, canonical);
  }
}
