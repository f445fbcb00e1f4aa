import type { CompiledRoute, CompiledUpstream, RouteMatch } from "./compiled-route.ts";
import { segmentsOf } from "./path-reading.ts";
import { PatternTree } from "./route-pattern.ts";
import type { Segment } from "./route-pattern.ts";

/** One upstream with the tree of its routes. */
interface Entry {
  readonly upstream: CompiledUpstream;
  /** `""` for `/`, in lower case where case is folded. */
  readonly prefix: string;
  readonly tree: PatternTree<Found>;
  /** What an open upstream takes beside its routes. */
  readonly open: Found | null;
}

/** Made once per route, so that a match allocates nothing and two matches can be told apart by identity. */
export type Found = Extract<RouteMatch, { kind: "route" }>;

export interface Registration {
  readonly upstream: CompiledUpstream;
  readonly open: Found | null;
}

/**
 * From host, method and one reading of a path to a route. The host comes first: an exact name, then the longest wildcard,
 * then upstreams for every host; among equals the longest path prefix. The upstream that is found this way is the only
 * one that is asked. All upstreams and routes are looked at once, when the Worker starts.
 */
export class RouteMatcher {
  readonly #fold: boolean;
  readonly #byHost = new Map<string, Entry[]>();
  readonly #wildcards: { readonly suffix: string; readonly entries: Entry[] }[] = [];
  readonly #anyHost: Entry[] = [];
  readonly #byName = new Map<string, Entry>();

  /** With `fold`, paths are given in lower case. */
  constructor(fold: boolean) {
    this.#fold = fold;
  }

  /** The name of the upstream that has the same host and prefix already, or `null`. */
  addUpstream({ upstream, open }: Registration): string | null {
    const prefix = upstream.pathPrefix === "/" ? "" : upstream.pathPrefix;
    const entry = {
      upstream,
      open,
      prefix: this.#fold ? prefix.toLowerCase() : prefix,
      tree: new PatternTree<Found>(this.#fold),
    };
    this.#byName.set(upstream.name, entry);
    const groups = upstream.hosts === null ? [this.#anyHost] : upstream.hosts.map((host) => this.#groupOf(host));
    for (const group of groups) {
      const rival = group.find((other) => other.prefix === entry.prefix);
      if (rival !== undefined) return rival.upstream.name;
      group.push(entry);
      group.sort((a, b) => b.prefix.length - a.prefix.length);
    }
    this.#wildcards.sort((a, b) => b.suffix.length - a.suffix.length);
    return null;
  }

  #groupOf(host: string): Entry[] {
    if (!host.startsWith("*.")) {
      const present = this.#byHost.get(host);
      if (present !== undefined) return present;
      const group: Entry[] = [];
      this.#byHost.set(host, group);
      return group;
    }
    const suffix = host.slice(1);
    const present = this.#wildcards.find((wildcard) => wildcard.suffix === suffix);
    if (present !== undefined) return present.entries;
    const entries: Entry[] = [];
    this.#wildcards.push({ suffix, entries });
    return entries;
  }

  /** The route that has the same pattern and method already, or `null`. */
  addRoute(pattern: readonly Segment[], method: string, found: Found): CompiledRoute | null {
    const entry = this.#byName.get(found.route.upstream.name);
    return entry?.tree.add(pattern, method, found)?.route ?? null;
  }

  find(host: string, method: string, path: string): Found | null {
    const entry = this.#entryFor(host, path);
    return entry === null ? null : (entry.tree.find(segmentsOf(path), method) ?? entry.open);
  }

  upstreamFor(host: string, path: string): CompiledUpstream | null {
    return this.#entryFor(host, path)?.upstream ?? null;
  }

  #entryFor(host: string, path: string): Entry | null {
    if (!path.startsWith("/")) return null;
    if (this.#byHost.size > 0 || this.#wildcards.length > 0) {
      const name = hostNameOf(host);
      const exact = this.#byHost.get(name);
      const found = exact === undefined ? null : firstAbove(exact, path);
      if (found !== null) return found;
      for (const { suffix, entries } of this.#wildcards) {
        const below = isBelow(name, suffix) ? firstAbove(entries, path) : null;
        if (below !== null) return below;
      }
    }
    return firstAbove(this.#anyHost, path);
  }
}

/** At least one character before the dot that the suffix starts with. */
function isBelow(name: string, suffix: string): boolean {
  return name.length > suffix.length && name.endsWith(suffix);
}

/** The entries are ordered by the length of their prefix, longest first. */
function firstAbove(entries: readonly Entry[], path: string): Entry | null {
  for (const entry of entries) {
    const { prefix } = entry;
    if (path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f))
      return entry;
  }
  return null;
}

/** A `Host` without port and final dot, in lower case. */
export function hostNameOf(host: string): string {
  let name = host.toLowerCase();
  const colon = name.lastIndexOf(":");
  if (colon >= 0 && !name.endsWith("]")) name = name.slice(0, colon);
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
