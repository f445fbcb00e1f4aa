import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { addressOf } from "./identity-headers.ts";

/** Where a request goes. Built from pieces of text, so that every octet of path and query stays as it was sent. */

export type UpstreamAddress =
  | { readonly kind: "url"; readonly url: URL }
  | { readonly kind: "service"; readonly binding: string }
  | { readonly kind: "unset"; readonly variable: string };

export interface UpstreamPlace {
  readonly target: UpstreamAddress;
  readonly stripPrefix: boolean;
  readonly pathPrefix: string;
}

const DOT_SEGMENT = /[/\\](?:\.|%2e){1,2}(?:[/\\]|$)/i;

/**
 * The URL to fetch. A service binding is called under the client's own host, as if it were the only one.
 * Fails for `*` (`OPTIONS *`) and other targets without a path, and for a path that would climb out of the upstream's
 * base path: `fetch` resolves dot segments, encoded ones too.
 */
export function upstreamUrl(
  place: UpstreamPlace,
  requestUrl: string,
  keyInQuery: string | null,
): Result<string, string> {
  const { target } = place;
  if (target.kind === "unset") return err(`the variable ${target.variable} is empty`);
  const { path, query } = split(requestUrl);
  if (!path.startsWith("/")) return err("the request target has no path");
  const { origin, base } = target.kind === "url" ? partsOf(target.url) : { origin: originOf(requestUrl), base: "" };
  const rest = place.stripPrefix ? withoutPrefix(path, place.pathPrefix) : path;
  const kept = keyInQuery === null ? query : withoutParameter(query, keyInQuery);
  const url = origin + base + rest + kept;
  // Without a base or a prefix to climb out of, the path may be whatever the routes have allowed.
  const confined = base !== "" || place.stripPrefix;
  if (confined && DOT_SEGMENT.test(path)) return err("the path has dot segments, and the upstream has a base path");
  return ok(url);
}

interface UrlParts {
  readonly origin: string;
  /** The path without a slash at the end. */
  readonly base: string;
}

/** An upstream's, read once: a `URL` of the runtime makes each part anew each time it is asked. */
const knownParts = new WeakMap<URL, UrlParts>();

function partsOf(url: URL): UrlParts {
  const known = knownParts.get(url);
  if (known !== undefined) return known;
  const parts = { origin: url.origin, base: withoutSlash(url.pathname) };
  knownParts.set(url, parts);
  return parts;
}

function split(url: string): { readonly path: string; readonly query: string } {
  const pathStart = url.indexOf("/", url.indexOf("://") + 3);
  const fragment = url.indexOf("#");
  const end = fragment < 0 ? url.length : fragment;
  if (pathStart < 0 || pathStart >= end) return { path: "", query: "" };
  const queryStart = url.indexOf("?", pathStart);
  if (queryStart < 0 || queryStart >= end) return { path: url.slice(pathStart, end), query: "" };
  return { path: url.slice(pathStart, queryStart), query: url.slice(queryStart, end) };
}

function originOf(url: string): string {
  const { protocol, host } = addressOf(url);
  return `${protocol}://${host}`;
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

/**
 * `/api` of `/api/x` → `/x`; of `/api` → `/`. Cut by segments, since the client may have spelt the prefix with
 * percent-encoding. A path that does not begin with it stays whole.
 */
export function withoutPrefix(path: string, prefix: string): string {
  const cut = withoutSlash(prefix);
  let end = 0;
  for (let slashes = cut.split("/").length - 1; slashes > 0 && end >= 0; slashes--) end = path.indexOf("/", end + 1);
  const head = end < 0 ? path : path.slice(0, end);
  if (head !== cut && percentDecoded(head) !== cut) return path;
  return end < 0 ? "/" : path.slice(end);
}

/** Octets that are percent-encoded ASCII stand for themselves; whatever else is encoded stays. */
export function percentDecoded(text: string): string {
  return text.replace(/%([2-7][0-9a-f])/gi, (_whole, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Takes every occurrence of a parameter out of `?a=1&b=2` and leaves the others as they were spelt. */
export function withoutParameter(query: string, name: string): string {
  if (query.length < 2) return query;
  const parts = query.slice(1).split("&");
  const kept = parts.filter((part) => nameOf(part) !== name);
  if (kept.length === parts.length) return query;
  return kept.length === 0 ? "" : `?${kept.join("&")}`;
}

/** The parameter's name as `URLSearchParams` reads it, since that is how the key was found. */
function nameOf(part: string): string {
  const equals = part.indexOf("=");
  const raw = equals < 0 ? part : part.slice(0, equals);
  if (!raw.includes("%") && !raw.includes("+")) return raw;
  const [entry] = new URLSearchParams(raw);
  return entry?.[0] ?? raw;
}
